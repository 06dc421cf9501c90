package traigo

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// SetTimeout sets the timeout of the scope to d from now, replacing the previous one; 0
// removes it. If the scope has been canceled, SetTimeout does nothing. It panics if d is
// negative.
//
// context.WithDeadline sets no timer if the scope's deadline at that moment is earlier
// than the new one. If SetTimeout extends the scope's timeout afterwards, the derived
// context does not expire by itself, only with the scope.
func (s *Scope) SetTimeout(d time.Duration) {
	s.check("SetTimeout")
	mustNotBeNegative("SetTimeout", d)
	s.expire(nil) // what has passed has passed, whether or not its timer has been served
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= Canceling {
		return
	}
	a := &s.ownExtLocked().alarm
	a.stopTimer()
	a.timeout, a.deadline = d, time.Time{}
	if d > 0 {
		a.deadline = time.Now().Add(d)
		a.timer = time.AfterFunc(d, func() { s.onTimer(nil, 0) })
	}
}

// An alarm is the timeout of a scope and its timer. It is protected by the mu of the
// scope.
type alarm struct {
	timeout  time.Duration
	deadline time.Time
	timer    *time.Timer // calls onTimer
}

func (a *alarm) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// startClock starts the timer of a task.
func (t *Task) startClock(x *taskExt) {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	if !t.has(hasEnded) {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { t.scope.onTimer(t, 0) })
	}
}

// onTimer is what the timer of the scope, or of a task, calls. Package context serves a
// timer that is due on another goroutine: if the end of a context of its own is due as
// well, onTimer comes back a few times, and leaves the decision to that.
func (s *Scope) onTimer(t *Task, times int) {
	isForeignDue := times < foreignTries && s.isForeignDue()
	s.mu.Lock()
	switch {
	case s.state >= Canceling:
		s.mu.Unlock()
		return
	case isForeignDue:
		timer := &s.ext.timer
		if t != nil {
			timer = &t.ownExt().timer
		}
		*timer = time.AfterFunc(time.Nanosecond, func() { s.onTimer(t, times+1) })
		s.mu.Unlock()
		return
	}
	s.pinLocked()
	s.mu.Unlock()
	s.timeOutPassed(t)
	s.unpin()
}

// expire lets every deadline that has passed by now take effect: that of t, if it is not
// nil, of s, and of the tasks and scopes above. So deadlines are decided by the clock, and
// not by the order in which timers are served: everything that is about to decide a failure
// calls expire.
func (s *Scope) expire(t *Task) {
	for i := 0; i < foreignTries && s.isForeignDue(); i++ {
		time.Sleep(time.Nanosecond)
	}
	s.timeOutPassed(t)
}

// foreignTries is how often the end of a context that is not ours is waited for when its
// deadline has passed, a nanosecond each. In a synctest bubble once is enough: time goes on
// when all goroutines have done what they had to do. The real clock knows no such moment. A
// context that keeps a deadline, but not its end, has no deadline after that.
const foreignTries = 8

// isForeignDue reports whether the deadline of an outer context that is not ours, of s or
// of a scope above, has passed, and no later than that of the scope, but the context has
// not ended.
func (s *Scope) isForeignDue() bool {
	for p := s; p != nil; p = p.parent {
		if p.together || p.outer.Done() == nil {
			continue
		}
		at, ok := p.outer.Deadline()
		if !ok || !isPassed(at) || p.outer.Err() != nil {
			continue
		}
		p.mu.Lock()
		own := p.ext.deadline
		p.mu.Unlock()
		if own.IsZero() || !own.Before(at) {
			return true
		}
	}
	return false
}

// A passed deadline is that of a scope, or of a task of a scope.
type passed struct {
	at    time.Time
	scope *Scope
	task  *Task
}

// timeOutPassed ends what has run out of time: the earliest deadline comes first, of equals
// the outermost.
func (s *Scope) timeOutPassed(t *Task) {
	var due []passed
	for p := s; p != nil; t, p = p.opener, p.parent {
		if t != nil && t.isOverdue() {
			due = append(due, passed{t.ext.Load().deadline, p, t})
		}
		p.mu.Lock()
		at := p.ext.deadline
		alive := p.state < Canceling
		p.mu.Unlock()
		if alive && isPassed(at) {
			due = append(due, passed{at, p, nil})
		}
	}
	slices.Reverse(due) // the outermost first, for those that are equal
	slices.SortStableFunc(due, func(a, b passed) int { return a.at.Compare(b.at) })
	for _, d := range due {
		if t := d.task; t != nil {
			t.cancelFor(reason{kind: TimedOut, task: t, err: &TimeoutError{Scope: t.Path(), After: t.ext.Load().timeout}})
		} else {
			d.scope.timeOut(d.at)
		}
	}
}

