//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Cancellation of calls, who has asked for it, and deadlines: A10 to A12, and A27.

var errWhy = errors.New("the reason of the caller")

func init() { traigo.RegisterError(errWhy) }

// A demand is what a function does when it is canceled.
type demand struct {
	Key  string
	Then string
	Big  []byte // makes the argument large
}

// obey notes what its context says, and how many functions run.
func obey(ctx context.Context, o demand) (string, error) {
	running.Add(1)
	defer running.Add(-1)
	note(o.Key, "begins")
	defer note(o.Key, "ends")
	<-ctx.Done()
	note(o.Key, endOf(ctx))
	switch o.Then {
	case "Err":
		return "", ctx.Err()
	case "cause":
		return "", context.Cause(ctx)
	case "wraps Err":
		return "", fmt.Errorf("I was canceled: %w", ctx.Err())
	case "wraps cause":
		return "", fmt.Errorf("I was canceled: %w", context.Cause(ctx))
	case "joins":
		return "", errors.Join(ctx.Err(), context.Cause(ctx))
	case "boom":
		return "", errBoom
	case "boom beside":
		return "", errors.Join(ctx.Err(), errBoom)
	case "ignores":
		<-released
		return "", nil
	default:
		return "a result", nil
	}
}

// endOf says what a context ended with: Err, and who has canceled whom, down to the root
// cause.
func endOf(ctx context.Context) string {
	text := ctx.Err().Error()
	err := context.Cause(ctx)
	for {
		by, ok := errors.AsType[*actor.Canceled](err)
		if !ok {
			break
		}
		text += fmt.Sprintf("; %s by %s", by.Actor.Path, by.By.Path)
		err = by.Err
	}
	if c, ok := errors.AsType[*traigo.Cancellation](err); ok {
		text += "; " + c.Kind.String()
	}
	if errors.Is(err, errWhy) {
		text += "; why"
	}
	return text
}

var running atomic.Int64

var (
	released    = make(chan struct{})
	releaseOnce sync.Once
)

var (
	runningFunc = exposed(actor.Func("cancel.running", func(context.Context, none) (int, error) { return int(running.Load()), nil }))
	release     = exposed(actor.Func("cancel.release", func(context.Context, none) (none, error) {
		releaseOnce.Do(func() { close(released) })
		return none{}, nil
	}))
	obeyFunc   = exposed(actor.Func("cancel.obey", obey))
	obeySource = exposed(actor.Source("cancel.obey source", func(ctx context.Context, o demand) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			if out, err := obey(ctx, o); err != nil {
				yield("", err)
			} else {
				yield(out, nil)
			}
		}
	}))
	obeyDialog = exposed(actor.Dialog("cancel.obey dialog", func(ctx context.Context, o demand, begin actor.Started[none, int, int]) (string, error) {
		if o.Key == "late" {
			return obey(ctx, o)
		}
		if _, err := begin(none{}); err != nil {
			return "", err
		}
		return obey(ctx, o)
	}))
)

// kinds runs the function in each of the three ways, and returns its error.
var kinds = map[string]func(ctx context.Context, a *actor.Actor, o demand) (string, error){
	"function": func(ctx context.Context, a *actor.Actor, o demand) (string, error) { return obeyFunc.Run(ctx, a, o) },
	"source": func(ctx context.Context, a *actor.Actor, o demand) (out string, _ error) {
		for item, err := range obeySource.Run(ctx, a, o) {
			if err != nil {
				return out, err
			}
			out = item
		}
		return out, nil
	},
	"dialog": func(ctx context.Context, a *actor.Actor, o demand) (string, error) {
		return obeyDialog.Run(ctx, a, o, func(ctx context.Context, _ none, _ *actor.Peer[int, int]) error {
			<-ctx.Done()
			return ctx.Err()
		})
	},
}

// canceledAfter runs a function and cancels it when it has begun.
func canceledAfter(ctx context.Context, t *testing.T, a *actor.Actor, kind string, o demand) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		waitForNotes(ctx, t, a, o.Key, 1)
		cancel(errWhy)
	}()
	return kinds[kind](ctx, a, o)
}

func requireIdle(ctx context.Context, t *testing.T, a *actor.Actor) {
	t.Helper()
	waitUntil(t, func() bool {
		n, err := runningFunc.Run(ctx, a, none{})
		require.NoError(t, err)
		return n == 0
	}, "functions still run")
}

