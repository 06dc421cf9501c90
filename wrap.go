package traigo

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Wrapper is code around the function of each task, and around the body of each
// Run: for a span, labels, a time measurement. It runs on the goroutine of the
// function, with the context that the function is to get; [Current] and
// [CurrentTask] of that say what is about to run. It calls next exactly once, with
// that context or one derived from it that adds values and nothing else, and
// returns the error of next or another in its place. A Wrapper that does not call
// next exactly once fails the task.
//
// If the function panics or calls runtime.Goexit, next does not return: what is to
// be done in any case is done by defer.
//
// The idea is that of middleware, as package net/http has it.
type Wrapper func(ctx context.Context, next func(context.Context) error) error

var (
	errNotCalled   = errors.New("traigo: a Wrapper has not called next: the function did not run")
	errCalledTwice = errors.New("traigo: a Wrapper has called next a second time: the function runs once")
	errLeftEarly   = errors.New("traigo: a Wrapper has returned before next did: the function still runs")
)

// wrap calls fn inside the wrappers, the first of them outside.
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

// A wrappedCall counts the calls of next of one Wrapper. A wrapper may call it from
// another goroutine, and after it has returned itself; neither runs the function.
type wrappedCall struct {
	begun    atomic.Int32
	returned atomic.Bool
}

const wrapperLeft = 1 << 20

func (c *wrappedCall) begin() bool { return c.begun.Add(1) == 1 }

// end is called when the wrapper has returned: a call of next from then on counts as
// the second.
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
