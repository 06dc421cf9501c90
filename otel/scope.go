package oteltraigo

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/traigo/traigo"
)

// A scope is what is known of a scope that is not closed.
type scope struct {
	scope  *traigo.Scope
	parent *scope // nil if that is not instrumented
	path   string
	opened time.Time

	body atomic.Pointer[body] // of Run; nil for New and Fork

	mu         sync.Mutex // protects the fields below
	tasks      map[*traigo.Task]running
	peak       int // the greatest size of tasks since that was made
	suspects   []suspect
	cause      *traigo.Cancellation // nil until the scope is canceled
	canceledAt time.Time
	isClosed   bool
}

// A body is that of a Run.
type body struct {
	running
	outside trace.SpanContext // of the span that its context had outside
}

// A suspect is a task that has ended in a way that cancels its scope. When the scope is
// canceled the one that was the first is known, and the others are forgotten.
type suspect struct {
	task *traigo.Task
	span trace.SpanContext
}

// maxSuspects is how many suspects are kept, the most recent ones. It is reached only by
// failures that cancel nothing after all, like those before ready of Scope.Start, and
// when more tasks than that fail at once.
const maxSuspects = 32

// parentFor returns the context to start a span from. A task has the values of the context
// outside of its scope, which does not have the span of Run: so it is added, unless ctx has
// another span than outside of that Run: that of Values, or of a New in a task.
func (s *scope) parentFor(ctx context.Context, in trace.SpanContext) context.Context {
	for ; s != nil; s = s.parent {
		body := s.body.Load()
		if body == nil {
			continue
		}
		if body.outside.TraceID() == in.TraceID() && body.outside.SpanID() == in.SpanID() {
			return trace.ContextWithSpan(ctx, body.span)
		}
		break
	}
	return ctx
}

// has reports whether the function of t, or of the body if t is nil, has been called.
func (s *scope) has(t *traigo.Task) bool {
	if t == nil {
		return s.body.Load() != nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.tasks[t]
	return ok
}

// add stores a task that runs, and reports false if the scope is closed.
func (s *scope) add(t *traigo.Task, r running) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed {
		return false
	}
	if s.tasks == nil {
		s.tasks = make(map[*traigo.Task]running)
	}
	s.tasks[t] = r
	s.peak = max(s.peak, len(s.tasks))
	return true
}

// remove forgets t, which may be about to cancel the scope.
func (s *scope) remove(t *traigo.Task, mayCancel bool) (r running, ok bool) {
	const many = 1024
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok = s.tasks[t]
	if !ok {
		return r, false
	}
	delete(s.tasks, t)
	if len(s.tasks) == 0 && s.peak > many {
		s.tasks, s.peak = nil, 0 // a map does not shrink
	}
	if mayCancel && s.cause == nil {
		if len(s.suspects) == maxSuspects {
			s.suspects = slices.Delete(s.suspects, 0, 1)
		}
		s.suspects = append(s.suspects, suspect{t, r.span.SpanContext()})
	}
	return r, true
}

// addEvent adds an event to the span of t or, if t is nil, of the body.
func (s *scope) addEvent(t *traigo.Task, name string) {
	if t == nil {
		if body := s.body.Load(); body != nil {
			body.span.AddEvent(name)
		}
		return
	}
	s.mu.Lock()
	r, ok := s.tasks[t]
	s.mu.Unlock()
	if ok {
		r.span.AddEvent(name)
	}
}

// cancel records why the scope was canceled.
func (s *scope) cancel(cause error, at time.Time) {
	c, _ := cause.(*traigo.Cancellation)
	by := s.scope.CanceledBy()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cause, s.canceledAt = c, at
	s.suspects = slices.Clip(slices.DeleteFunc(s.suspects, func(x suspect) bool { return x.task != by }))
}

// close marks the scope closed, and returns what is still stored: tasks that were given up
// before they began.
func (s *scope) close() map[*traigo.Task]running {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.tasks
	s.tasks, s.isClosed = nil, true
	return left
}

// canceledSince returns when the scope was canceled, but not a time before begun. A task
// may have been canceled alone, or may have learned of the cancellation before s did: then
// it is now.
func (s *scope) canceledSince(begun time.Time) time.Time {
	s.mu.Lock()
	at := s.canceledAt
	s.mu.Unlock()
	if at.IsZero() {
		return time.Now()
	}
	if at.Before(begun) {
		return begun
	}
	return at
}

// causedBy returns the span of the task that began the cancellation c, which is of s or of
// a scope above; the zero SpanContext if that has none. It does not rely on cancel
// having been called there: a task may learn that its scope is canceled before that.
func (s *scope) causedBy(c *traigo.Cancellation) trace.SpanContext {
	for ; s != nil; s = s.parent {
		if s.path != c.Scope {
			continue
		}
		by := s.scope.CanceledBy()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, x := range s.suspects {
			if x.task == by {
				return x.span
			}
		}
		if r, ok := s.tasks[by]; ok {
			return r.span.SpanContext() // it was given up, and the event TaskStuck is yet to come
		}
		break
	}
	return trace.SpanContext{}
}

// firstOf returns the cancellation because of which that of a scope below came.
func firstOf(c *traigo.Cancellation) *traigo.Cancellation {
	for range maxDepth {
		above, ok := c.Err.(*traigo.Cancellation)
		if !ok || c.Kind != traigo.ParentCanceled {
			break
		}
		c = above
	}
	return c
}