func TestACanceledCallWaitsForItsFunctionAndReturnsTheCause(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind := range kinds {
			for _, then := range []string{"Err", "cause", "wraps Err", "wraps cause", "joins"} {
				key := kind + " " + then
				_, err := canceledAfter(ctx, t, a, kind, demand{Key: key, Then: then})
				assert.Equal(t, errWhy, err, key)
				assert.Equal(t, []string{"begins", "context canceled; root/mid by root; why", "ends"}, notes(ctx, t, a, key), key)
			}
		}
	})
}

func TestACanceledFunctionMayHaveAnErrorOfItsOwn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind := range kinds {
			for _, then := range []string{"boom", "boom beside"} {
				key := kind + " " + then
				_, err := canceledAfter(ctx, t, a, kind, demand{Key: key, Then: then})
				assert.ErrorIs(t, err, errBoom, key)
				failure, ok := errors.AsType[*actor.Error](err)
				if assert.True(t, ok, key) {
					assert.Equal(t, a.ID(), failure.From)
				}
				_, ok = errors.AsType[*traigo.StuckError](err)
				assert.False(t, ok)
			}
		}
	})
}

func TestACanceledFunctionMayHaveAResult(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		out, err := canceledAfter(ctx, t, a, "function", demand{Key: "function"})
		require.NoError(t, err)
		assert.Equal(t, "a result", out)
		out, err = canceledAfter(ctx, t, a, "dialog", demand{Key: "dialog"})
		assert.Equal(t, "a result", out)
		assert.Equal(t, context.Canceled, err, "since the body has returned it")
		_, err = canceledAfter(ctx, t, a, "source", demand{Key: "source"})
		assert.Equal(t, errWhy, err)
	})
}

// A request may overtake its call, or reach the actor while the argument still comes.
func TestStressACancellationAtAnyMomentIsNotLost(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		const tries = 60
		for kind, run := range kinds {
			for _, size := range []int{0, 3 << 10, 300 << 10, 2 << 20} {
				n := tries
				if size > 100<<10 {
					n = 6
				}
				r := rand.New(rand.NewPCG(seed, uint64(size)))
				err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					for range n {
						after := time.Duration(r.Int64N(int64(time.Millisecond)))
						if r.IntN(4) == 0 {
							after = 0
						}
						s.Spawn(func(ctx context.Context) error {
							ctx, cancel := context.WithCancelCause(ctx)
							defer cancel(nil)
							if after == 0 {
								go cancel(errWhy)
							} else {
								time.AfterFunc(after, func() { cancel(errWhy) })
							}
							_, err := run(ctx, a, demand{Key: "random", Then: "cause", Big: make([]byte, size)})
							assert.Equal(t, errWhy, err, "%s with %d bytes, canceled after %v", kind, size, after)
							return nil
						})
					}
					return nil
				}, traigo.Limit(4))
				require.NoError(t, err)
			}
		}
		requireIdle(ctx, t, a)
	}, actor.Grace(20*time.Second))
}

func TestADialogThatIsCanceledBeforeItHasStarted(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := canceledAfter(ctx, t, a, "dialog", demand{Key: "late", Then: "boom"})
		require.ErrorIs(t, err, errBoom)
		_, err = canceledAfter(ctx, t, a, "dialog", demand{Key: "late", Then: "cause"})
		assert.Equal(t, errWhy, err)
	})
}

// What blocks in Send, since nobody reads.

var stuff = exposed(actor.Source("cancel.stuff", func(ctx context.Context, key string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		running.Add(1)
		defer running.Add(-1)
		for n := 0; yield(make([]byte, 1<<16), nil); n++ {
			note(key, "sent")
		}
		note(key, "ends: "+endOf(ctx))
	}
}))

// waitForStuffed returns when a source has not sent anything for a while.
func waitForStuffed(ctx context.Context, t *testing.T, a *actor.Actor, key string) int {
	n, since := -1, time.Now()
	waitUntil(t, func() bool {
		if now := len(notes(ctx, t, a, key)); now != n {
			n, since = now, time.Now()
		}
		return n > 0 && time.Since(since) > 200*time.Millisecond
	})
	return n
}

