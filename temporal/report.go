package temporal

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/traigo/traigo"
)

// How an attempt ends: what the worker tells the engine, and the owner.

// outcome returns what the activity returns.
func (a *attempt) outcome(ctx context.Context, f *functionRun) (sealed, error) {
	a.mu.Lock()
	isFenced, isLost := a.isFenced, a.isLost
	a.mu.Unlock()
	switch {
	case isFenced:
		return sealed{}, activity.ErrResultPending // nobody would hear it
	case f.panicked != nil:
		return sealed{}, a.failure(panicked, f.panicked)
	case f.isExited:
		return sealed{}, a.failure(exited, traigo.ErrGoexit)
	}
	err, isCanceled := f.verdict()
	switch {
	case err == nil && !isCanceled:
		return a.success(f)
	case f.isStopped && context.Cause(a.ctx) == nil:
		a.mu.Lock()
		a.hasRunLocked()
		a.mu.Unlock()
		a.leave(ctx, leaveTimeout)
		return sealed{}, a.lostNow(ctx, "the worker stops")
	case isCanceled && isLost:
		return sealed{}, a.failure(leaseEnd, nil)
	case isCanceled:
		return sealed{}, a.failure(canceled, nil)
	case f.isAgain:
		return sealed{}, a.retry(ctx, err)
	}
	return sealed{}, a.failure(failed, err)
}

// verdict returns the error of the function, or that of its scope, or reports that it has ended with
// nothing but its cancellation. A result that was made all the same is one.
func (f *functionRun) verdict() (err error, isCanceled bool) { //nolint:revive // the error is the subject
	outcome, ok := f.err.(*traigo.Error) //nolint:errorlint // what Run returns is one
	if !ok {
		return f.err, false
	}
	cancellation, _ := outcome.Err.(*traigo.Cancellation) //nolint:errorlint // not one further down
	wasCanceled := f.cause != nil && cancellation != nil && cancellation.Kind == traigo.ParentCanceled
	switch others := outcome.Others; {
	case wasCanceled && len(others) == 0 && f.hasBody && f.bodyErr == nil:
		return nil, false
	case wasCanceled && len(others) == 0:
		return nil, true
	case wasCanceled && len(others) == 1 && isSame(others[0], f.bodyErr):
		return f.bodyErr, false
	}
	return f.asReturned(), false
}

// asReturned returns the error of the function as that has returned it, if that alone is the outcome
// of its scope; and else the outcome.
func (f *functionRun) asReturned() error {
	if outcome, ok := f.err.(*traigo.Error); ok && len(outcome.Others) == 0 && isSame(outcome.Err, f.bodyErr) { //nolint:errorlint // what Run returns is one
		return f.bodyErr
	}
	return f.err
}

// success returns the result, with what the owner shows of the attempt.
func (a *attempt) success(f *functionRun) (sealed, error) {
	out, err := a.work.engine.seal(a.Task, f.out)
	if err != nil {
		err = fmt.Errorf("traigo: temporal: the result of %q cannot be encoded: %w", a.Func, err)
	} else {
		err = checkSize(out, "the result of %q", a.Func)
	}
	if err != nil {
		return sealed{}, a.failure(failed, err)
	}
	out = out.with(noteAttempt, strconv.Itoa(a.Number)).with(noteWorker, a.Worker)
	if len(a.progress.Ran) > 0 {
		text, _ := json.Marshal(a.progress.Ran) // plain numbers and texts
		out = out.with(noteEarlier, string(text))
	}
	a.work.hasEnded(a)
	return out, nil
}

// failure returns the error of an attempt that is the last one.
func (a *attempt) failure(kind outcomeKind, err error) error {
	a.work.hasEnded(a)
	return a.report(kind, err, temporal.ApplicationErrorOptions{NonRetryable: true})
}

func (a *attempt) report(kind outcomeKind, err error, options temporal.ApplicationErrorOptions) error {
	o := outcome{Kind: kind, Owner: a.in.Owner, Attempt: a.Number, Worker: a.Worker, Earlier: a.progress.Ran}
	text, typ := string(kind), "traigo."+string(kind)
	if err != nil {
		o.Error = remoteOf(err, a.Worker)
		text, typ = cut(o.Error.Msg, maxTitle), o.Error.Type
	}
	details, cannot := a.work.engine.seal(a.Task, o)
	if cannot != nil {
		return temporal.NewNonRetryableApplicationError(text, typ, nil)
	}
	options.Details = []any{details}
	options.Category = temporal.ApplicationErrorCategoryBenign // it has an owner, who is told
	return temporal.NewApplicationErrorWithOptions(text, typ, options)
}

// retry returns the error of an attempt after which there is another one. That it was a failure, and
// what was saved, is sent before.
func (a *attempt) retry(ctx context.Context, err error) error {
	a.mu.Lock()
	a.progress.Failures++
	n := a.progress.Failures
	a.hasRunLocked()
	a.mu.Unlock()
	a.leave(ctx, a.in.Lease*9/10) // or the lease is lost, and with it the attempt
	return a.report(tried, err, temporal.ApplicationErrorOptions{NextRetryDelay: backoff(n)})
}

// hasRunLocked takes down that the attempt has ended, and is not the last one.
func (a *attempt) hasRunLocked() {
	all := append(a.progress.Ran, ran{a.Number, a.Worker})
	a.progress.Ran = all[max(0, len(all)-maxRan):]
}

// backoff returns the time between the n-th failure and the next attempt.
func backoff(n int) time.Duration { return min(time.Second<<min(n-1, 10), time.Minute) }

// leaveTimeout is the time for which a worker that has other things to do tries to leave something.
const leaveTimeout = 10 * time.Second

// leave sends what the next attempt is to know.
func (a *attempt) leave(ctx context.Context, within time.Duration) {
	_ = a.heartbeat(context.WithoutCancel(ctx), time.Now().Add(within))
}

// stopDelay is the time within which the engine has heard that a worker that stops takes nothing more.
const stopDelay = time.Second

// lostNow returns the error of an attempt that other workers are to begin again. They do so when the worker
// has stopped to take tasks: until then the engine would give it to one of its open polls, where it
// would be lost for a lease.
func (a *attempt) lostNow(ctx context.Context, why string) error {
	if a.work.scope.Context().Err() != nil {
		<-activity.GetWorkerStopChannel(ctx)
	}
	return temporal.NewApplicationErrorWithOptions(why, "traigo.Lost", temporal.ApplicationErrorOptions{
		NextRetryDelay: stopDelay, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// giveBack is for a function that this worker does not have. In a deployment other workers may
// have it.
func (a *attempt) giveBack(ctx context.Context, now time.Time) error {
	p := &a.progress
	if p.Since.IsZero() {
		p.Since = now
	}
	if now.Sub(p.Since) >= unknownAfter {
		return a.failure(unknown, fmt.Errorf("%w: %q of queue %q; worker %s has: %s", ErrUnknown, a.Func, a.Queue, a.Worker, a.work.names()))
	}
	p.Returns++
	a.leave(ctx, leaveTimeout)
	return temporal.NewApplicationErrorWithOptions("this worker does not have the function", "traigo.Unknown", temporal.ApplicationErrorOptions{
		NextRetryDelay: min(250*time.Millisecond<<min(p.Returns, 10), 2*time.Second), Category: temporal.ApplicationErrorCategoryBenign,
	})
}
