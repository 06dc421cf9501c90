package traigo

import (
	"context"
	"runtime/trace"
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
