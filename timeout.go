package traigo

import (
	"context"
	"time"
)

// SetTimeout gives the scope d from now on, in place of the time it had; 0
// removes the limit. On a scope that has ended it does nothing. It panics if d is
// negative.
//
// A context that package context has derived with a deadline later than that of the scope
// has no timer of its own: if the scope is given more time afterwards, that context still
// ends no earlier than the scope.
func (s *Scope) SetTimeout(d time.Duration) {
	s.check("SetTimeout")
	mustNotBeNegative("SetTimeout", d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= Canceling {
		return
	}
	a := &s.ownExtLocked().alarm
	a.stopTimer()
	a.turn++
	a.timeout, a.deadline = d, time.Time{}
	if d > 0 {
		a.deadline = time.Now().Add(d)
		turn := a.turn
		a.timer = time.AfterFunc(d, func() { s.timeUp(turn, false) })
	}
}

// An alarm is the clock of a scope.
type alarm struct {
	timeout  time.Duration
	deadline time.Time
	timer    *time.Timer
	turn     uint64 // counts the times it was set: a timer that fires late is void
}

func (a *alarm) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// timeUp is what the timer of a scope calls.
func (s *Scope) timeUp(turn uint64, again bool) {
	path := s.Path()
	outer, outerOK := time.Time{}, false
	if !again {
		outer, outerOK = s.outer.Deadline()
	}
	s.lock()
	a := &s.ext.alarm
	switch {
	case a.turn != turn || s.state >= Canceling:
	case outerOK && !outer.After(a.deadline):
		a.timer = time.AfterFunc(grace, func() { s.timeUp(turn, true) })
	default:
		s.endLocked(reason{kind: TimedOut, err: &TimeoutError{Scope: path, After: a.timeout}})
	}
	s.settle()
}

// grace is how long a timer that finds a deadline further out due as well
// leaves the decision to that: of two that are due at the same instant the
// ancestor's wins, whichever timer runs first. It is there for contexts that
// announce a deadline and do not keep it.
const grace = time.Second

// startClock starts the timer of a task.
func (t *Task) startClock(x *taskExt) {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if !t.has(hasEnded) {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { t.timeUp(x, false) })
	}
}

func (t *Task) timeUp(x *taskExt, again bool) {
	if outer, ok := t.scope.context().Deadline(); ok && !again && !outer.After(x.deadline) && t.scope.ended() == nil {
		t.scope.mu.Lock()
		defer t.scope.mu.Unlock()
		if !t.has(hasEnded) {
			x.timer = time.AfterFunc(grace, func() { t.timeUp(x, true) })
		}
		return
	}
	t.cancelFor(reason{kind: TimedOut, task: t, err: &TimeoutError{Scope: t.Path(), After: x.timeout}})
}

// Cancel scopes around a block, in Trio's sense: they limit the time of a
// function that runs here and now. They open no Scope; the current one stays.

// MoveOnAfter calls fn with a context that expires after d, and says whether
// it had expired when fn returned. If so, an error of fn that only says that it
// was canceled is dropped: the caller moves on. Any other error, and an outer
// cancellation or deadline, comes through as it is. A d of 0 has expired at
// once. It panics if d is negative.
func MoveOnAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) (expired bool, err error) {
	b := newBlock("MoveOnAfter", ctx, d, fn)
	err = b.call(fn)
	e := b.expired()
	if e == nil {
		return false, err
	}
	if e.isConsequence(err) {
		return true, nil
	}
	return true, err
}

// FailAfter calls fn with a context that expires after d. If it has expired and
// fn returns an error, FailAfter returns a [*TimeoutError] of its own, joined
// with what else fn had to say. An outer cancellation or deadline comes through
// as it is. A d of 0 has expired at once. It panics if d is negative.
func FailAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	return newBlock("FailAfter", ctx, d, fn).callOrFail(fn)
}

// Shield calls fn with a context that has the values of ctx but does not hear
// its cancellation: for cleanup that must be done although the scope has ended.
// It has d for that, and fails with a [*TimeoutError] like FailAfter. It panics
// if d is negative.
func Shield(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	mustHaveContext("Shield", ctx)
	return newBlock("Shield", context.WithoutCancel(ctx), d, fn).callOrFail(fn)
}

// Sleep returns nil after d, or the cause of the end of ctx if that comes first.
// It panics if d is negative.
func Sleep(ctx context.Context, d time.Duration) error {
	mustHaveContext("Sleep", ctx)
	mustNotBeNegative("Sleep", d)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A block is the context of a limited function.
type block struct {
	context.Context // with a deadline of its own
	cancel          context.CancelFunc
	outer           context.Context
	late            *TimeoutError
	deadline        time.Time
}

func newBlock(call string, ctx context.Context, d time.Duration, fn func(context.Context) error) *block {
	mustHaveFunc(call, fn != nil, "the function whose time is to be limited")
	mustHaveContext(call, ctx)
	mustNotBeNegative(call, d)
	b := &block{outer: ctx, late: &TimeoutError{Scope: pathOf(ctx), After: d}, deadline: time.Now().Add(d)}
	at := b.deadline
	if outer, ok := ctx.Deadline(); ok && outer.Equal(at) {
		at = at.Add(1) // of two at the same instant the outer one wins
	}
	b.Context, b.cancel = context.WithDeadlineCause(undated{ctx}, at, b.late)
	return b
}

// Deadline is the current one, also where the scope's is moved meanwhile.
func (b *block) Deadline() (time.Time, bool) { return earlier(b.deadline, b.outer) }

func (b *block) call(fn func(context.Context) error) error {
	defer b.cancel()
	return fn(b)
}

// expired is the ending of the block by its own deadline; nil if that has not
// passed, or something further out has come first, or at the same instant.
func (b *block) expired() *ending {
	if context.Cause(b.Context) != error(b.late) {
		return nil
	}
	if d, ok := b.outer.Deadline(); ok && !d.After(b.deadline) {
		return nil
	}
	return &ending{reason: reason{kind: TimedOut, err: b.late}}
}

func (b *block) callOrFail(fn func(context.Context) error) error {
	err := b.call(fn)
	if e := b.expired(); e != nil && err != nil {
		return joined(e, err)
	}
	return err
}

// undated hides a deadline, so that package context sets a timer for a later
// one too: the earlier may be that of a scope, and be moved.
type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// AfterFunc keeps package context from starting a goroutine for a wrapper it
// does not know.
func (u undated) AfterFunc(f func()) (stop func() bool) {
	if c, ok := u.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(u.Context, f)
}

// A stamp is a moment on the monotonic clock, in nanoseconds since the program
// began; in a synctest bubble, which has a clock of its own, it may be negative.
// It takes half as long to read as time.Now, which asks for the date too.
type stamp time.Duration

var epoch = time.Now()

func now() stamp { return stamp(time.Since(epoch)) }

// age is how long ago that was.
func (at stamp) age() time.Duration { return time.Duration(now() - at) }

// date is when it was. It is worked out from now on backwards: so the clock of
// a synctest bubble, which has an epoch of its own, tells the date too.
func (at stamp) date() time.Time { return time.Now().Add(-at.age()) }
