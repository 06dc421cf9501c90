package traigo

import (
	"context"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"sync/atomic"
)

// What the standard tools see of a scope: profiles and dumps by labels, the
// execution tracer by tasks and regions. Both live in contexts, as values that
// only their packages can write; so a scope that shows itself has one more context
// around the one it was opened under. One that does not has nothing of this, and
// pays for no more than the question.

// A tooled context is the outer context of a scope that shows itself to tools. It
// ends with what is inside, and has other values.
type tooled struct {
	context.Context

	// Set at opening, then read-only.
	values context.Context // of the scope: with its trace task, if it has one
	labels context.Context // nothing but its pprof labels; nil without PprofLabels
	path   string          // of the scope; "" without PprofLabels
	task   *trace.Task     // nil if no trace was recorded when the scope was opened

	made [8]atomic.Pointer[taskLabels] // of tasks before: most have one of a few names; see place
}

// equip shows a new scope to the tools that its options name. Nobody knows of the
// scope yet, and it has its name by now.
func (s *Scope) equip() {
	c := &tooled{Context: s.outer, values: s.outer}
	if s.settings.labels {
		s.labelScope(c)
	}
	if s.settings.traces {
		s.traceScope(c)
	}
	s.outer = c
}

// tools returns the context that equip has made; nil for most scopes.
func (s *Scope) tools() *tooled {
	c, _ := s.outer.(*tooled)
	return c
}

// The labels are not in the chain of the others: what a scope inherits has to be
// left out as well, and a context cannot take a value back.
func (c *tooled) Value(key any) any {
	if c.labels != nil {
		if v := c.labels.Value(key); v != nil {
			return v
		}
	}
	return c.values.Value(key)
}

// AfterFunc hands on what the inner context may have: package context starts a goroutine
// for one that has no such method.
func (c *tooled) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

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

// The tasks, regions and logs of package runtime/trace, by which go tool trace
// groups what it shows.

// The categories of what is logged.
const (
	traceCanceled = "traigo.canceled"
	traceFailed   = "traigo.failed"
)

type runtimeTraceOption struct{}

// RuntimeTrace shows the scope, and all below it, in execution traces: those of
// package runtime/trace, of /debug/pprof/trace, of a flight recorder. A scope that is
// opened while a trace is recorded is a task there, with the scope's name, below the
// task of the context it was opened under, until it closes. What runs in the scope
// while a trace is recorded is a region of that task, with the name of the traigo task.
// Failures and the causes of cancellations are logged in it, as "traigo.failed" and
// "traigo.canceled".
//
// The contexts carry the trace task, so that [runtime/trace.Log], WithRegion and
// NewTask within a task or body belong to it (with [Values], to the trace task of those
// values, if they have one). A scope that was opened when no trace was recorded stays
// without a trace task; its tasks are regions all the same. The tracer cuts
// names and messages after 1 KiB.
//
// While a trace is recorded it costs about 0.4 µs and 1 allocation per task, and 0.8 µs
// and 4 allocations per scope. While none is, it costs nothing per task, and 0.1 µs and 2
// allocations per scope.
func RuntimeTrace() ScopeOption { return runtimeTraceOption{} }

func (runtimeTraceOption) applyScope(s *Scope) {
	s.change(func(set *settings) { set.traces = true })
}

// traceScope begins the trace task of a new scope. Package trace would make one, and
// a context for it, also when nothing is recorded.
func (s *Scope) traceScope(c *tooled) {
	if !trace.IsEnabled() {
		return
	}
	s.guard("Value of the scope's context", func() {
		c.values, c.task = trace.NewTask(c.Context, s.Name())
	})
}

// isTraced reports whether endTrace has something to do.
func (s *Scope) isTraced() bool {
	c := s.tools()
	return c != nil && c.task != nil
}

func (s *Scope) endTrace() {
	if s.isTraced() {
		s.tools().task.End()
	}
}

// isTracing reports whether a trace is recorded that s is to be seen in.
func (s *Scope) isTracing() bool { return s.settings.traces && trace.IsEnabled() }

// traceContext is for package trace: it finds the trace task of s there, and asks no
// context of the user's for it. One that s has not got itself would be older than the
// trace.
func (s *Scope) traceContext() context.Context {
	if s.isTraced() {
		return s.tools().values
	}
	return context.Background()
}

// callInRegion is call as a region of the trace task. It ends on this goroutine also
// when the function panics or calls runtime.Goexit.
func (t *Task) callInRegion() error {
	defer trace.StartRegion(t.scope.traceContext(), t.Name()).End()
	return t.call()
}

// traceEnding logs what has canceled the scope, or t alone. The normal end is no
// news: it is the end of the trace task.
func (s *Scope) traceEnding(t *Task, e *ending) {
	if e.kind == Completed || !s.isTracing() {
		return
	}
	s.guardTrace(traceCanceled, func() string {
		if t != nil {
			return e.cancellation().reason()
		}
		return e.cancellation().Error()
	})
}

// traceFailure logs an error of t, or of the body where t is nil.
func (s *Scope) traceFailure(t *Task, err error) {
	if !s.isTracing() {
		return
	}
	s.guardTrace(traceFailed, func() string {
		if t != nil {
			return "task " + strconv.Quote(t.Path()) + ": " + err.Error()
		}
		return "body of " + strconv.Quote(s.Path()) + ": " + err.Error()
	})
}

// guardTrace logs a text that a user's error has a part in.
func (s *Scope) guardTrace(category string, text func() string) {
	s.guard("Error of an error in the trace", func() { trace.Log(s.traceContext(), category, text()) })
}
