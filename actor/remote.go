package actor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/traigo/traigo"
)

// A remote is what this process has of an actor that it has not started.
type remote struct {
	isDialed bool // Cancel ends the connection alone
	canceled chan struct{}
	by       chan error // the cause of the first Cancel; holds one
}

// reachTimeout is within what time an actor that was found or dialed must answer.
const reachTimeout = 10 * time.Second

var errUnreachable = fmt.Errorf("it does not answer within %v", reachTimeout)

// reach makes a connection a task of s, and returns when the other side has answered. connect
// returns the link, and what is known of the actor.
func reach(ctx context.Context, s *traigo.Scope, name string, isDialed bool, connect func(ctx context.Context) (*link, ID, error)) (*Actor, error) {
	a := &Actor{name: name, grace: defaultGrace, remote: &remote{isDialed: isDialed, canceled: make(chan struct{}), by: make(chan error, 1)}}
	_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
		a.task = traigo.CurrentTask(ctx)
		a.over = a.task.Done()
		if err := a.connect(ctx, connect); err != nil {
			return err
		}
		ready()
		return a.stay(ctx)
	}, traigo.Name(name), traigo.Awaited(false), traigo.Bubble(false), traigo.CancelTimeout(math.MaxInt64))
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Actor) connect(ctx context.Context, connect func(ctx context.Context) (*link, ID, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTimeout, errUnreachable)
	defer cancel()
	l, id, err := connect(ctx)
	if err != nil {
		return err
	}
	a.link = l
	a.id, err = l.greet(ctx, hello{}, func(control, uint64, []byte) {})
	if err == nil {
		return nil
	}
	l.close()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errUnreachable) {
		return cause
	}
	return &GoneError{Actor: id, Err: err}
}

// stay waits for the end of the actor, or of the connection.
func (a *Actor) stay(ctx context.Context) error {
	l, r := a.link, a.remote
	defer l.close()
	asked := false
	canceled := r.canceled
	for {
		select {
		case <-l.ended:
			l.awaitCalls(2 * time.Second)
			return l.ending(a.id, asked)
		case <-l.lost:
			select {
			case <-l.ended:
				continue
			default:
			}
			if asked {
				return nil
			}
			return &GoneError{Actor: a.id, Err: errConnection}
		case <-ctx.Done():
			l.cancelCalls(context.Cause(ctx))
			l.awaitCalls(a.grace + time.Second) // each is given up after that
			return nil
		case <-canceled:
			canceled = nil
			if r.isDialed {
				return nil
			}
			asked = true
			l.outbox.post(cancelActor, 0, cancelRequest{Cause: asRemote(<-r.by)})
		}
	}
}

// cancel is Cancel.
func (r *remote) cancel(cause error) {
	select {
	case r.by <- cause:
		close(r.canceled)
	default: // it was asked before
	}
}
