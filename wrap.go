package traigo

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Wrapper is called in place of the function of a task or the body of a Run, which it
// calls as next: see [Wrap]. It can add a span, labels or a time measurement. It runs on
// the goroutine of the task or of the caller of Run. ctx is the context of the task or
// scope; [Current] and [CurrentTask] return them. A Wrapper must call next exactly once,
// before it returns, with ctx or a context that adds only values to ctx. What it returns
// is the error of the task or body. If it does not call next, calls it twice, or returns
// before next has returned, the task or body fails with an error that says so.
//
// If the function panics or calls runtime.Goexit, next does not return. Code that must
// run in any case must be deferred.
//
// The idea is that of HTTP middleware.
type Wrapper func(ctx context.Context, next func(context.Context) error) error

var (
	errNotCalled   = errors.New("traigo: a Wrapper has not called next: the function did not run")
	errCalledTwice = errors.New("traigo: a Wrapper has called next a second time: the function runs once")
	errLeftEarly   = errors.New("traigo: a Wrapper has returned before next did: the function still runs")
)

// wrap calls fn inside the wrappers. wrappers[0] is the outermost.
func wrap(ctx context.Context, wrappers []Wrapper, fn func(context.Context) error) error {
	if len(wrappers) == 0 {
		return fn(ctx)
	}
	var calls wrappedCall
	err := wrappers[0](ctx, func(ctx context.Context) error {
		mustHaveContext("next of a Wrapper", ctx)
		if !calls.begin() {
			return errCalledTwice
		}
		defer calls.returned.Store(true)
		return wrap(ctx, wrappers[1:], fn)
	})
	if mistake := calls.end(); mistake != nil {
		return errors.Join(mistake, err)
	}
	return err
}

// A wrappedCall counts the calls of the next function of one call of a Wrapper. A wrong
// Wrapper may call next on another goroutine, or after it has returned; only the first
// call before that runs the function.
type wrappedCall struct {
	begun    atomic.Int32
	returned atomic.Bool
}

const wrapperLeft = 1 << 20

func (c *wrappedCall) begin() bool { return c.begun.Add(1) == 1 }

// end is called when the Wrapper has returned, and returns its mistake, if any. Calls of
// next after end do not run the function.
func (c *wrappedCall) end() error {
	switch n := c.begun.Add(wrapperLeft) - wrapperLeft; {
	case n == 0:
		return errNotCalled
	case n > 1:
		return errCalledTwice
	case !c.returned.Load():
		return errLeftEarly
	default:
		return nil
	}
}
