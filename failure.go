package traigo

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
)

// Who owns the error of a task, and what that means when it ends.

// An owner is settled at spawn, never by a race.
type owner uint8

const (
	ownScope    owner = iota // it bubbles
	ownCallback              // of OnDone, or of a join that hands it on
	ownAwaiter               // of Async
	ownNobody
)

// settleOwner is the table in the documentation of the options.
func (t *Task) settleOwner() {
	x := t.rare()
	switch {
	case t.flags&(bubbles|bubbleGiven) == bubbles|bubbleGiven:
		t.owner = ownScope
	case x != nil && x.onDone != nil:
		t.owner = ownCallback
	case t.flags&forAwait != 0:
		t.owner = ownAwaiter
	case t.flags&bubbles != 0:
		t.owner = ownScope
	default:
		t.owner = ownNobody
	}
}

// endTask makes the result of t known and lets it have its consequences. t
// counts as live until it is retired. Observers hear of it first, so that the
// failure comes before what it causes; if one of them calls runtime.Goexit, the
// rest is done on the way out.
func (s *Scope) endTask(t *Task, err error, panicked *PanicError) {
	if panicked != nil {
		err = panicked
	}
	failed, err := t.verdict(err)
	if s.settings.panicAsError {
		panicked = nil
	}
	defer s.callBack(t, err)
	defer s.decide(t, err, failed, panicked)
	if failed {
		t.set(hasFailed)
		defer s.traceFailure(t, err)
	}
	s.emit(TaskEnded, t, err)
}

func (s *Scope) callBack(t *Task, err error) {
	if x := t.rare(); x != nil && x.onDone != nil {
		s.guard("OnDone of task "+strconv.Quote(t.Path()), func() { x.onDone(err) })
	}
}

// verdict says whether err, which the task's function returned, is a failure
// and not just what a cancellation looks like from inside. A task that has run
// out of its own time has failed with that.
func (t *Task) verdict(err error) (failed bool, result error) {
	if err == nil {
		return false, nil
	}
	e := t.alone()
	if e != nil && e.kind == TimedOut {
		return true, joined(e, err)
	}
	if e != nil && e.bare(err) {
		return false, err
	}
	e = t.scope.ended()
	return e == nil || !e.bare(err), err
}

// joined is the timeout of e, with what else err has to say.
func joined(e *ending, err error) error {
	switch {
	case e.bare(err):
		return e.err
	case holds(err, e.err):
		return err
	default:
		return errors.Join(e.err, err)
	}
}

// A fate is what becomes of an error that neither ends the scope nor is in its
// outcome.
type fate uint8

const (
	owned      fate = iota // it has an owner
	ignored                // nobody wants it
	suppressed             // it came after a quiet end
	lost                   // nobody is left to take it
)

// decide is where a failure finds its owner.
func (s *Scope) decide(t *Task, err error, failed bool, panicked *PanicError) {
	if m := t.more.Load(); m != nil && m.handOver != nil && panicked == nil && (failed || err != nil && s.ended() == nil) {
		failed = !m.handOver(err) && failed
	}
	up, stuck, fate := s.outerEnded(), failed && isStuck(err), owned

	s.mu.Lock()
	if err != nil {
		t.demand().err = err
	}
	switch {
	case t.has(givenUp) && panicked != nil:
		fate = lost
	case t.has(givenUp) && failed:
		fate = suppressed
	case t.has(givenUp):
	case panicked != nil:
		s.panickedLocked(up, t, panicked)
	case failed:
		fate = s.failedLocked(up, t, err, stuck)
	}
	if t.flags&master != 0 && !t.has(givenUp) {
		s.endLocked(up, reason{kind: MasterEnded, task: t})
	}
	defer s.callHooks(t.publishLocked())
	s.settle()

	switch fate {
	case owned:
	case ignored:
		s.log(slog.LevelDebug, "error ignored: the task does not bubble", t, err)
	case suppressed:
		s.log(slog.LevelWarn, "error after a quiet end, not in the outcome", t, err)
	case lost:
		s.log(slog.LevelError, "panic of a task that had been given up", t, err)
	}
}

func (s *Scope) failedLocked(up *ending, t *Task, err error, stuck bool) fate {
	if t.flags&forStart != 0 && !t.has(isReady) {
		return owned // Start returns it
	}
	switch t.owner {
	case ownScope:
		if s.endLocked(up, reason{kind: TaskFailed, task: t, err: err}) {
			return owned
		}
		// That a goroutine is left behind is not among what a quiet end silences.
		if s.over.Load().quiet() && !stuck {
			return suppressed
		}
		s.keepLocked(t, err)
	case ownAwaiter:
		if t.demand().waiters > 0 {
			t.set(received)
		} else {
			s.holdLocked(t)
		}
	case ownNobody:
		return ignored
	case ownCallback:
	}
	return owned
}