// isOverdue reports whether the time of t is up, and nothing has canceled it so far.
func (t *Task) isOverdue() bool {
	x := t.ext.Load()
	return x != nil && isPassed(x.deadline) && !t.has(hasEnded) && t.alone() == nil
}

// isPassed reads the clock only if there is a deadline.
func isPassed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// timeOut ends the scope if its deadline is still the one that has passed.
func (s *Scope) timeOut(at time.Time) {
	path := s.Path()
	s.lock()
	if a := &s.ext.alarm; a.deadline.Equal(at) {
		s.endLocked(reason{kind: TimedOut, err: &TimeoutError{Scope: path, After: a.timeout}})
	}
	s.settle()
}

// MoveOnAfter, FailAfter and Shield limit the time of a function that runs on the calling
// goroutine. They correspond to Trio's cancel scopes, but open no Scope: Current(ctx) is
// unchanged in the function.

// MoveOnAfter calls fn, on the calling goroutine, with a context that expires after d. It
// reports whether the context had expired when fn returned. If so, and the error of fn
// only reports that, err is nil; otherwise err is the error of fn. If ctx was done first,
// or at the same instant, expired is false. If d is 0 the context has expired when fn is
// called. MoveOnAfter panics if ctx or fn is nil or d is negative.
func MoveOnAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) (expired bool, err error) {
	b := newBlock("MoveOnAfter", ctx, d, fn)
	e, err := b.call(fn)
	if e == nil {
		return false, err
	}
	if e.isConsequence(err, Current(ctx)) {
		return true, nil
	}
	return true, err
}

// FailAfter calls fn, on the calling goroutine, with a context that expires after d. If
// the context has expired and fn returns an error, FailAfter returns a [*TimeoutError],
// joined with the error of fn if that says more. If ctx was done first, or fn returns
// nil, FailAfter returns what fn returned. If d is 0 the context has expired when fn is
// called. FailAfter panics if ctx or fn is nil or d is negative.
func FailAfter(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	return newBlock("FailAfter", ctx, d, fn).callOrFail(fn)
}

// Shield is like [FailAfter], but the context of fn is not canceled when ctx is; it has
// the values of ctx. It is meant for cleanup that must run after the scope has been
// canceled.
func Shield(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	mustHaveContext("Shield", ctx)
	n, _ := ctx.Value(nodeKey{}).(node)
	shielded := context.WithValue(context.WithoutCancel(ctx), shieldKey{}, n)
	return newBlock("Shield", shielded, d, fn).callOrFail(fn)
}

// shieldKey finds in a context the node that the innermost Shield around it protects its
// code from.
type shieldKey struct{}

// isShieldOf reports whether nothing lies between the node that ctx is in and a Shield: a
// scope that is opened under ctx does not hear of what happens to n.
func isShieldOf(ctx context.Context, n node) bool {
	from, ok := ctx.Value(shieldKey{}).(node)
	return ok && from == n
}

// Sleep waits for d and returns nil. If ctx is done before, or at the call, it returns
// the cause of ctx at once. It panics if ctx is nil or d is negative.
func Sleep(ctx context.Context, d time.Duration) error {
	mustHaveContext("Sleep", ctx)
	mustNotBeNegative("Sleep", d)
	if ctx.Err() != nil || isDone(ctx.Done()) {
		return causeOf(ctx)
	}
	if d == 0 {
		return nil
	}
	end := time.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return causeOf(ctx)
	}
	// A deadline at the same instant comes first, whichever timer was served first.
	if at, ok := ctx.Deadline(); ok && !at.After(end) {
		expireContext(ctx)
	}
	if ctx.Err() != nil {
		return causeOf(ctx)
	}
	return nil
}

// expireContext is expire for the scope and task that ctx is in.
func expireContext(ctx context.Context) {
	switch n := ctx.Value(nodeKey{}).(type) {
	case *Scope:
		n.expire(nil)
	case *Task:
		n.scope.expire(n)
	}
}

// A block is the context of a function that MoveOnAfter, FailAfter or Shield calls.
type block struct {
	context.Context // expires at deadline
	cancel          context.CancelFunc
	outer           undated
	late            TimeoutError
	deadline        time.Time
}