func TestAFunctionWhoseStreamIsStuffedIsCanceled(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		canceled, cancel := context.WithCancelCause(ctx)
		var last error
		for _, err := range stuff.Run(canceled, a, "stuffed") {
			if last = err; err == nil && canceled.Err() == nil {
				waitForStuffed(ctx, t, a, "stuffed")
				cancel(errWhy)
				waitUntil(t, func() bool { // though nobody has read anything meanwhile
					all := notes(ctx, t, a, "stuffed")
					return all[len(all)-1] == "ends: context canceled; root/mid by root; why"
				})
			}
		}
		assert.Equal(t, errWhy, last)

		canceled, cancel = context.WithCancelCause(ctx)
		_, err := play.Run(canceled, a, script{Key: "stuffed dialog", Does: "sends N", N: 100_000_000}, func(context.Context, string, *numbers) error {
			cancel(errWhy)
			waitForNotes(ctx, t, a, "stuffed dialog", 2)
			return nil
		})
		assert.Equal(t, errWhy, err)
		requireIdle(ctx, t, a)
	})
}

// A function that does not end.

func TestAFunctionThatIgnoresItsCancellationIsGivenUp(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, a *actor.Actor) {
		for kind := range kinds {
			begin := time.Now()
			_, err := canceledAfter(ctx, t, a, kind, demand{Key: kind, Then: "ignores"})
			assert.ErrorIs(t, err, errWhy, kind)
			requireStuck(t, err, "root/mid/cancel.obey")
			assert.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond)
			_, err = square.Run(ctx, a, 3)
			require.NoError(t, err, "the actor lives on")
		}
		_, err := release.Run(ctx, a, none{})
		require.NoError(t, err)
		requireIdle(ctx, t, a)
		for range 10 {
			_, err = square.Run(ctx, a, 3)
			require.NoError(t, err)
		}
		require.NoError(t, a.Err())
	}, actor.Grace(300*time.Millisecond))
}

func requireStuck(t *testing.T, err error, path string) {
	t.Helper()
	stuck, ok := errors.AsType[*traigo.StuckError](err)
	require.True(t, ok, "%v", err)
	require.Len(t, stuck.Tasks, 1)
	assert.True(t, strings.HasPrefix(stuck.Tasks[0].Path, path), stuck.Tasks[0].Path)
	assert.Contains(t, err.Error(), path)
}

func TestALeftLoopGivesUpASourceThatDoesNotEnd(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		within(func() {
			for _, err := range stubborn.Run(ctx, a, none{}) {
				assert.NoError(t, err)
				break
			}
		})
		_, err := square.Run(ctx, a, 3)
		require.NoError(t, err)
		_, err = release.Run(ctx, a, none{})
		require.NoError(t, err)
	}, actor.Grace(300*time.Millisecond))
}

var stubborn = exposed(actor.Source("cancel.stubborn", func(context.Context, none) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		<-released
	}
}))

func TestTheGraceOfAnActorThatWasFoundIsFiveSeconds(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, a *actor.Actor) {
		found, err := actor.Find(ctx, s, "mid")
		require.NoError(t, err)
		begin := time.Now()
		_, err = canceledAfter(ctx, t, found, "function", demand{Key: "found", Then: "ignores"})
		requireStuck(t, err, "root/mid/cancel.obey")
		assert.GreaterOrEqual(t, time.Since(begin), 5*time.Second)
		_, err = release.Run(ctx, found, none{})
		require.NoError(t, err)
	}, actor.Findable(), actor.Grace(time.Minute))
}

// An actor that is stopped reads all at once when it goes on: the calls that were given up, and
// that they were canceled.
func TestACallThatWasGivenUpBeforeItBeganDoesNotRunOn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for range 5 {
			require.NoError(t, syscall.Kill(a.ID().Pid, syscall.SIGSTOP))
			var all sync.WaitGroup
			for kind, run := range kinds {
				for range 20 {
					all.Go(func() {
						canceled, cancel := context.WithCancelCause(ctx)
						stop := time.AfterFunc(10*time.Millisecond, func() { cancel(errWhy) })
						defer stop.Stop()
						_, err := run(canceled, a, demand{Key: "stopped", Then: "cause"})
						assert.ErrorIs(t, err, errWhy, kind)
						_, ok := errors.AsType[*traigo.StuckError](err)
						assert.True(t, ok, "%s: %v", kind, err)
					})
				}
			}
			all.Wait()
			require.NoError(t, syscall.Kill(a.ID().Pid, syscall.SIGCONT))
			_, err := square.Run(ctx, a, 2)
			require.NoError(t, err)
			requireIdle(ctx, t, a)
		}
	}, actor.Grace(200*time.Millisecond))
}