// publishLocked makes the result of t known: to those who wait for it first,
// and only then, by what settle does, to those whom it cancels. Its context is
// done with it, and so is what was derived from that: the hooks it returns are
// to be called. A scope of New outlives the task that opened it, and passes to
// the task's scope.
//
// The bits come before the channels: whoever finds Done closed finds Err set.
func (t *Task) publishLocked() (hooks *hook) {
	s, m, before := t.scope, t.more.Load(), t.bits.Load()
	bits := hasEnded | told
	if s.state < Canceling && (m == nil || m.over.Load() == nil) {
		bits |= endedAlive
	}
	t.set(bits)
	if s.rare.limits != nil && t.id != 0 && before&givenUp == 0 {
		s.leaveLimitsLocked(t)
	}
	if t.ctxDone != nil && before&told == 0 {
		close(t.ctxDone)
	}
	if m == nil {
		return nil
	}
	if m.done != nil {
		close(m.done)
	}
	if x := m.rare.Load(); x != nil && x.timer != nil {
		x.timer.Stop() // or it would keep t
	}
	for h := m.hooks; h != nil; {
		this := h
		h = h.next
		if this.scope != nil && this.scope.how == made && bits&endedAlive != 0 {
			this.removeLocked()
			this.addLocked(&s.hooks)
		}
	}
	return takeHooksLocked(&m.hooks)
}

// The outcome of a scope: what ended it, and what must not be lost besides.

// A result is what a scope collects for its outcome. All lists are short: of
// more than maxKept it keeps the count.
type result struct {
	later     []later // besides the ending, in the order in which they came
	laterMore int

	unreceived     []*Task // failed tasks of Async whose error nobody has yet
	unreceivedMore int

	stuck    StuckError
	panicked *PanicError // of a task or a fork: Run, Wait and Close panic with it
	unasked  []*Scope    // failed forks whose outcome nobody may have asked for
	bodyEnd  error       // what comes out of Run instead of the outcome: the body's panic, or ErrGoexit
}

// A later is an error that came after the ending, or that no ending has.
type later struct {
	task *Task // nil if the error is the body's
	err  error
}

func (l later) error() error {
	if l.task == nil {
		return l.err
	}
	return &TaskError{Task: l.task.Name(), Err: l.err}
}

// quiet reports whether the ending, as such, is no failure.
func (e *ending) quiet() bool {
	return e.kind == Completed || e.kind == MasterEnded || e.kind == Requested && e.err == nil
}

// keepLocked puts an error into the outcome, whatever the ending was.
func (s *Scope) keepLocked(t *Task, err error) {
	room := maxKept
	if s.state >= Canceling && s.over.Load().quiet() {
		room++ // the first becomes Err
	}
	r := s.ownRareLocked()
	if len(r.later) >= room {
		r.laterMore++
		return
	}
	r.later = append(r.later, later{t, err})
}

// panickedLocked records a panic: it ends the scope and is always raised.
func (s *Scope) panickedLocked(up *ending, t *Task, p *PanicError) {
	first := s.endLocked(up, reason{kind: Panicked, task: t, err: p})
	if r := s.ownRareLocked(); r.panicked == nil {
		r.panicked = p
	}
	if !first {
		s.keepLocked(nil, p)
	}
}

// holdLocked keeps the error of a task of Async for whoever awaits it.
func (s *Scope) holdLocked(t *Task) {
	if s.state >= Canceling {
		t.set(heldLate)
	}
	r := s.ownRareLocked()
	if len(r.unreceived) >= maxKept {
		r.unreceivedMore++
		t.set(counted)
		return
	}
	t.set(unreceived)
	r.unreceived = append(r.unreceived, t)
}

// receivedLocked takes it out again: somebody has it. What has joined the
// outcome stays there.
func (s *Scope) receivedLocked(t *Task) {
	switch {
	case t.has(unreceived):
		s.rare.unreceived = slices.DeleteFunc(s.rare.unreceived, func(u *Task) bool { return u == t })
	case t.has(counted) && t.has(heldLate) == (s.state >= Canceling):
		s.rare.unreceivedMore--
	}
	t.clear(unreceived | counted)
	t.set(received)
}

// joinUnreceivedLocked runs as the end of the scope is decided: what nobody has
// received by now joins the outcome.
func (s *Scope) joinUnreceivedLocked() {
	r := s.rare
	if r == nothingRare {
		return
	}
	for _, t := range r.unreceived {
		t.clear(unreceived)
		r.later = append(r.later, later{t, t.result()})
	}
	r.laterMore += r.unreceivedMore
	r.unreceived, r.unreceivedMore = nil, 0
}

