package history

import (
	"cmp"
	"slices"
	"time"
)

// A groupOf is a group whose members are not looked up yet: their lines may come later.
type groupOf struct {
	*Group
	of []uint64 // pairs: the ID of a scope, and that of its task or 0
}

// addGroup adds a group to the last census of stacks. It returns false if the line is not
// valid.
func (rd *reader) addGroup(l *notice) bool {
	if len(rd.Censuses) == 0 || l.N == 0 || l.N > maxCount || len(l.Of)%2 != 0 {
		return false
	}
	c := rd.Censuses[len(rd.Censuses)-1]
	g := &Group{Waits: l.Waits, For: time.Duration(max(l.For, 0)), At: l.At, Stack: l.Stack, Count: int(l.N)}
	c.Groups = append(c.Groups, g)
	rd.groups = append(rd.groups, groupOf{g, l.Of})
	return true
}

// maxCount is more than any program has goroutines.
const maxCount = 1 << 31

func (rd *reader) finishCensuses() {
	slices.SortStableFunc(rd.Censuses, func(a, b *Census) int { return cmp.Compare(a.At, b.At) })
	for _, g := range rd.groups {
		rd.resolve(g)
	}
}

// resolve sets the tasks and bodies of a group, as far as the log has them. A group does not
// make a task known: its line may be in an older segment that is gone.
func (rd *reader) resolve(g groupOf) {
	for i := 0; i+1 < len(g.of); i += 2 {
		scope, task := g.of[i], g.of[i+1]
		if task == 0 {
			if s := rd.scopes[scope]; s != nil {
				g.Bodies = append(g.Bodies, s.Scope)
			}
		} else if t := rd.tasks[taskKey{scope, task}]; t != nil {
			g.Tasks = append(g.Tasks, t.Task)
		}
	}
}
