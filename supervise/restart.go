package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
)

// Restart returns a function for [traigo.Scope.Spawn]. It runs fn, and runs it again
// after a delay when it has failed. The options say after which results it is run again,
// how often, and after which delay. Give [traigo.NameOf] fn to name the task after it.
//
// Each run has a scope of its own below the scope of the task. The scope is named after
// the task, "feed attempt 2" for example. So everything that fn has spawned in the scope
// that its context carries has ended before the next run begins. Each restart is logged
// at level WARN and reported to [OnRestart].
//
// When there is no further run, the function returns the error of the last run as it is,
// or in a [*RestartError] if no more restarts are allowed. It is the error of the task,
// and belongs to the scope as that of any task. The function does not run fn again
//
//   - if ctx is done. It returns the cause of ctx, and does so at once if it is waiting
//     for a restart. If the last run has an error that is not due to the cancellation,
//     the function returns that error;
//   - if [traigo.Stopping] is closed when a run ends. If it is closed while the function
//     waits for a restart, the function returns nil at once, because the error of the
//     last run has been logged;
//   - after an error that is, or wraps, one made by [Permanent];
//   - after an error that wraps a [*traigo.StuckError]: a part of that run still runs;
//   - after a panic, which is raised: see [PanicAsError];
//   - after a runtime.Goexit in fn, which t.FailNow of package testing calls to end a
//     test. The task then ends with [traigo.ErrGoexit]. A Goexit in a task that fn has
//     spawned is an error of the run like any other.
//
// Restart panics if fn or an option is nil. Several tasks may run the returned function,
// at the same time or one after the other; each call has delays and limits of its own.
//
// The idea is that of Erlang's supervisors and of github.com/thejerf/suture.
func Restart(fn func(ctx context.Context) error, opts ...Option) func(ctx context.Context) error {
	mustHave("Restart", fn != nil, "function", "pass the one that is to be restarted")
	r := newRestarter("Restart", opts)
	return func(ctx context.Context) error { return r.run(ctx, fn) }
}

// Retry calls fn, and calls it again after a delay when it has failed. It returns what the
// last call has returned. The options are those of [Restart], and mean the same: without
// any, Retry calls fn until it succeeds or ctx is done, with delays that grow. Bound it with
// [Attempts], [Backoff], or the deadline of ctx.
//
// Each call has a scope of its own, as a run of Restart has, and it has failed if a task of
// that scope has. The scope is canceled when the call has ended, so the result must not
// depend on the context that fn got. Each retry is logged at level WARN and reported to
// [OnRestart].
//
// The value is the one that fn has returned in the last call, also beside an error; after
// a panic that [PanicAsError] has made an error it is the zero value. The error is nil, the
// error of the last call as it is, or that error in a [*RestartError] if no more retries are
// allowed. fn is not called again
//
//   - if ctx is done. If the last call has an error that is not due to the cancellation,
//     Retry returns that error. If Retry is waiting, it returns at once, with an error that
//     wraps the cause of ctx. The text of that error ends with the error of the last call;
//     errors.Is does not find that one, so that a task which ends so was canceled and has
//     not failed;
//   - if [traigo.Stopping] is closed when a call ends, or while Retry waits. It then returns
//     the error of the last call. What must be retried even then belongs in a
//     [traigo.Run] inside a [traigo.Shield], which a soft stop does not reach;
//   - after errors of [Permanent], errors that wrap a [*traigo.StuckError], a panic and a
//     runtime.Goexit, as with Restart.
//
// As with Restart, fn is called once if ctx is done already. Retry panics if ctx, fn or an
// option is nil, and if the policy is [Always], which would call fn again after a success
// and drop its result.
func Retry[T any](ctx context.Context, fn func(ctx context.Context) (T, error), opts ...Option) (T, error) {
	mustHave("Retry", ctx != nil, "context", "pass context.Background() if there is no other")
	mustHave("Retry", fn != nil, "function", "pass the one that is to be called")
	r := newRestarter("Retry", opts)
	if r.when == Always {
		panic("traigo: supervise.Retry: When(Always) would drop the result of each call; leave it out, or use Restart")
	}
	r.isCall = true
	var value T
	err := r.run(ctx, func(ctx context.Context) (err error) {
		var none T
		value = none // fn may panic
		value, err = fn(ctx)
		return err
	})
	return value, err
}