// What blocks here ends at once, whatever the actor does.
func TestBlockedSendsAndRecvsEndThoughTheActorIsStopped(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		stop := func() { assert.NoError(t, syscall.Kill(a.ID().Pid, syscall.SIGSTOP)) }
		goOn := func() { assert.NoError(t, syscall.Kill(a.ID().Pid, syscall.SIGCONT)) }
		canceled, cancel := context.WithCancelCause(ctx)
		_, err := play.Run(canceled, a, script{Does: "reads all"}, func(_ context.Context, _ string, p *numbers) error {
			stop()
			defer goOn()
			time.AfterFunc(10*time.Millisecond, func() { cancel(errWhy) })
			_, err := p.Recv()
			return err
		})
		assert.Equal(t, errWhy, err)
		canceled, cancel = context.WithCancelCause(ctx)
		_, err = unheard.Run(canceled, a, none{}, func(_ context.Context, _ none, p *actor.Peer[[]byte, none]) error {
			stop()
			defer goOn()
			time.AfterFunc(300*time.Millisecond, func() { cancel(errWhy) })
			for {
				if err := p.Send(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		})
		assert.Equal(t, errWhy, err)
	}, actor.Grace(10*time.Minute))
}

// A27

func TestADeadlineTravels(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind, run := range kinds {
			for _, then := range []string{"Err", "cause", "wraps Err", "wraps cause"} {
				key := kind + " " + then
				errLate := errors.New("too late") // nobody else knows it
				limited, cancel := context.WithTimeoutCause(ctx, 300*time.Millisecond, errLate)
				_, err := run(limited, a, demand{Key: key, Then: then})
				assert.Equal(t, errLate, err, key)
				cancel()
				all := notes(ctx, t, a, key)
				if len(all) > 0 { // it has begun in time
					require.Len(t, all, 3, key)
					assert.Contains(t, all[1], context.DeadlineExceeded.Error(), key)
				}
			}
		}
		limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, err := kinds["function"](limited, a, demand{Key: "boom", Then: "boom"})
		if len(notes(ctx, t, a, "boom")) > 0 {
			assert.ErrorIs(t, err, errBoom)
		}
	})
}

func TestTheTimeoutOfAScopeTravels(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind, run := range kinds {
			err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				_, err := run(ctx, a, demand{Key: kind, Then: "cause"})
				return err
			}, traigo.Timeout(200*time.Millisecond), traigo.Name("limited"))
			timeout, ok := errors.AsType[*traigo.TimeoutError](err)
			require.True(t, ok, "%s: %v", kind, err)
			assert.Equal(t, "limited", strings.TrimPrefix(timeout.Scope, "test/"))
			_, ok = errors.AsType[*actor.Error](err)
			assert.False(t, ok, "%s: %v", kind, err)
			_, ok = errors.AsType[*actor.Canceled](err)
			assert.False(t, ok, "%s: %v", kind, err)
		}
	})
}

func TestADeadlineThatIsMovedLaterDoesNotReachWhatHasBegun(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind, run := range kinds {
			for then, to := range map[string]time.Duration{"Err": 0, "cause": time.Hour} {
				{
					key := fmt.Sprint(kind, to, then)
					err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
						moved := make(chan struct{})
						s.Spawn(func(context.Context) error {
							defer close(moved)
							waitForNotes(context.WithoutCancel(ctx), t, a, key, 1)
							s.SetTimeout(to)
							return nil
						})
						within(func() {
							_, err := run(ctx, a, demand{Key: key, Then: then})
							assert.ErrorIs(t, err, context.DeadlineExceeded, key)
							failure, ok := errors.AsType[*actor.Error](err)
							if assert.True(t, ok, "%s: %v", key, err) {
								assert.Equal(t, a.ID(), failure.From)
							}
						})
						<-moved
						assert.NoError(t, ctx.Err())
						return nil
					}, traigo.Timeout(1500*time.Millisecond))
					require.NoError(t, err, key)
				}
			}
		}
	})
}

