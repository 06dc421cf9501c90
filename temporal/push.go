package temporal

import (
	"context"
	"reflect"
	"time"
)

// A pending is a cancellation of one task that the workers are to be told.
type pending struct {
	task  string
	cause error
}

// pushDelay is the time for which cancellations are collected: that of a scope's tasks come together.
const pushDelay = 5 * time.Millisecond

// cancelRemote tells the workers that a task is canceled, unless they have heard of the end of
// all of them.
func (r *Remote) cancelRemote(task string, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isEnded || r.lost != nil || r.own.Context().Err() != nil {
		return
	}
	r.cancels = append(r.cancels, pending{task, cause})
	select {
	case r.pushing <- struct{}{}:
	default:
	}
}

// push sends the cancellations to the scope's workflow, those of one cause in one message.
func (r *Remote) push(ctx context.Context) {
	for {
		select {
		case <-r.pushing:
		case <-ctx.Done():
			return
		}
		pause(ctx, pushDelay)
		r.mu.Lock()
		cancels := r.cancels
		r.cancels = nil
		r.mu.Unlock()
		for len(cancels) > 0 {
			m := message{Owner: r.owner, Cause: remoteOf(cancels[0].cause, r.engine.identity)}
			first, rest := cancels[0].cause, cancels[:0]
			for i, c := range cancels {
				if i == 0 || isSame(c.cause, first) {
					m.Tasks = append(m.Tasks, c.task)
				} else {
					rest = append(rest, c)
				}
			}
			cancels = rest
			// If it fails, the tasks hear of it at their next heartbeat.
			_ = r.engine.client.SignalWorkflow(ctx, r.id, "", signalName, m)
		}
	}
}

// isSame reports whether a and b are the same error; false if they cannot be compared.
func isSame(a, b error) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b //nolint:errorlint // not one that a wraps
}