func newBlock(call string, ctx context.Context, d time.Duration, fn func(context.Context) error) *block {
	mustHaveFunc(call, fn != nil, "the function whose time is to be limited")
	mustHaveContext(call, ctx)
	mustNotBeNegative(call, d)
	b := &block{outer: undated{steady{ctx}}, late: TimeoutError{Scope: pathOf(ctx), After: d}, deadline: time.Now().Add(d)}
	at := b.deadline
	if outer, ok := ctx.Deadline(); ok && outer.Equal(at) {
		at = at.Add(1) // if both expire at the same instant, the outer one must be first
	}
	b.Context, b.cancel = context.WithDeadlineCause(&b.outer, at, &b.late)
	return b
}

// Deadline returns the earlier of b.deadline and the outer deadline, which SetTimeout may
// move.
func (b *block) Deadline() (time.Time, bool) { return earlier(b.deadline, b.outer.Context) }

// call calls fn, and returns the ending of the block by its own deadline; nil if that has
// not passed when fn returns, or something further out has come first, or at the same
// instant.
func (b *block) call(fn func(context.Context) error) (expired *ending, err error) {
	defer b.cancel()
	err = fn(b)
	if !isPassed(b.deadline) || b.Err() != nil && context.Cause(b.Context) != error(&b.late) {
		return nil, err
	}
	expireContext(b.outer.Context)
	if d, ok := b.outer.Context.Deadline(); ok && !d.After(b.deadline) && b.outer.Err() != nil {
		return nil, err
	}
	return &ending{reason: reason{kind: TimedOut, err: &b.late}}, err
}

func (b *block) callOrFail(fn func(context.Context) error) error {
	e, err := b.call(fn)
	if e != nil && err != nil {
		return joined(e, err, Current(b.outer.Context))
	}
	return err
}

// undated hides a deadline, so that package context sets a timer for a later
// one too: the earlier may be that of a scope, and be moved.
type undated struct{ steady }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// A stamp is a reading of the monotonic clock, in nanoseconds since the program started.
// It may be negative in a synctest bubble, which has its own clock. A stamp takes half
// the time of time.Now, which reads the wall clock too.
type stamp time.Duration

var epoch = time.Now()

func now() stamp { return stamp(time.Since(epoch)) }

// after returns the stamp of d later, or the last one there is.
func (at stamp) after(d time.Duration) stamp {
	if at > 0 && d > math.MaxInt64-time.Duration(at) {
		return math.MaxInt64
	}
	return at + stamp(d)
}

// age returns the time since at.
func (at stamp) age() time.Duration { return time.Duration(now() - at) }

// A coarseClock tells the time to within freshness, and reads the clock no more often. In a
// synctest bubble, where a stamp is negative, it is exact. It is not safe for use by several
// goroutines at once.
type coarseClock struct {
	last    stamp
	isFresh atomic.Bool
	timer   *time.Timer // clears isFresh
}

const freshness = 5 * time.Millisecond

func (c *coarseClock) now() stamp {
	if c.isFresh.Load() {
		return c.last
	}
	c.last = now()
	switch {
	case c.last < 0:
		return c.last
	case c.timer == nil:
		c.timer = time.AfterFunc(freshness, func() { c.isFresh.Store(false) })
	default:
		c.timer.Reset(freshness)
	}
	c.isFresh.Store(true)
	return c.last
}

func (c *coarseClock) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// date returns the date of the stamp. It is counted from a date that is known, which costs
// less than time.Now, and from the beginning of the program if that is right, so that two
// snapshots tell the same.
func (at stamp) date() time.Time {
	known := lastDate.Load()
	if known == nil || at < known.from || at >= known.from.after(time.Second) {
		known = at.learnDate()
	}
	return known.date.Add(time.Duration(at - known.at))
}

// A knownDate is the date at the stamp at. It holds for stamps of the second that begins with
// from: the clock of the system may be set, and each synctest bubble has one of its own.
type knownDate struct {
	date     time.Time
	at, from stamp
}

var lastDate atomic.Pointer[knownDate]

func (at stamp) learnDate() *knownDate {
	date := time.Now().Add(-at.age())
	known := &knownDate{date: date, at: at, from: at}
	if same := epoch.Add(time.Duration(at)); at >= 0 && same.Round(0).Sub(date.Round(0)).Abs() < time.Second {
		known.date, known.at = epoch, 0
	}
	lastDate.Store(known)
	return known
}
