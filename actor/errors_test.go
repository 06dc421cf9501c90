//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Errors: A26.

// A codedError is of a registered type.
type codedError struct {
	Code int
	Big  []byte
	Err  error
}

func (e *codedError) Error() string { return fmt.Sprintf("code %d: %v", e.Code, e.Err) }
func (e *codedError) Unwrap() error { return e.Err }

// A strangeError is of a type that nobody has registered.
type strangeError struct{ Code int }

func (e strangeError) Error() string { return fmt.Sprintf("strange %d", e.Code) }

// A hostileError panics in its methods.
type hostileError struct{}

func (hostileError) Error() string { panic("no text") }
func (hostileError) Unwrap() error { panic("no cause") }

// A selfError wraps itself.
type selfError struct{}

func (e *selfError) Error() string { return "I am my own cause" }
func (e *selfError) Unwrap() error { return e }

func init() { traigo.RegisterErrorType[*codedError]() }

var errUnregistered = errors.New("nobody has registered this")

func makeError(ctx context.Context, what string) error {
	switch what {
	case "registered":
		return errBoom
	case "wrapped":
		return fmt.Errorf("while working: %w", errBoom)
	case "unregistered":
		return errUnregistered
	case "coded":
		return fmt.Errorf("coded: %w", &codedError{Code: 42, Err: fs.ErrNotExist})
	case "joined":
		return errors.Join(errBoom, &codedError{Code: 1, Err: io.EOF}, strangeError{2})
	case "strange":
		return strangeError{7}
	case "EOF":
		return io.EOF
	case "file":
		_, err := os.Open("/does/not/exist")
		return err
	case "typed nil":
		return (*codedError)(nil)
	case "hostile":
		return hostileError{}
	case "self":
		return &selfError{}
	case "long":
		return errors.New(strings.Repeat("long ", 1<<20))
	case "lines":
		return errors.New("one\ntwo\r\nthree")
	case "no text":
		return errors.New("")
	case "many":
		var all []error
		for i := range 10_000 {
			all = append(all, fmt.Errorf("%d: %w", i, errBoom))
		}
		return errors.Join(all...)
	case "huge":
		return &codedError{Code: 5, Big: make([]byte, most+2<<20), Err: errBoom}
	case "deep":
		err := errBoom
		for range 1000 {
			err = fmt.Errorf("w: %w", err)
		}
		return err
	case "many long":
		var all []error
		for range 200 {
			all = append(all, errors.New(strings.Repeat("a", 64<<10)))
		}
		return errors.Join(all...)
	case "cancellation":
		return cancellationIn(ctx)
	case "timeout":
		return traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
			<-ctx.Done()
			return ctx.Err()
		}, traigo.Timeout(time.Millisecond), traigo.Name("limited"))
	case "lagged":
		return &actor.LaggedError{Missed: 9}
	case "overrun":
		return fmt.Errorf("the stream: %w", actor.ErrOverrun)
	case "none":
		return nil
	}
	return fmt.Errorf("what is %q?", what)
}

// cancellationIn returns the *traigo.Cancellation of a scope in which a task has failed.
func cancellationIn(ctx context.Context) (cause error) {
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { return errBoom }, traigo.Name("failing"))
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil
	}, traigo.Name("inner"))
	return cause
}

var (
	failWith   = exposed(actor.Func("errors.fail", func(ctx context.Context, what string) (int, error) { return 1, makeError(ctx, what) }))
	failSource = exposed(actor.Source("errors.source", func(ctx context.Context, what string) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if yield(1, nil) {
				yield(2, makeError(ctx, what))
			}
		}
	}))
	failDialog = exposed(actor.Dialog("errors.dialog", func(ctx context.Context, what string, begin actor.Started[none, none, none]) (int, error) {
		if _, err := begin(none{}); err != nil {
			return 0, err
		}
		return 1, makeError(ctx, what)
	}))
)

