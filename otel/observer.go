package oteltraigo

import (
	"context"
	"time"

	"github.com/traigo/traigo"
)

// An observer is the Observer of an Instrumentation.
type observer struct{ *Instrumentation }

// Observe ends the spans that wrap has started, and records the metrics.
func (i observer) Observe(e traigo.Event) {
	switch e.Kind {
	case traigo.ScopeOpened:
		i.open(e.Scope)
		return
	case traigo.ScopeFinalized, traigo.TaskSpawned, traigo.TaskStarted:
		return
	default:
	}
	s := i.stateOf(e.Scope)
	if s == nil {
		return // a task that was given up has ended when its scope was closed
	}
	switch e.Kind {
	case traigo.ScopeCanceled:
		s.cancel(e.Err, e.Time)
	case traigo.ScopeClosed:
		i.close(s, e.Err)
	case traigo.TaskReady:
		s.addEvent(e.Task, readyEvent)
	case traigo.TaskAbandoned:
		s.addEvent(e.Task, abandonedEvent)
	case traigo.TaskEnded:
		i.endTask(s, e.Task, outcomeOf(e.Task, e.Err))
	case traigo.TaskStuck:
		i.endTask(s, e.Task, givenUp(e.Task, e.Err))
	default:
	}
}

func (i *Instrumentation) stateOf(s *traigo.Scope) *scope {
	if s == nil {
		return nil
	}
	state, _ := i.scopes.Load(s)
	found, _ := state.(*scope)
	return found
}

func (i *Instrumentation) open(s *traigo.Scope) {
	if i.stateOf(s) != nil {
		return // it has the options twice
	}
	i.scopes.Store(s, &scope{scope: s, parent: i.stateOf(s.Parent()), path: s.Path(), opened: time.Now()})
}

// close ends the span of a Run, after those of its tasks.
func (i *Instrumentation) close(s *scope, err error) {
	i.scopes.Delete(s.scope)
	for t, r := range s.close() {
		i.finish(s, t, r, givenUp(t, nil))
	}
	o, ctx := outcomeOfScope(s.cause, err), context.Background()
	if body := s.body.Load(); body != nil {
		if o.kind != "" {
			body.span.SetAttributes(cancelKindKey.String(o.kind))
		}
		body.end(s, o)
		ctx = body.ctx
	}
	i.metrics.scopeClosed(ctx, s, o)
}

// endTask ends the span of t, unless that has ended when t was given up.
func (i *Instrumentation) endTask(s *scope, t *traigo.Task, o outcome) {
	if r, ok := s.remove(t, o.mayCancel(t.Flags())); ok {
		i.finish(s, t, r, o)
	}
}

func (i *Instrumentation) finish(s *scope, t *traigo.Task, r running, o outcome) {
	r.end(s, o)
	i.metrics.taskEnded(t, r, o)
}