func TestADeadlineThatIsMovedEarlierCancels(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error {
				waitForNotes(context.WithoutCancel(ctx), t, a, "earlier", 1)
				s.SetTimeout(time.Millisecond)
				return nil
			})
			_, err := obeyFunc.Run(ctx, a, demand{Key: "earlier", Then: "cause"})
			return err
		}, traigo.Timeout(time.Hour))
		_, ok := errors.AsType[*traigo.TimeoutError](err)
		require.True(t, ok, "%v", err)
		all := notes(ctx, t, a, "earlier")
		require.Len(t, all, 3)
		assert.Contains(t, all[1], "root/mid by root; timeout")
	})
}

func TestStressDeadlinesAtAnyMoment(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, run := range kinds {
			for i := range 100 {
				errLate := errors.New("too late")
				limited, cancel := context.WithTimeoutCause(ctx, time.Duration(i)*20*time.Microsecond, errLate)
				_, err := run(limited, a, demand{Key: "random", Then: "cause"})
				cancel()
				require.Equal(t, errLate, err)
			}
		}
		requireIdle(ctx, t, a)
		for _, what := range notes(ctx, t, a, "random") {
			if what != "begins" && what != "ends" {
				assert.Contains(t, what, context.DeadlineExceeded.Error(), "it is not the caller who cancels")
			}
		}
	})
}

type key struct{}

var valueOf = exposed(actor.Func("cancel.value", func(ctx context.Context, _ none) (bool, error) { return ctx.Value(key{}) != nil, nil }))

func TestValuesDoNotTravel(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		has, err := valueOf.Run(context.WithValue(ctx, key{}, 1), a, none{})
		require.NoError(t, err)
		assert.False(t, has)
	})
}

// contexts looks at what may be derived from the context of a function.
var contexts = exposed(actor.Func("cancel.contexts", func(ctx context.Context, k string) (bool, error) {
	derived, cancel := context.WithCancel(ctx)
	defer cancel()
	deeper, cancel := context.WithTimeout(derived, time.Hour)
	defer cancel()
	after := make(chan struct{})
	context.AfterFunc(ctx, func() { close(after) })
	note(k, "begins")
	<-deeper.Done()
	<-after
	same := derived.Err() == ctx.Err() && deeper.Err() == ctx.Err() && context.Cause(derived) == context.Cause(ctx) && context.Cause(deeper) == context.Cause(ctx)
	_, has := deeper.Deadline()
	note(k, ctx.Err().Error())
	return same && has, nil
}))

func TestContextsThatAFunctionDerivesEndLikeItsOwn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		canceled, cancel := context.WithCancel(ctx)
		go func() {
			waitForNotes(ctx, t, a, "canceled", 1)
			cancel()
		}()
		same, err := contexts.Run(canceled, a, "canceled")
		require.NoError(t, err)
		assert.True(t, same)
		limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		same, err = contexts.Run(limited, a, "limited")
		if all := notes(ctx, t, a, "limited"); len(all) > 0 {
			require.NoError(t, err)
			assert.True(t, same)
			assert.Equal(t, context.DeadlineExceeded.Error(), all[1])
		}
	})
}

// A11

// A hop starts an actor below and asks on, until there are no more.
type hop struct {
	Left int
	Key  string
}

var hops = exposed(actor.Func("cancel.hops", func(ctx context.Context, h hop) (string, error) {
	return hopOn(ctx, h)
}))

var hopOn func(ctx context.Context, h hop) (string, error)

func init() {
	hopOn = func(ctx context.Context, h hop) (string, error) {
		if h.Left == 0 {
			note(h.Key, "begins")
			<-ctx.Done()
			return endOf(ctx), nil
		}
		a, err := actor.Start(ctx, traigo.Current(ctx), fmt.Sprint("l", h.Left), actor.Expose(everything...))
		if err != nil {
			return "", err
		}
		defer a.Cancel(nil)
		go func() { // say here when it has begun there
			for n := 0; n == 0 && a.Err() == nil; {
				all, err := notedFunc.Run(context.WithoutCancel(ctx), a, h.Key)
				if n = len(all); err != nil {
					return
				}
			}
			note(h.Key, "begins")
		}()
		below, err := hops.Run(ctx, a, hop{h.Left - 1, h.Key})
		return below + " | " + endOf(ctx), err
	}
}

func TestWhoHasAskedIsKnownDownToTheRootCause(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		canceled, cancel := context.WithCancelCause(ctx)
		go func() {
			waitForNotes(ctx, t, a, "three", 1)
			cancel(errWhy)
		}()
		text, err := hops.Run(canceled, a, hop{2, "three"})
		require.NoError(t, err)
		assert.Equal(t, []string{
			"context canceled; root/mid/l2/l1 by root/mid/l2; root/mid/l2 by root/mid; root/mid by root; why",
			"context canceled; root/mid/l2 by root/mid; root/mid by root; why",
			"context canceled; root/mid by root; why",
		}, strings.Split(text, " | "))
	})
}

