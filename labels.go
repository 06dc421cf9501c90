package traigo

import (
	"context"
	"runtime/pprof"
	"sync/atomic"
)

// The labels of package runtime/pprof that say whose a goroutine is.

const (
	scopeLabel = "traigo.scope"
	taskLabel  = "traigo.task"
)

type pprofLabelsOption struct{}

// PprofLabels labels the goroutines of the scope and of all below it: those of its
// tasks, and the body of Run while it runs. Goroutine and CPU profiles then say
// whose a sample is, and so does a dump of all stacks under
// GODEBUG=tracebacklabels=1. The label traigo.scope is the [Scope.Path] of the
// scope, traigo.task the [Task.Name] of the task; a body has the first alone, also
// of a Run that a task calls. What a task or a body starts with a bare go statement
// inherits its labels: a goroutine with the labels of a task that has ended has got
// away from its scope.
//
// The contexts carry the same labels, so that [runtime/pprof.Do] within a task adds to
// them. Labels of the user's, in the context the scope was opened under or in
// [Values], stay beside them. When Run is over, however it ends, its goroutine has the
// labels of the context that Run was given, as after pprof.Do.
//
// It costs about 0.5 µs and 2 allocations per task if the tasks of the scope have few
// different names, 1 µs and 8 allocations if each has another or comes with Values, and
// 0.5 µs and 6 allocations per scope.
func PprofLabels() ScopeOption { return pprofLabelsOption{} }

func (pprofLabelsOption) applyScope(s *Scope) {
	s.change(func(set *settings) { set.labels = true })
}

// labelScope works out the labels of a new scope: those of its outer context, and
// its path. If it was opened by a task, that one's name is none of them: beside the
// path of this scope it would say what is not so.
func (s *Scope) labelScope(c *tooled) {
	var labels []string
	s.guard("Value of the scope's context", func() {
		pprof.ForLabels(c.Context, func(key, value string) bool {
			if key != scopeLabel && key != taskLabel {
				labels = append(labels, key, value)
			}
			return true
		})
	})
	c.path = s.pathForTools()
	c.labels = pprof.WithLabels(context.Background(), pprof.Labels(append(labels, scopeLabel, c.path)...))
}

// pathForTools is Path, without going all the way up in a tree whose scopes know theirs.
func (s *Scope) pathForTools() string {
	if s.parent != nil {
		if up := s.parent.tools(); up != nil && up.labels != nil {
			return up.path + "/" + s.Name()
		}
	}
	return s.Path()
}

// runLabelled is run for a scope whose body is to have labels. A goroutine cannot
// be asked for those it has; package pprof goes by the context as well.
func (s *Scope) runLabelled(body func(context.Context, *Scope) error) error {
	c := s.tools()
	defer s.guard("Value of the context given to Run", func() { pprof.SetGoroutineLabels(c.Context) })
	pprof.SetGoroutineLabels(c.labels)
	return s.run(body)
}

// taskLabels are the labels of tasks with this name in a scope.
type taskLabels struct {
	name string
	ctx  context.Context
}

// labels returns what t finds values in before its scope: what Values gave, if
// anything, with the labels of t. It is called before the function of t is.
func (t *Task) labels(values context.Context) context.Context {
	c, name := t.scope.tools(), t.Name()
	if values != nil {
		return pprof.WithLabels(values, pprof.Labels(scopeLabel, c.path, taskLabel, name))
	}
	place := c.place(name)
	if made := place.Load(); made != nil && made.name == name {
		return made.ctx
	}
	// Not below the scope's own context: package context would look for what ends the
	// task in there, past the scope.
	made := &taskLabels{name, pprof.WithLabels(c.labels, pprof.Labels(taskLabel, name))}
	place.Store(made)
	return made.ctx
}

// place is where the labels of tasks with that name are kept: the few names that the
// tasks of a scope have differ in length, or in how they end.
func (c *tooled) place(name string) *atomic.Pointer[taskLabels] {
	n := len(name)
	if n > 0 {
		n += int(name[n-1])
	}
	return &c.made[n%len(c.made)]
}
