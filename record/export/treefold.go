package export

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// The lines of siblings of one name: their numbers, and those that stand out.

// foldLine returns the line of several: their number, times and states.
func (w *treeWriter) foldLine(g group) string {
	name, states := g[0].name(), make(map[string]int)
	for _, n := range g {
		if n.name() != name {
			name = story.FoldName(name)
		}
		states[w.state(n)]++
	}
	sign := ""
	if g[0].task != nil {
		sign = "• "
		if states[""] == len(g) {
			sign = "✓ "
		}
	}
	notes := append(w.times(g), w.processNote(g)...)
	for _, state := range []string{"failed", "given up", "unfinished", "canceled", "stopped", "ended in a gap of the log"} {
		if n := states[state]; n == len(g) {
			notes = append(notes, "all "+state)
		} else if n > 0 {
			notes = append(notes, thousands(uint64(n))+" "+state)
		}
	}
	return fmt.Sprintf("%s%s [×%s]  %s", sign, oneLine(name, maxChars), thousands(uint64(len(g))), strings.Join(notes, ", "))
}

// state returns the state of a node, as it is counted; "" if it ended well.
func (w *treeWriter) state(n *node) string {
	if n.task != nil {
		switch {
		case n.task.Failed():
			return "failed"
		case n.task.State == history.TaskStuck:
			return "given up"
		case n.task.Unfinished():
			return "unfinished"
		case w.causes.Stopped(story.Span{Scope: n.scope, Task: n.task}):
			return "stopped"
		case n.task.State == history.TaskCanceled, w.causes.CutShort(n.task):
			return "canceled"
		case n.task.State == history.TaskLost:
			return "ended in a gap of the log"
		}
		return ""
	}
	switch s := n.scope; {
	case w.causes.Failed(s):
		return "failed"
	case s.Closed == history.Never:
		return "unfinished"
	case s.State == history.ScopeLost:
		return "ended in a gap of the log"
	case w.causes.Stopped(story.Span{Scope: s}):
		return "stopped"
	case s.Err != "" || story.IsFromAbove(s):
		return "canceled"
	}
	return ""
}

// times returns the median and the 99th percentile of the times of those that have ended, or,
// if none has, of all.
func (w *treeWriter) times(g group) []string {
	var all, ended []time.Duration
	for _, n := range g {
		all = append(all, w.took(n))
		if n.end() != history.Never {
			ended = append(ended, w.took(n))
		}
	}
	atLeast := ""
	if len(ended) == 0 {
		ended, atLeast = all, "≥"
	}
	slices.Sort(ended)
	median, p99 := story.Duration(w.history, percentile(ended, 50)), story.Duration(w.history, percentile(ended, 99))
	if median == p99 {
		return []string{atLeast + median}
	}
	return []string{"median " + atLeast + median, "p99 " + atLeast + p99}
}

// percentile returns the smallest of sorted times that p in a hundred do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

// outliers returns lines about the members of a group that differ from the others: one for
// each kind of error, for what had not ended, and for the slowest.
func (w *treeWriter) outliers(g group) (lines []string) {
	lines = w.errors(g)
	for _, state := range []string{"given up", "unfinished"} {
		same := slices.DeleteFunc(slices.Clone(g), func(n *node) bool { return w.state(n) != state })
		if len(same) > 0 && len(same) < len(g) {
			lines = append(lines, w.those(same, state))
		}
	}
	ended := slices.DeleteFunc(slices.Clone(g), func(n *node) bool { return n.end() == history.Never })
	if len(ended) == 0 {
		return lines
	}
	slowest := slices.MaxFunc(ended, func(a, b *node) int { return cmp.Compare(w.took(a), w.took(b)) })
	slices.SortFunc(ended, func(a, b *node) int { return cmp.Compare(w.took(a), w.took(b)) })
	median := w.took(ended[(len(ended)-1)/2])
	if w.took(slowest) >= 2*median && w.took(slowest) > time.Millisecond {
		above := false
		for up := slowest.up; up != nil && !above; up = up.up {
			above = w.slowest[up] // which says it already
		}
		if !above {
			lines = append(lines, "slowest "+story.Duration(w.history, w.took(slowest))+": "+w.which(slowest))
		}
		w.slowest[slowest] = true
	}
	return lines
}

// errors returns a line for each kind of error in a group, the most frequent first.
func (w *treeWriter) errors(g group) (lines []string) {
	byError := make(map[string]group)
	var errors []string
	for _, n := range g {
		if w.state(n) != "failed" {
			continue
		}
		err := story.FoldName(w.errOf(n))
		if byError[err] == nil {
			errors = append(errors, err)
		}
		byError[err] = append(byError[err], n)
	}
	slices.SortStableFunc(errors, func(a, b string) int { return cmp.Compare(len(byError[b]), len(byError[a])) })
	others := 0
	for i, err := range errors {
		same := byError[err]
		if i >= maxErrors && len(errors) > maxErrors+1 {
			others += len(same)
			continue
		}
		lines = append(lines, w.those(same, "failed")+": "+oneLine(strings.TrimPrefix(w.errOf(same[0]), same[0].name()+": "), maxChars))
	}
	if others > 0 {
		lines = append(lines, fmt.Sprintf("%s failed with %s", thousands(uint64(others)), plural(uint64(len(errors)-maxErrors), "other error")))
	}
	return lines
}

// those counts members of a group and says which is the first.
func (w *treeWriter) those(same group, state string) string {
	if len(same) == 1 {
		return state + ", " + w.which(same[0])
	}
	return thousands(uint64(len(same))) + " " + state + ", first " + w.which(same[0])
}

func (w *treeWriter) which(n *node) string {
	return oneLine(n.name(), maxChars) + " (id " + story.Span{Scope: n.scope, Task: n.task}.ID() + ") at " + story.Duration(w.history, n.begin())
}

// errOf returns the error with which a node failed, from the inside.
func (w *treeWriter) errOf(n *node) string {
	if n.task != nil {
		return cmp.Or(story.Innermost(n.task.Err), string(n.task.State))
	}
	return story.What(n.scope)
}