func TestTheCancellationOfAScopeIsKnownAtDepth(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		var text string
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) (err error) {
				text, err = hops.Run(ctx, a, hop{2, "scope"})
				return err
			})
			s.Spawn(func(context.Context) error {
				waitForNotes(context.WithoutCancel(ctx), t, a, "scope", 1)
				return errWhy
			})
			return nil
		})
		require.ErrorIs(t, err, errWhy)
		assert.Equal(t, []string{
			"context canceled; root/mid/l2/l1 by root/mid/l2; root/mid/l2 by root/mid; root/mid by root; task failed; why",
			"context canceled; root/mid/l2 by root/mid; root/mid by root; task failed; why",
			"context canceled; root/mid by root; task failed; why",
		}, strings.Split(text, " | "))
	})
}

var causeFunc = exposed(actor.Func("cancel.cause", func(ctx context.Context, k string) (string, error) {
	note(k, "begins")
	<-ctx.Done()
	return endOf(ctx), nil
}))

func TestTheScopeOfAnActorIsCanceledByWhoeverAsked(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		for name, c := range map[string]struct {
			end  func(a *actor.Actor)
			text string
			err  bool
		}{
			"Cancel":     {func(a *actor.Actor) { a.Cancel(errWhy) }, "context canceled; root/Cancel by root; ", false},
			"nil":        {func(a *actor.Actor) { a.Cancel(nil) }, "context canceled; root/nil by root; ", false},
			"by SIGTERM": {func(a *actor.Actor) { assert.NoError(t, syscall.Kill(a.ID().Pid, syscall.SIGTERM)) }, "context canceled; root/by SIGTERM by ", true},
		} {
			a := start(ctx, t, s, name, actor.Task(traigo.Bubble(false)))
			go func() {
				waitForNotes(ctx, t, a, "cause", 1)
				c.end(a)
			}()
			text, err := causeFunc.Run(ctx, a, "cause")
			require.NoError(t, err)
			assert.Contains(t, text, c.text)
			if name == "Cancel" {
				assert.Contains(t, text, "; why")
			}
			err = a.Wait(ctx)
			if !c.err {
				require.NoError(t, err)
				continue
			}
			by, ok := errors.AsType[*actor.Canceled](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, actor.ID{}, by.By)
			assert.Equal(t, a.ID(), by.Actor)
			assert.ErrorContains(t, err, "signal")
		}
	})
}

func TestTheFailureOfAnActorIsItsOwnDoing(t *testing.T) {
	err := outcomeOf(t, func(ctx context.Context, s *traigo.Scope) {
		a := start(ctx, t, s, "mid")
		ctx = context.WithoutCancel(ctx)
		go func() {
			waitForNotes(ctx, t, a, "cause", 1)
			_, _ = spawnFailing.Run(ctx, a, false)
		}()
		text, err := causeFunc.Run(ctx, a, "cause")
		require.NoError(t, err)
		assert.Equal(t, "context canceled; root/mid by root/mid; task failed", text)
		require.ErrorIs(t, a.Wait(ctx), errBoom)
	})
	require.ErrorIs(t, err, errBoom)
}

// Several use an actor: they find it.
var (
	useFound = exposed(actor.Func("cancel.use found", func(ctx context.Context, name string) (none, error) {
		a, err := actor.Wait(ctx, traigo.Current(ctx), name)
		if err != nil {
			return none{}, err
		}
		return block.Run(ctx, a, "used")
	}))
	cancelFound = exposed(actor.Func("cancel.cancel found", func(ctx context.Context, name string) (string, error) {
		a, err := actor.Wait(ctx, traigo.Current(ctx), name)
		if err != nil {
			return "", err
		}
		a.Cancel(errWhy)
		return "asked", a.Wait(ctx)
	}))
)

