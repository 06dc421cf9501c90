package live

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// The kinds of nodes.
const (
	aScope = "scope"
	aTask  = "task"
)

// A node is a scope or a task as it is shown, or many that are equal: see fold.go. Its
// keys in JSON are described in doc.go.
type node struct {
	Key       string    `json:"key"`
	Kind      string    `json:"kind"`
	ID        uint64    `json:"id,omitempty"`
	Scope     uint64    `json:"scope,omitempty"`
	Name      string    `json:"name"`
	Path      string    `json:"path"`
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Newest    time.Time `json:"newest,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	Cause     string    `json:"cause,omitempty"`
	Flags     []string  `json:"flags,omitempty"`
	Limit     int       `json:"limit,omitempty"`
	Waiting   int       `json:"waiting,omitempty"`
	Unawaited []string  `json:"unawaited,omitempty"`
	Warnings  []string  `json:"warnings,omitempty"`
	Stack     string    `json:"stack,omitempty"`
	Count     int       `json:"count,omitempty"`
	Below     []*node   `json:"below,omitempty"`
	More      int       `json:"more,omitempty"`

	who      who
	shape    uint64    // equal for what may be folded
	matters  bool      // there is a warning about it, or about something below it
	canceled time.Time // of a scope: since when it is known to be
	wasOpen  bool      // it was seen open for long
	own      *family   // of a scope: see family
	awaited  bool      // of a task
}

// treeOf turns a snapshot into nodes. A scope that a task has opened is below it.
func treeOf(shot traigo.Snapshot, now time.Time) *node {
	n := &node{
		who: who{scope: shot.ID}, Kind: aScope,
		ID: shot.ID, Name: clean(shot.Name, longestName), Path: shot.Path, State: shot.State.String(),
		Since: shot.Opened, Deadline: shot.Deadline, Cause: clean(firstLine(shot.Cause), longestName),
		Limit: shot.Limit, Waiting: shot.Waiting, Unawaited: cleanAll(shot.Unawaited), Stack: shot.Stack,
		Below: make([]*node, 0, len(shot.Tasks)+len(shot.Scopes)),
	}
	tasks := make([]node, len(shot.Tasks)) // at once: there may be many
	var calls map[who]int                  // that were abandoned
	for i := range shot.Tasks {
		tasks[i].setTask(&shot.Tasks[i], n, now)
		if tasks[i].State == stateAbandoned { // of these, one task may have more
			if calls == nil {
				calls = make(map[who]int)
			}
			calls[tasks[i].who]++
			tasks[i].who.call = calls[tasks[i].who]
		}
		n.Below = append(n.Below, &tasks[i])
	}
	openers := openersIn(shot, n.Below)
	for _, below := range shot.Scopes {
		home := n
		if opener := openers[who{scope: cmp.Or(below.Parent, shot.ID), task: below.Task}]; opener != nil {
			home = opener
		}
		home.Below = append(home.Below, treeOf(below, now))
	}
	return n
}

// cleanAll is clean for each of some names.
func cleanAll(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = clean(name, longestName)
	}
	return all
}

// openersIn finds the tasks that have opened scopes. One that has ended meanwhile is
// not there. One that was given up is of another scope, and so is what it has opened.
func openersIn(shot traigo.Snapshot, tasks []*node) map[who]*node {
	var openers map[who]*node
	for _, below := range shot.Scopes {
		if below.Task != 0 && openers == nil {
			openers = make(map[who]*node, len(tasks))
			for _, t := range tasks {
				if t.State != stateAbandoned { // that is a call, not the task
					openers[who{scope: t.Scope, task: t.ID}] = t
				}
			}
		}
	}
	return openers
}

// The states of tasks that are looked for.
const (
	stateQueued    = "queued"
	stateRunning   = "running"
	stateCanceling = "canceling"
	stateGivenUp   = "given up"
	stateAbandoned = "abandoned"
)

func (n *node) setTask(t *traigo.TaskSnapshot, shownIn *node, now time.Time) {
	scope := cmp.Or(t.Scope, shownIn.ID)
	*n = node{
		who: who{scope: scope, task: t.ID}, Kind: aTask,
		ID: t.ID, Scope: scope, Name: clean(t.Name, longestName), Path: t.Path, State: t.State,
		Since: t.Spawned, Deadline: t.Deadline, Cause: clean(firstLine(t.Cause), longestName),
		Stack: ownFrames(t.Stack), awaited: t.Awaited,
	}
	if t.State == stateAbandoned {
		// What is told of a call is its age alone. To the second: the moment must not seem
		// to change from look to look.
		n.Since = now.Add(-t.Age).Truncate(time.Second)
		return // it has no flags
	}
	n.Flags = flagsOf(t)
}

// flagsOf are those that are not the default.
func flagsOf(t *traigo.TaskSnapshot) (flags []string) {
	if t.Master {
		flags = append(flags, "master")
	}
	if !t.Awaited {
		flags = append(flags, "not awaited")
	}
	if !t.Bubble {
		flags = append(flags, "no bubble")
	}
	if t.Ready {
		flags = append(flags, "ready")
	}
	return flags
}

// A who tells one node from all others, as long as it lives.
type who struct {
	scope, task uint64
	call        int // of those of the task that were abandoned, from 1
}

// key is who in JSON.
func (w who) key() string {
	key := "s" + strconv.FormatUint(w.scope, 10)
	if w.task != 0 || w.call != 0 {
		key += "." + strconv.FormatUint(w.task, 10)
	}
	if w.call != 0 {
		key += "-" + strconv.Itoa(w.call)
	}
	return key
}

// many is how many scopes or tasks the node stands for.
func (n *node) many() int { return max(1, n.Count) }

// each calls visit for n and all below it, with the scope that each is in: that of a
// scope is itself.
func (n *node) each(scope *node, visit func(n, scope *node)) {
	if n.Kind == aScope {
		scope = n
	}
	visit(n, scope)
	for _, below := range n.Below {
		below.each(scope, visit)
	}
}

// A census counts what lives.
type census struct {
	Scopes    int `json:"scopes"`
	Tasks     int `json:"tasks"`
	Canceling int `json:"canceling"`
}

func count(roots []*node) (c census) {
	for _, root := range roots {
		root.each(nil, func(n, _ *node) {
			switch {
			case n.State == traigo.Closed.String():
				return
			case n.Kind == aScope:
				c.Scopes++
			default:
				c.Tasks++
			}
			if n.State == traigo.Canceling.String() || n.State == stateCanceling || n.State == stateGivenUp {
				c.Canceling++
			}
		})
	}
	return c
}

// hasDefaultName is true of scopes that only have a number, and of what is called after
// a function without a name.
func (n *node) hasDefaultName() bool {
	if id, found := strings.CutPrefix(n.Name, "scope#"); found && n.Kind == aScope {
		return id == strconv.FormatUint(n.ID, 10)
	}
	_, after, found := strings.Cut(n.Name, ".func")
	return found && after != "" && after[0] >= '0' && after[0] <= '9'
}
