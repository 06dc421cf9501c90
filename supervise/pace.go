package supervise

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

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
		return &RestartError{Restarts: p.restarts, Within: time.Since(p.began), Err: err}
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