func TestWhoUsesAnActorThatAnotherOneCancelsIsToldByWhom(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		shared := start(ctx, t, s, "shared", actor.Findable(), actor.Task(traigo.Bubble(false)))
		var users []*actor.Actor
		for i := range 3 {
			users = append(users, start(ctx, t, s, fmt.Sprint("user", i)))
		}
		requireBy := func(err error) {
			t.Helper()
			by, ok := errors.AsType[*actor.Canceled](err)
			if assert.True(t, ok, "%v", err) {
				assert.Equal(t, shared.ID(), by.Actor)
				assert.Equal(t, users[2].ID(), by.By)
			}
			assert.ErrorIs(t, err, errWhy)
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorContains(t, err, "root/user2")
			assert.ErrorContains(t, err, "root/shared")
		}
		var all sync.WaitGroup
		for _, user := range users[:2] {
			all.Go(func() {
				_, err := useFound.Run(ctx, user, "shared")
				requireBy(err)
				failure, ok := errors.AsType[*actor.Error](err)
				if assert.True(t, ok, "it has come by the user") {
					assert.Equal(t, user.ID(), failure.Path[len(failure.Path)-1])
				}
			})
		}
		all.Go(func() {
			_, err := block.Run(ctx, shared, "used")
			requireBy(err)
		})
		waitForNotes(ctx, t, shared, "used", 3)
		out, err := cancelFound.Run(ctx, users[2], "shared")
		require.NoError(t, err, "who asked does not get it back")
		assert.Equal(t, "asked", out)
		all.Wait()
		requireBy(shared.Wait(ctx))
	})
}

// A12

func TestWhoAskedDoesNotGetTheRequestBack(t *testing.T) {
	for _, cause := range []error{nil, errWhy} {
		err := outcomeOf(t, func(ctx context.Context, s *traigo.Scope) {
			a := start(ctx, t, s, "mid")
			s.Spawn(func(ctx context.Context) error {
				_, err := block.Run(ctx, a, "block")
				return err
			})
			for kind, run := range kinds {
				s.Spawn(func(ctx context.Context) error {
					_, err := run(ctx, a, demand{Key: "block", Then: "cause"})
					return err
				}, traigo.Name(kind))
			}
			waitForNotes(ctx, t, a, "block", 4)
			s.Cancel(cause)
		})
		if cause == nil {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, errWhy)
		outcome, ok := errors.AsType[*traigo.Error](err)
		require.True(t, ok)
		assert.Empty(t, outcome.Others)
		_, ok = errors.AsType[*actor.Canceled](err)
		assert.False(t, ok, "%v", err)
	}
}

// A testament is written by a function when its actor is asked to end.
type testament struct {
	Left int // actors below
	File string
}

var lastWords = exposed(actor.Func("cancel.lastWords", func(ctx context.Context, o testament) (none, error) {
	return lastWordsOn(ctx, o)
}))

var lastWordsOn func(ctx context.Context, o testament) (none, error)

func init() {
	lastWordsOn = func(ctx context.Context, o testament) (none, error) {
		if o.Left > 0 {
			a, err := actor.Start(ctx, traigo.Current(ctx), fmt.Sprint("l", o.Left), actor.Expose(lastWords))
			if err != nil {
				return none{}, err
			}
			go func() { _, _ = lastWords.Run(context.WithoutCancel(ctx), a, testament{o.Left - 1, o.File}) }()
		}
		if err := os.WriteFile(fmt.Sprint(o.File, o.Left), []byte("begins"), 0o600); err != nil {
			return none{}, err
		}
		<-ctx.Done()
		return none{}, os.WriteFile(fmt.Sprint(o.File, o.Left), []byte(endOf(ctx)), 0o600)
	}
}

// An actor that is asked to end without a failure ends quietly, and yet its functions see who has
// asked, and so do those of the actors below.
func TestAQuietEndIsKnownAtDepth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "words")
	read := func(left int) string {
		text, _ := os.ReadFile(fmt.Sprint(file, left))
		return string(text)
	}
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := start(ctx, t, s, "mid")
		go func() { _, _ = lastWords.Run(context.WithoutCancel(ctx), a, testament{2, file}) }()
		waitUntil(t, func() bool { return read(0) == "begins" })
		a.Cancel(nil)
		require.NoError(t, a.Wait(ctx))
	})
	assert.Equal(t, "context canceled; root/mid/l2/l1 by root/mid/l2; root/mid/l2 by root/mid; root/mid by root; requested", read(0))
	assert.Equal(t, "context canceled; root/mid/l2 by root/mid; root/mid by root; requested", read(1))
	assert.Equal(t, "context canceled; root/mid by root; requested", read(2))
}