func newExponential() backoff.BackOff { return backoff.NewExponentialBackOff() }

// Permanent wraps err to say that a restart cannot help. [Retry] and the function made by
// [Restart] then return err without the wrapper. If other code has wrapped the result of
// Permanent in an error of its own, they return that error unchanged. Permanent(nil) is
// nil. It is the same as [backoff.Permanent].
func Permanent(err error) error { return backoff.Permanent(err) }

// A RestartError is the error of [Retry], or of a function made by [Restart], that has
// failed and was not run again, because [Intensity] or [Attempts] allows no more restarts, or
// because the policy of [Backoff] has returned [backoff.Stop]. To Retry a restart is a
// further call.
type RestartError struct {
	Restarts int           // the number of restarts: within the period of Intensity, or all
	Within   time.Duration // the period of Intensity, or the time since the first run began
	Stopped  bool          // whether Attempts or the policy of Backoff has stopped it, and not Intensity
	Err      error         // the error of the last run; nil is possible with Always
}

func (e *RestartError) Error() string {
	times, are := "1 restart", "is"
	if e.Restarts != 1 {
		times, are = strconv.Itoa(e.Restarts)+" restarts", "are"
	}
	switch elapsed := e.Within.Round(time.Millisecond); {
	case e.Stopped && e.Err == nil:
		return fmt.Sprintf("gave up after %s in %v: the last run returned no error", times, elapsed)
	case e.Stopped:
		return fmt.Sprintf("gave up after %s in %v: %v", times, elapsed, e.Err)
	case e.Err == nil:
		return fmt.Sprintf("gave up: %s within %v %s allowed, and it ended again, without an error", times, e.Within, are)
	default:
		return fmt.Sprintf("gave up: %s within %v %s allowed, and it failed again: %v", times, e.Within, are, e.Err)
	}
}

// Unwrap returns the error of the last run.
func (e *RestartError) Unwrap() error { return e.Err }

// A restarter holds the options. All calls of the function that Restart returns share it,
// so it is never written after Restart.
type restarter struct {
	newPolicy    func() backoff.BackOff
	onRestart    func(Event)
	logger       *slog.Logger
	resetAfter   time.Duration
	attempts     int // 0: no limit
	limit        int // 0: none
	window       time.Duration
	when         Policy
	panicAsError bool
	isCall       bool // of Retry: there is somebody who needs the result
}

func newRestarter(call string, opts []Option) *restarter {
	r := &restarter{newPolicy: newExponential, resetAfter: time.Minute}
	for _, o := range opts {
		mustHave(call, o != nil, "option", "leave it out")
		o.applyRestart(r)
	}
	return r
}

// run runs fn until no further run follows, and returns the error of the task or call.
func (r *restarter) run(ctx context.Context, fn func(context.Context) error) error {
	s := schedule{restarter: r, began: time.Now()}
	var stopping <-chan struct{}
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := r.attempt(ctx, fn, attempt)
		if ctx.Err() != nil || !r.mayFollow(err) {
			return withoutMark(err)
		}
		if stopping == nil {
			stopping = traigo.Stopping(ctx)
		}
		if isClosed(stopping) {
			return err
		}
		delay, ok := s.next(err, time.Since(began))
		if !ok {
			return s.giveUp(err)
		}
		r.report(ctx, Event{Attempt: attempt, Err: err, Delay: delay})
		if !wait(ctx, stopping, delay) {
			return r.interrupted(ctx, err)
		}
	}
}

// attempt runs fn once.
func (r *restarter) attempt(ctx context.Context, fn func(context.Context) error, number int) error {
	name := "attempt " + strconv.Itoa(number)
	if t := traigo.CurrentTask(ctx); t != nil {
		name = t.Name() + " " + name
	}
	opts := [2]traigo.ScopeOption{traigo.Name(name), traigo.PanicAsError()}
	n := 1
	if r.panicAsError {
		n = 2
	}
	_, err := runInScope(ctx, fn, opts[:n]...)
	return err
}

// mayFollow reports whether another run may follow one that has returned err.
func (r *restarter) mayFollow(err error) bool {
	switch {
	case r.when == Never || err == nil && r.when == OnFailure:
		return false
	case err == nil:
		return true
	}
	_, permanent := errors.AsType[*backoff.PermanentError](err)
	_, stuck := errors.AsType[*traigo.StuckError](err)
	return !permanent && !stuck
}

