package supervise

import (
	"context"
	"time"
)

// Every returns a function for [traigo.Scope.Spawn]. It calls fn each d, the first time
// after d, until ctx is done or fn fails, and then returns the cause of ctx, or the error
// of fn. It does not call fn again once ctx is done.
//
// The calls are at multiples of d from the beginning, however long each one takes, and
// never two at once. If fn still runs when a call is due, that call is dropped: the next one
// is at the first multiple at which fn no longer runs.
//
// The function never returns nil, so a scope whose tasks are awaited would not end by
// itself: spawn it with Awaited(false), as a rule. Then it is canceled when the rest of the
// scope has ended, also in [traigo.Scope.Shutdown]; it does not look at [traigo.Stopping].
// By default its task is named after the function that Every returns; give
// [traigo.NameOf] fn to name it after fn.
//
//	s.Spawn(supervise.Every(time.Second, beat), traigo.NameOf(beat), traigo.Awaited(false))
//
// Every panics if d is not positive or fn is nil. Several tasks may run the returned
// function. A panic or a runtime.Goexit in fn is that of the task; to go on after a failure,
// let fn handle it, or combine Every with [Restart].
func Every(d time.Duration, fn func(ctx context.Context) error) func(ctx context.Context) error {
	mustBePositive("Every", d)
	mustHave("Every", fn != nil, "function", "pass the one that is to be called")
	return func(ctx context.Context) error {
		due := time.Now().Add(d)
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			if ctx.Err() != nil { // also if a call is due at the same time
				return context.Cause(ctx)
			}
			if err := fn(ctx); err != nil {
				return err
			}
			// Not a time.Ticker: it keeps one tick that comes while fn runs, and would call fn
			// again at once.
			now := time.Now()
			due = due.Add(d)
			if late := now.Sub(due); late > 0 {
				due = due.Add((late + d - 1).Truncate(d)) // rounded up
			}
			timer.Reset(due.Sub(now))
		}
	}
}
