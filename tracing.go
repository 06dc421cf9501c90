package traigo

import (
	"context"
	"runtime/trace"
	"strconv"
)

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