// failures runs a function that fails in each of the three ways.
var failures = map[string]func(ctx context.Context, a *actor.Actor, what string) error{
	"function": func(ctx context.Context, a *actor.Actor, what string) error {
		_, err := failWith.Run(ctx, a, what)
		return err
	},
	"source": func(ctx context.Context, a *actor.Actor, what string) (last error) {
		for _, err := range failSource.Run(ctx, a, what) {
			last = err
		}
		return last
	},
	"dialog": func(ctx context.Context, a *actor.Actor, what string) error {
		_, err := failDialog.Run(ctx, a, what, func(ctx context.Context, _ none, _ *actor.Peer[none, none]) error {
			<-ctx.Done()
			return ctx.Err()
		})
		return err
	},
}

// failureOf returns the outermost *actor.Error.
func failureOf(t *testing.T, err error) *actor.Error {
	t.Helper()
	failure, ok := errors.AsType[*actor.Error](err)
	require.True(t, ok, "%T: %v", err, err)
	return failure
}

func TestErrorsCross(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind, run := range failures {
			for what, check := range map[string]func(err error){
				"registered": func(err error) {
					assert.ErrorIs(t, err, errBoom)
					assert.Equal(t, `actor "root/mid": boom`, err.Error())
				},
				"wrapped": func(err error) {
					assert.ErrorIs(t, err, errBoom)
					assert.Equal(t, `actor "root/mid": while working: boom`, err.Error())
				},
				"unregistered": func(err error) {
					assert.NotErrorIs(t, err, errUnregistered)
					assert.ErrorContains(t, err, errUnregistered.Error())
				},
				"coded": func(err error) {
					coded, ok := errors.AsType[*codedError](err)
					if assert.True(t, ok) {
						assert.Equal(t, 42, coded.Code)
						assert.ErrorIs(t, coded, fs.ErrNotExist)
					}
					assert.ErrorIs(t, err, fs.ErrNotExist)
				},
				"joined": func(err error) {
					assert.ErrorIs(t, err, errBoom)
					assert.ErrorIs(t, err, io.EOF)
					assert.ErrorContains(t, err, "strange 2")
				},
				"strange": func(err error) {
					_, ok := errors.AsType[strangeError](err)
					assert.False(t, ok)
					assert.Equal(t, `actor "root/mid": strange 7`, err.Error())
				},
				"EOF": func(err error) { assert.ErrorIs(t, err, io.EOF) },
				"file": func(err error) {
					path, ok := errors.AsType[*fs.PathError](err)
					if assert.True(t, ok) {
						assert.Equal(t, "/does/not/exist", path.Path)
					}
					assert.ErrorIs(t, err, fs.ErrNotExist)
				},
				"typed nil": func(error) {},
				"hostile":   func(error) {},
				"self":      func(err error) { assert.ErrorContains(t, err, "my own cause") },
				"long":      func(err error) { assert.ErrorContains(t, err, "long") },
				"lines":     func(err error) { assert.ErrorContains(t, err, "one two") },
				"no text":   func(error) {},
				"many":      func(err error) { assert.ErrorContains(t, err, "0: boom") },
				"deep":      func(err error) { assert.ErrorContains(t, err, "w: ") },
				"many long": func(error) {},
				"lagged": func(err error) {
					lagged, ok := errors.AsType[*actor.LaggedError](err)
					assert.True(t, ok)
					assert.Equal(t, 9, lagged.Missed)
				},
				"overrun": func(err error) { assert.ErrorIs(t, err, actor.ErrOverrun) },
				"timeout": func(err error) {
					_, ok := errors.AsType[*traigo.TimeoutError](err)
					assert.True(t, ok)
				},
				"cancellation": func(err error) { requireCancellation(t, err) },
			} {
				t.Run(kind+" "+what, func(t *testing.T) {
					within(func() {
						err := run(ctx, a, what)
						require.Error(t, err)
						failure := failureOf(t, err)
						assert.Equal(t, a.ID(), failure.From)
						assert.Equal(t, []actor.ID{a.ID()}, failure.Path)
						remote, ok := errors.AsType[*traigo.RemoteError](err)
						if assert.True(t, ok) {
							assert.Empty(t, remote.Stack, "Go's errors have none")
							assert.NotEmpty(t, remote.Type)
						}
						assert.Contains(t, err.Error(), "root/mid")
						assert.NotContains(t, err.Error(), "\n")
						assert.Contains(t, fmt.Sprintf("%+v", err), fmt.Sprint(a.ID().Pid))
						check(err)
					})
				})
			}
		}
		_, err := square.Run(ctx, a, 1)
		require.NoError(t, err)
	})
}

