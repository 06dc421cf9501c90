package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Errors, panics and values that are not as one would have them: each is the end of its call, after one
// attempt.

// An oddError is of a type that == takes, while it panics for some of its values.
type oddError struct{ detail any }

func (e oddError) Error() string { return fmt.Sprintf("odd: %v", e.detail) }

// A panicError has methods that panic.
type panicError struct{ unwrap bool }

func (e panicError) Error() string {
	if !e.unwrap {
		panic("the text of an error")
	}
	return "an error that cannot be unwrapped"
}

func (e panicError) Unwrap() error {
	panic("what an error wraps")
}

type isError struct{}

func (isError) Error() string { return "is" }
func (isError) Is(error) bool { panic("Is of an error") }
func (isError) As(any) bool   { panic("As of an error") }

// A loopError wraps itself.
type loopError struct{ inner error }

func (e *loopError) Error() string { return "a loop" }
func (e *loopError) Unwrap() error { return e.inner }

// A nilError is returned as a typed nil.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

var oddErrors = map[string]func() error{
	"uncomparable": func() error { return oddError{[]int{1}} },
	"comparable":   func() error { return oddError{1} },
	"panics":       func() error { return panicError{} },
	"unwrap":       func() error { return panicError{true} },
	"is":           func() error { return isError{} },
	"wrapped is":   func() error { return fmt.Errorf("w: %w", isError{}) },
	"loop": func() error {
		e := &loopError{}
		e.inner = e
		return e
	},
	"join loop": func() error {
		e := &loopError{}
		e.inner = errors.Join(e, e, e)
		return e
	},
	"typed nil": func() error { return (*nilError)(nil) },
	"huge":      func() error { return errors.New(strings.Repeat("é", 1<<20)) },
	"huge bad":  func() error { return errors.New(strings.Repeat("\xff", 2<<20)) },
	"deep": func() error {
		err := errors.New("deep")
		for range 10000 {
			err = fmt.Errorf("%w", err)
		}
		return err
	},
	"wide": func() error {
		var all []error
		for i := range 5000 {
			all = append(all, fmt.Errorf("%d %s", i, strings.Repeat("\x00", 4<<10)))
		}
		return errors.Join(all...)
	},
	"utf8":       func() error { return errors.New("\xff\xfe\x00 \ud7ff") },
	"empty":      func() error { return errors.New("") },
	"nil panic":  func() error { panic(nil) },
	"err panic":  func() error { panic(oddError{[]int{1}}) },
	"bad panic":  func() error { panic(panicError{}) },
	"nilp panic": func() error { panic((*nilError)(nil)) },
	"huge panic": func() error { panic(strings.Repeat("\xff", 3<<20)) },
	"runtime panic": func() error {
		var m map[string]int
		m["a"] = 1 //nolint:staticcheck // on purpose
		return nil
	},
	"goexit":       func() error { runtime.Goexit(); return nil },
	"rethrow":      func() error { panic(&traigo.PanicError{Task: "\xff"}) },
	"refused":      func() error { return traigo.ErrRefused },
	"canceled":     func() error { return context.Canceled },
	"cancellation": func() error { return &traigo.Cancellation{} },
	"lease":        func() error { return temporal.ErrLease },
	"handover":     func() error { return temporal.ErrHandover },
	"traigo err":   func() error { return &traigo.Error{} },
	"remote nil":   func() error { return (*traigo.RemoteError)(nil) },
	"terror":       func() error { return &traigo.TaskError{} },
	"panicerr":     func() error { return &traigo.PanicError{} },
}

var odd = register(temporal.Func("odd", func(ctx context.Context, what string) (int, error) {
	say("ran %q %d", what, temporal.Current(ctx).Number)
	return 1, oddErrors[what]()
}))

func TestOddErrors(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	for what := range oddErrors {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				r, err := temporal.Open(s, e, queue, temporal.Lease(long))
				require.NoError(t, err)
				task := odd.Spawn(r, what, traigo.Bubble(false))
				err = ended(t, task)
				require.Error(t, err)
				require.NotErrorIs(t, err, temporal.ErrLost)
				return nil
			}, traigo.PanicAsError())
			require.Len(t, w.said(fmt.Sprintf("ran %q ", what)), 1)
		})
	}
}

// An oddValue cannot be encoded.
type oddValue struct{}

func (oddValue) MarshalJSON() ([]byte, error) { panic("of a value") }

var takesOdd = temporal.Func("takes", func(context.Context, oddValue) (int, error) { return 0, nil })

func TestArgumentThatPanicsIsTheErrorOfTheCall(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	for _, opts := range [][]temporal.OpenOption{nil, {temporal.Resume(queue)}} {
		require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			_, err := takesOdd.Run(ctx, r, oddValue{})
			require.ErrorContains(t, err, `the argument of "takes" cannot be encoded`)
			return nil
		}, opts...))
	}
}
