package traigo

import (
	"context"
	"errors"
)

// A starting is what Start waits for besides the end of the task.
type starting struct{ ready signal }

// Start spawns fn and returns when fn has called ready, with the task running
// on; a second call of ready has no effect. From then on the task is as one of
// [Scope.Spawn].
//
// If fn returns before that, Start returns its error, or [ErrNotReady], and the
// scope is not touched. If ctx ends before that, the task is canceled and
// joined, and Start returns the cause. Where Start returns an error the task is
// nil. It panics if fn is nil.
//
// The idea is Trio's nursery.start.
func (s *Scope) Start(ctx context.Context, fn func(ctx context.Context, ready func()) error, opts ...TaskOption) (*Task, error) {
	s.check("Start")
	mustHaveFunc("Start", fn != nil, "the function that is to call ready")
	mustHaveContext("Start", ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	t := &Task{scope: s, flags: bubbles | awaited | forStart}
	t.demand().pc = pcOf(fn)
	t.fn = func(ctx context.Context) error {
		err := fn(ctx, t.ready)
		if err == nil && !t.has(isReady) && t.ended() == nil {
			err = ErrNotReady
		}
		return err
	}
	start := new(starting)
	t.special().start = start
	t.configure("Start", opts)
	s.mu.Lock()
	ready := start.ready.waitLocked(false)
	s.mu.Unlock()
	if !s.accept(t, true, ctx.Done()) {
		if s.ended() == nil && ctx.Err() != nil {
			return nil, context.Cause(ctx) // while the scope was full
		}
		return nil, t.Err()
	}

	defer s.lend(ctx.Done())()
	done, gaveUp := t.expect(0)
	for {
		select {
		case <-ready:
			return t, nil
		case <-done:
			return t.startedOr(nil)
		case <-gaveUp:
			if t.has(givenUp) {
				return t.startedOr(nil)
			}
			_, gaveUp = t.expect(0)
		case <-ctx.Done():
			if !t.leaveStart() {
				return t.startedOr(nil)
			}
			late := context.Cause(ctx)
			t.Cancel(late)
			_ = t.Wait(context.Background())
			return t.startedOr(late)
		}
	}
}

// leaveStart is how a caller leaves whose context has ended: unless the task is
// ready or has ended already, ready has no effect from now on.
func (t *Task) leaveStart() bool {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if t.has(isReady | hasEnded) {
		return false
	}
	t.set(startLeft)
	return true
}

// startedOr is the result of a Start whose task is ready, has ended, or was
// given up. late is the end of the caller's context, if that came first.
func (t *Task) startedOr(late error) (*Task, error) {
	if t.has(isReady) {
		return t, nil
	}
	err, failed := t.Err(), false
	switch {
	case t.has(givenUp):
		err, failed = t.stuck(), true
	case err == nil:
		err = ErrNotReady
	default:
		failed, _ = t.verdict(err)
	}
	switch {
	case late == nil:
		return nil, err
	case failed:
		return nil, errors.Join(late, err)
	default:
		return nil, late
	}
}

// ready is what the function of Start calls.
func (t *Task) ready() {
	s := t.scope
	s.mu.Lock()
	if t.has(hasEnded | isReady | startLeft | givenUp) {
		s.mu.Unlock()
		return
	}
	t.set(isReady)
	s.live++ // until observers have heard
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		t.rare().start.ready.giveLocked()
		s.live--
		s.settle()
	}()
	s.emit(TaskReady, t, nil)
}