func requireCancellation(t *testing.T, err error) {
	t.Helper()
	c, ok := errors.AsType[*traigo.Cancellation](err)
	if assert.True(t, ok, "%v", err) {
		assert.Equal(t, traigo.TaskFailed, c.Kind)
		assert.Contains(t, c.Scope, "inner")
		assert.Contains(t, c.Task, "failing")
		assert.ErrorIs(t, c.Err, errBoom)
	}
	assert.ErrorIs(t, err, errBoom)
}

// An error larger than a message is the error of its call, and of nothing else.
func TestAHugeErrorHarmsNothingElse(t *testing.T) {
	for kind, run := range failures {
		t.Run(kind, func(t *testing.T) {
			withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
				limited, cancel := context.WithTimeout(ctx, 30*time.Second)
				defer cancel()
				err := run(limited, a, "huge")
				failure, ok := errors.AsType[*actor.Error](err)
				if assert.True(t, ok, "%v", err) {
					assert.Equal(t, a.ID(), failure.From)
				}
				_, err = square.Run(ctx, a, 1)
				require.NoError(t, err)
				_, err = canceledAfter(ctx, t, a, "dialog", demand{Key: "after", Then: "cause"})
				assert.Equal(t, errWhy, err)
			}, actor.Grace(3*time.Second))
		})
	}
}

func TestAHugeCauseOfACancellationHarmsNothingElse(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		cause := makeError(ctx, "huge")
		for kind, run := range kinds {
			canceled, cancel := context.WithCancelCause(ctx)
			go func() {
				waitForNotes(ctx, t, a, kind, 1)
				cancel(cause)
			}()
			_, err := run(canceled, a, demand{Key: kind, Then: "cause"})
			assert.Same(t, cause, err)
			assert.Len(t, notes(ctx, t, a, kind), 3)
		}
	}, actor.Grace(5*time.Second))
}

// Over three levels of processes.

// A relay is an error that goes up: what fails in the lowest actor, and what each one above
// makes of it.
type relay struct {
	Left int
	What string
	How  string
}

var relayOn func(ctx context.Context, r relay) error

var relayFunc = exposed(actor.Func("errors.relay", func(ctx context.Context, r relay) (int, error) { return r.Left, relayOn(ctx, r) }))

func init() {
	relayOn = func(ctx context.Context, r relay) error {
		if r.Left == 0 {
			switch r.What {
			case "not exposed":
				a, err := actor.Start(ctx, traigo.Current(ctx), "bare")
				if err != nil {
					return err
				}
				defer a.Cancel(nil)
				_, err = square.Run(ctx, a, 1)
				return err
			case "panic":
				panic(errBoom)
			}
			return makeError(ctx, r.What)
		}
		name := fmt.Sprint("l", r.Left)
		a, err := actor.Start(ctx, traigo.Current(ctx), name, actor.Expose(everything...), actor.Task(traigo.Bubble(false)))
		if err != nil {
			return err
		}
		defer a.Cancel(nil)
		_, err = relayFunc.Run(ctx, a, relay{r.Left - 1, r.What, r.How})
		switch r.How {
		case "wraps":
			return fmt.Errorf("above %s: %w", name, err)
		case "joins":
			return errors.Join(err, &codedError{Code: r.Left, Err: io.EOF})
		case "hides":
			return fmt.Errorf("above %s: %v", name, err)
		}
		return err
	}
}

func pathOf(ids []actor.ID) (all []string) {
	for _, id := range ids {
		all = append(all, id.Path)
	}
	return all
}