// inheritLocked takes over what a closed child leaves: the outcome of a fork
// that nobody has asked for, to be looked at when s closes. It returns one that
// had to make room.
func (s *Scope) inheritLocked(c *Scope) (evicted *Scope) {
	if c.out == nil || c.asked.Load() || c.out.mere() {
		return nil
	}
	r := s.ownRareLocked()
	if len(r.unasked) >= maxKept {
		evicted, r.unasked = r.unasked[0], append(r.unasked[:0:0], r.unasked[1:]...)
		if p := evicted.raised(); p != nil && r.panicked == nil && !evicted.asked.Load() {
			r.panicked = p // a log line is not enough for a panic
			s.keepLocked(nil, p)
			evicted = nil
		}
	}
	r.unasked = append(r.unasked, c)
	return evicted
}

// mere reports an outcome that only says that the parent has ended.
func (e *Error) mere() bool {
	c, ok := e.Err.(*Cancellation)
	return ok && c.Kind == ParentCanceled && len(e.Others) == 0
}

// reportUnasked logs the outcome of a fork that nobody has asked for.
func (s *Scope) reportUnasked(c *Scope) {
	if c != nil && !c.asked.Load() {
		c.log(slog.LevelError, "failed, and nobody has asked for the outcome", nil, c.out)
	}
}

// conclude makes the outcome. Nothing lives in the scope any more, so that what
// it reads does not change.
func (s *Scope) conclude() {
	s.mu.Lock()
	r := s.rare
	unasked, unreceived, unreceivedMore := r.unasked, r.unreceived, r.unreceivedMore
	for _, c := range unasked {
		if p := c.raised(); p != nil && !c.asked.Load() {
			c.asked.Store(true)
			s.keepLocked(nil, p)
			if r.panicked == nil {
				r.panicked = p
			}
		}
	}
	if r != nothingRare {
		r.unasked, r.unreceived = nil, nil
	}
	s.mu.Unlock()

	s.out = s.compose(r) // first: a logger may take this goroutine away
	for _, c := range unasked {
		s.reportUnasked(c)
	}
	for _, t := range unreceived {
		s.log(slog.LevelWarn, "error after the end was decided, and nobody has awaited it", t, t.result())
	}
	if unreceivedMore > 0 {
		s.log(slog.LevelWarn, fmt.Sprintf("%s more like it", count(unreceivedMore, "error")), nil, nil)
	}
	s.reportHidden(r)
}

// compose makes one error of what ended the scope and what came besides.
func (s *Scope) compose(r *scopeRare) *Error {
	var errs []error
	if err := s.ending().failure(); err != nil {
		errs = append(errs, err)
	}
	for _, l := range r.later {
		errs = append(errs, l.error())
	}
	more := r.laterMore
	if len(r.stuck.Tasks) > 0 {
		if len(errs) > maxKept { // Others has no room for it
			errs, more = errs[:maxKept], more+1
		}
		errs = append(errs, &r.stuck)
	}
	if len(errs) <= 1 && more > 0 {
		// Those that were kept have been received since, these were only counted. As
		// an error they cannot get lost when somebody takes this one apart.
		errs = append(errs, fmt.Errorf("%s of tasks that nobody has awaited, more than were kept", count(more, "error")))
		more = 0
	}
	if len(errs) == 0 {
		return nil
	}
	out := &Error{Scope: s.Path(), Err: errs[0], More: more, panicked: r.panicked}
	if len(errs) > 1 {
		out.Others = errs[1:]
	}
	return out
}

// reportHidden logs what nobody gets to see of the outcome, because a panic or
// a Goexit is what comes out of the scope.
func (s *Scope) reportHidden(r *scopeRare) {
	shown := r.bodyEnd
	if r.panicked != nil && (shown == nil || same(shown, ErrGoexit)) {
		shown = r.panicked
	}
	if shown == nil || s.out == nil {
		return
	}
	rest := slices.DeleteFunc(s.out.Unwrap(), func(err error) bool { return same(err, shown) })
	if len(rest) > 0 {
		hidden := &Error{Scope: s.out.Scope, Err: rest[0], Others: rest[1:], More: s.out.More}
		s.log(slog.LevelError, "errors hidden by a panic or a Goexit", nil, hidden)
	}
}

// failure is the outcome as an error: nil, or an *Error.
func (s *Scope) failure() error {
	if s.out == nil {
		return nil
	}
	return s.out
}

// raised is the panic that a closed scope raises; nil for none.
func (s *Scope) raised() *PanicError {
	if s.out == nil {
		return nil
	}
	return s.out.panicked
}

// report gives the outcome to whoever waited: a panic as a panic.
func (s *Scope) report() error {
	if p := s.raised(); p != nil {
		panic(p)
	}
	return s.failure()
}