// withoutMark returns err without the wrapper of Permanent.
func withoutMark(err error) error {
	if p, ok := err.(*backoff.PermanentError); ok && p.Err != nil { //nolint:errorlint // an error around the wrapper must not get lost
		return p.Err
	}
	return err
}

func (r *restarter) report(ctx context.Context, e Event) {
	message := "the task has failed and is to be restarted"
	if r.isCall {
		message = "the call has failed and is to be retried"
	}
	log(ctx, r.logger, slog.LevelWarn, message, traigo.Current(ctx), traigo.CurrentTask(ctx), e.Err,
		slog.Int("attempt", e.Attempt), slog.Duration("delay", e.Delay))
	if r.onRestart != nil {
		r.onRestart(e)
	}
}

// wait waits for d and returns true. It returns false at once if ctx is done or stopping is
// closed.
func wait(ctx context.Context, stopping <-chan struct{}, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-stopping:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil && !isClosed(stopping)
}

// interrupted returns the error of a task or call that ends while it waits, after a run
// that has returned last.
func (r *restarter) interrupted(ctx context.Context, last error) error {
	switch canceled := ctx.Err() != nil; { // looked at first, because a cancellation closes stopping too
	case canceled && r.isCall:
		return &interruptedError{cause: context.Cause(ctx), last: last}
	case canceled:
		return context.Cause(ctx)
	case r.isCall:
		return last
	default:
		return nil // last was logged, and nobody waits for a result
	}
}

// An interruptedError is the error of a Retry that was waiting when ctx ended. The caller
// wants to read why the last call has failed. But to errors.Is, and so to the scope, the
// error is the cancellation and nothing else: a call that ends while it waits and one that
// ends in the middle of an attempt are the same to [traigo.MoveOnAfter], say.
type interruptedError struct{ cause, last error }

func (e *interruptedError) Error() string {
	return fmt.Sprintf("%v; the last attempt failed: %v", e.cause, e.last)
}

func (e *interruptedError) Unwrap() error { return e.cause }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A schedule decides when the next run of one call begins, if there is one.
type schedule struct {
	*restarter
	began        time.Time
	policy       backoff.BackOff
	restarts     int
	limitReached bool
	recent       []time.Time // the restarts within the last window, if there is a limit
}

// next returns the delay after a run that has returned err, and whether another run
// follows. lasted is how long the run has taken.
func (s *schedule) next(err error, lasted time.Duration) (delay time.Duration, ok bool) {
	if s.attempts > 0 && s.restarts+1 >= s.attempts {
		return 0, false
	}
	switch {
	case s.policy == nil:
		s.policy = s.newPolicy()
		mustHave("Backoff", s.policy != nil, "policy", "the function has to make one")
		s.policy.Reset()
	case lasted >= s.resetAfter:
		s.policy.Reset()
	}
	delay = s.policy.NextBackOff()
	if delay < 0 { // backoff.Stop
		return 0, false
	}
	if after, is := errors.AsType[*backoff.RetryAfterError](err); is {
		delay = max(after.Duration, 0)
	}
	if s.limit > 0 && !s.admit(time.Now().Add(delay)) {
		s.limitReached = true
		return 0, false
	}
	s.restarts++
	return delay, true
}

// giveUp returns the error of the call if no run follows one that has returned err.
func (s *schedule) giveUp(err error) error {
	switch {
	case s.limitReached:
		return &RestartError{Restarts: s.limit, Within: s.window, Err: err}
	case s.restarts > 0:
		return &RestartError{Restarts: s.restarts, Within: time.Since(s.began), Stopped: true, Err: err}
	default:
		return err
	}
}

// admit counts a restart at a given time. It returns false if there have been as many as
// the limit allows within the window that ends then.
func (s *schedule) admit(at time.Time) bool {
	old := 0
	for old < len(s.recent) && at.Sub(s.recent[old]) >= s.window {
		old++
	}
	s.recent = append(s.recent[:0], s.recent[old:]...)
	if len(s.recent) >= s.limit {
		return false
	}
	s.recent = append(s.recent, at)
	return true
}