func TestErrorsCrossThreeActors(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		run := func(what, how string) (err error, failure *actor.Error) { //nolint:staticcheck // failure is a part of err
			t.Helper()
			_, err = relayFunc.Run(ctx, a, relay{2, what, how})
			require.Error(t, err)
			failure = failureOf(t, err)
			for _, id := range failure.Path {
				assert.NotZero(t, id.Pid)
				assert.NotEmpty(t, id.Host)
			}
			assert.NotContains(t, err.Error(), "\n")
			return err, failure
		}
		whole := []string{"root/mid/l2/l1", "root/mid/l2", "root/mid"}

		err, failure := run("registered", "")
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, whole, pathOf(failure.Path))
		assert.Equal(t, failure.Path[0], failure.From)
		assert.Equal(t, 1, strings.Count(err.Error(), "boom"), err.Error())
		assert.Contains(t, err.Error(), "root/mid/l2/l1")
		require.EqualError(t, failure.Err, "boom")
		for _, path := range whole {
			assert.Contains(t, fmt.Sprintf("%+v", err), path)
		}

		err, failure = run("coded", "wraps")
		require.ErrorIs(t, err, fs.ErrNotExist)
		assert.Equal(t, whole, pathOf(failure.Path))
		assert.Equal(t, "root/mid/l2/l1", failure.From.Path)
		coded, ok := errors.AsType[*codedError](err)
		require.True(t, ok)
		assert.Equal(t, 42, coded.Code)
		assert.Equal(t, 1, strings.Count(err.Error(), "coded:"), err.Error())
		assert.Regexp(t, "above l2: .*above l1: .*coded: code 42", err.Error())
		assert.Contains(t, err.Error(), `actor "root/mid/l2/l1"`)

		err, failure = run("registered", "joins")
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, whole, pathOf(failure.Path))
		var codes []int
		for err := range leaves(err) {
			if coded, ok := err.(*codedError); ok {
				codes = append(codes, coded.Code)
			}
		}
		assert.Subset(t, codes, []int{1, 2})

		err, failure = run("registered", "hides")
		require.NotErrorIs(t, err, errBoom)
		assert.Equal(t, []string{"root/mid"}, pathOf(failure.Path), "it is one of its own")
		assert.Contains(t, err.Error(), "boom")

		err, failure = run("cancellation", "wraps")
		requireCancellation(t, err)
		assert.Equal(t, whole, pathOf(failure.Path))
		err, _ = run("cancellation", "")
		requireCancellation(t, err)
		err, _ = run("cancellation", "joins")
		requireCancellation(t, err)

		err, failure = run("timeout", "wraps")
		timeout, ok := errors.AsType[*traigo.TimeoutError](err)
		require.True(t, ok)
		assert.Contains(t, timeout.Scope, "limited")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, whole, pathOf(failure.Path))

		err, failure = run("not exposed", "wraps")
		require.ErrorIs(t, err, actor.ErrNotExposed)
		assert.Equal(t, append([]string{"root/mid/l2/l1/bare"}, whole...), pathOf(failure.Path))

		err, failure = run("panic", "wraps")
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, whole, pathOf(failure.Path))
		_, ok = errors.AsType[*traigo.PanicError](err)
		assert.True(t, ok)
		assert.Contains(t, fmt.Sprintf("%+v", err), "errors_test.go", "the stack")

		err, _ = run("lagged", "wraps")
		lagged, ok := errors.AsType[*actor.LaggedError](err)
		require.True(t, ok)
		assert.Equal(t, 9, lagged.Missed)
	})
}

// leaves yields all errors of a tree.
func leaves(err error) iter.Seq[error] {
	return func(yield func(error) bool) {
		var walk func(err error) bool
		walk = func(err error) bool {
			if err == nil {
				return true
			}
			if !yield(err) {
				return false
			}
			switch e := err.(type) {
			case interface{ Unwrap() error }:
				return walk(e.Unwrap())
			case interface{ Unwrap() []error }:
				return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !walk(err) })
			}
			return true
		}
		walk(err)
	}
}

// What has happened to an actor is known to those who use it from afar.

var askBelow = exposed(actor.Func("errors.ask below", func(ctx context.Context, what string) (int, error) { return askDying(ctx, what) }))

var askDying func(ctx context.Context, what string) (int, error)

func init() {
	askDying = func(ctx context.Context, what string) (int, error) {
		a, err := actor.Start(ctx, traigo.Current(ctx), "below", actor.Expose(everything...), actor.Task(traigo.Bubble(false)))
		if err != nil {
			return 0, err
		}
		if what == "dies" {
			_, err = die.Run(ctx, a, none{})
		} else {
			a.Kill()
			<-a.Done()
			_, err = square.Run(ctx, a, 1)
		}
		return 0, err
	}
}

