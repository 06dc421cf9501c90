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

// Restart returns a function for [traigo.Scope.Spawn] that runs fn, and runs it
// again when it fails, after a delay. The options say when, how often, and how
// long after.
//
// Each run is a scope below that of the task, named after it, "feed attempt 2"
// say: so whatever it has spawned in the scope that its context carries has
// ended before the next begins. A restart is logged at WARN and given to
// [OnRestart].
//
// The error of the last run is the task's. It comes out as it was returned, or in
// a [*RestartError] if there have been too many. There is no restart
//
//   - once ctx is done: the function returns the cause, at once if it is waiting
//     for a restart, unless a run has something else to say. Once [traigo.Stopping]
//     is closed it returns the error of the last run, and nil if it is waiting:
//     that error has been reported;
//   - after an error that has a [Permanent] one in it;
//   - after one that has a [*traigo.StuckError] in it: something of that run is
//     still running;
//   - after a panic: it is raised; see [PanicAsError];
//   - after a runtime.Goexit in fn: the task ends with [traigo.ErrGoexit]. It is
//     how a test says that it is over, and must not be begun again for that. In a
//     task that fn has spawned it is a failure like any other.
//
// It panics if fn or an option is nil. Where the returned function is run by
// several tasks, or several times, each has delays and limits of its own.
//
// The idea is that of Erlang's supervisors, and of suture.
func Restart(fn func(ctx context.Context) error, opts ...Option) func(ctx context.Context) error {
	mustHave("Restart", fn != nil, "function", "pass the one that is to be restarted")
	r := &restarter{fn: fn, newPolicy: newExponential, resetAfter: time.Minute}
	for _, o := range opts {
		mustHave("Restart", o != nil, "option", "leave it out")
		o.applyRestart(r)
	}
	return func(ctx context.Context) error { return r.run(ctx) }
}

func newExponential() backoff.BackOff { return backoff.NewExponentialBackOff() }

// Permanent marks err as one after which a restart would be of no use. What
// [Restart] then returns is err itself; where the mark is inside another error,
// that error as it is. Permanent(nil) is nil. It is [backoff.Permanent].
func Permanent(err error) error { return backoff.Permanent(err) }

// A RestartError says that a function was not restarted again, because [Intensity]
// allows no more restarts, or because the policy of [Backoff] has returned
// [backoff.Stop].
type RestartError struct {
	Restarts int           // how many there were in the window of Intensity, or in all
	Within   time.Duration // the window of Intensity, or the time since the first run began
	Stopped  bool          // by the policy of Backoff, and not by Intensity
	Err      error         // of the last run; nil is possible with Always
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

// A restarter is what the options have made; it is shared by all calls.
type restarter struct {
	fn           func(context.Context) error
	newPolicy    func() backoff.BackOff
	onRestart    func(Event)
	logger       *slog.Logger
	resetAfter   time.Duration
	limit        int // 0: none
	window       time.Duration
	when         Policy
	panicAsError bool
}

func (r *restarter) run(ctx context.Context) error {
	p := pace{restarter: r, began: time.Now()}
	var stopping <-chan struct{}
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := r.attempt(ctx, attempt)
		if ctx.Err() != nil || !r.wantsAnother(err) {
			return unmarked(err)
		}
		if stopping == nil {
			stopping = traigo.Stopping(ctx)
		}
		if isClosed(stopping) {
			return err
		}
		delay, ok := p.next(err, time.Since(began))
		if !ok {
			return p.exhausted(err)
		}
		r.report(ctx, Event{Attempt: attempt, Err: err, Delay: delay})
		if goOn, err := pause(ctx, stopping, delay); !goOn {
			return err
		}
	}
}

// attempt is one run of fn.
func (r *restarter) attempt(ctx context.Context, number int) error {
	name := "attempt " + strconv.Itoa(number)
	if t := traigo.CurrentTask(ctx); t != nil {
		name = t.Name() + " " + name
	}
	opts := [2]traigo.ScopeOption{traigo.Name(name), traigo.PanicAsError()}
	n := 1
	if r.panicAsError {
		n = 2
	}
	_, err := alone(ctx, r.fn, opts[:n]...)
	return err
}

// wantsAnother reports whether a run that returned err is one to be followed by
// another.
func (r *restarter) wantsAnother(err error) bool {
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

// unmarked is err without the mark of Permanent around it.
func unmarked(err error) error {
	if p, ok := err.(*backoff.PermanentError); ok && p.Err != nil { //nolint:errorlint // deeper in, the error around it must not get lost
		return p.Err
	}
	return err
}

func (r *restarter) report(ctx context.Context, e Event) {
	record(ctx, r.logger, slog.LevelWarn, "the task has failed and is to be restarted", traigo.Current(ctx), traigo.CurrentTask(ctx), e.Err,
		slog.Int("attempt", e.Attempt), slog.Duration("delay", e.Delay))
	if r.onRestart != nil {
		r.onRestart(e)
	}
}

// pause waits until the next run may begin. If none may, it returns what the
// task is to return.
func pause(ctx context.Context, stopping <-chan struct{}, d time.Duration) (goOn bool, err error) {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-stopping:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil { // first: a cancellation closes stopping too
		return false, context.Cause(ctx)
	}
	return !isClosed(stopping), nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A pace is what one call of a restarted function knows of its past.
type pace struct {
	*restarter
	began    time.Time
	policy   backoff.BackOff
	restarts int
	full     bool        // the limit is reached
	recent   []time.Time // when the restarts of the last window began, if there is a limit
}

// next returns how long to wait after a run that returned err, and whether there
// may be another one at all.
func (p *pace) next(err error, lasted time.Duration) (delay time.Duration, ok bool) {
	switch {
	case p.policy == nil:
		p.policy = p.newPolicy()
		mustHave("Backoff", p.policy != nil, "policy", "the function has to make one")
		p.policy.Reset()
	case lasted >= p.resetAfter:
		p.policy.Reset()
	}
	delay = p.policy.NextBackOff()
	if delay < 0 { // backoff.Stop
		return 0, false
	}
	if after, is := errors.AsType[*backoff.RetryAfterError](err); is {
		delay = max(after.Duration, 0)
	}
	if p.limit > 0 && !p.admit(time.Now().Add(delay)) {
		p.full = true
		return 0, false
	}
	p.restarts++
	return delay, true
}

// exhausted is what the function returns when it may not be restarted after err.
func (p *pace) exhausted(err error) error {
	switch {
	case p.full:
		return &RestartError{Restarts: p.limit, Within: p.window, Err: err}
	case p.restarts > 0:
		return &RestartError{Restarts: p.restarts, Within: time.Since(p.began), Stopped: true, Err: err}
	default:
		return err
	}
}

// admit counts a restart at a time, unless the window that ends there is full.
func (p *pace) admit(at time.Time) bool {
	old := 0
	for old < len(p.recent) && at.Sub(p.recent[old]) >= p.window {
		old++
	}
	p.recent = append(p.recent[:0], p.recent[old:]...)
	if len(p.recent) >= p.limit {
		return false
	}
	p.recent = append(p.recent, at)
	return true
}