func TestAGoneErrorCrosses(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, what := range []string{"dies", "is killed"} {
			_, err := askBelow.Run(ctx, a, what)
			gone, ok := errors.AsType[*actor.GoneError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, "root/mid/below", gone.Actor.Path)
			assert.NotZero(t, gone.Actor.Pid)
			failure := failureOf(t, err)
			assert.Equal(t, []string{"root/mid"}, pathOf(failure.Path))
			assert.ErrorContains(t, err, "root/mid/below")
			if what == "dies" {
				assert.ErrorContains(t, err, "exit status 3")
			}
		}
	})
}

func TestTheErrorsOfThePackage(t *testing.T) {
	for _, err := range []error{
		&actor.Error{}, &actor.GoneError{}, &actor.Canceled{}, &actor.LaggedError{},
		actor.ErrNotServed, actor.ErrNotExposed, actor.ErrNotStarted, actor.ErrNotFound, actor.ErrOverrun,
	} {
		assert.NotEmpty(t, err.Error())
		assert.NotEmpty(t, fmt.Sprintf("%+v", err))
		assert.NotEmpty(t, fmt.Sprintf("%q %s %v", err, err, err))
	}
	assert.ErrorIs(t, &actor.Canceled{}, context.Canceled)
	assert.ErrorIs(t, &actor.Canceled{Err: errBoom}, errBoom)
	assert.ErrorIs(t, &actor.Error{Err: errBoom}, errBoom)
	assert.ErrorIs(t, &actor.GoneError{Err: errBoom}, errBoom)
	assert.NotErrorIs(t, &actor.GoneError{}, context.Canceled)
	assert.Contains(t, actor.ErrNotServed.Error(), "actor.Serve")
	assert.Equal(t, "leaf", actor.ID{Path: "root/mid/leaf"}.Name())
	assert.Contains(t, actor.ID{Path: "root/mid", Pid: 4711}.String(), "root/mid")
	assert.Contains(t, actor.ID{Path: "root/mid", Pid: 4711}.String(), "4711")
	assert.Equal(t, "root", actor.Self().Path)
	assert.Equal(t, os.Getpid(), actor.Self().Pid)
}

var spawnHuge = exposed(actor.Func("errors.spawn huge", func(ctx context.Context, _ none) (none, error) {
	traigo.Current(ctx).Spawn(func(ctx context.Context) error { return makeError(ctx, "huge") })
	<-ctx.Done()
	return none{}, context.Cause(ctx)
}))

func TestAHugeErrorOfAnActorIsTold(t *testing.T) {
	err := outcomeOf(t, func(ctx context.Context, s *traigo.Scope) {
		a := start(ctx, t, s, "mid")
		ctx = context.WithoutCancel(ctx)
		_, err := spawnHuge.Run(ctx, a, none{})
		require.ErrorIs(t, err, errBoom)
		err = a.Wait(ctx)
		require.ErrorIs(t, err, errBoom)
		assert.Equal(t, a.ID(), failureOf(t, err).From)
	})
	require.ErrorIs(t, err, errBoom)
}

func TestAnActorIsCanceledWithAHugeError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		go func() {
			waitForNotes(ctx, t, a, "cause", 1)
			a.Cancel(makeError(ctx, "huge"))
		}()
		text, err := causeFunc.Run(ctx, a, "cause")
		require.NoError(t, err, "it has been asked, and not killed")
		assert.Contains(t, text, "root/mid by root")
		require.NoError(t, a.Wait(ctx))
	}, actor.Grace(30*time.Second))
}

// The stack of a panic shows the frames of the program: those of this package are folded.
func TestTheStackOfAPanicIsThatOfTheProgram(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, _ *actor.Actor) {
		_, err := square.Spawn(s, 3, actor.Task(traigo.Bubble(false))).Await(ctx)
		require.NoError(t, err)
		_, err = crashing.Spawn(s, none{}, actor.Task(traigo.Bubble(false))).Await(ctx)
		detail := fmt.Sprintf("%+v", err)
		assert.Contains(t, detail, "crashesHere(")
		assert.Contains(t, detail, "frames of traigo and the runtime")
		assert.NotContains(t, detail, "traigo/actor.(*")
	})
}

var crashing = exposed(actor.Func("errors.crashing", func(context.Context, none) (none, error) { return crashesHere() }))

//go:noinline
func crashesHere() (none, error) { panic("here") }
