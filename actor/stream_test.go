//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Streams, backpressure and Overrun: A17, A21 and A22.

// A flow says what a source yields.
type flow struct {
	Key  string
	N    int
	Size int
	Fail bool // after that
}

// noteEnd notes how often a source has yielded, and what its context ended with.
func noteEnd(ctx context.Context, key string, n int) {
	if ctx.Err() == nil {
		note(key, fmt.Sprintf("ends after %d", n))
	} else {
		note(key, fmt.Sprintf("ends after %d: %v", n, context.Cause(ctx)))
	}
}

var flowing = exposed(actor.Source("stream.flowing", func(ctx context.Context, f flow) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		running.Add(1)
		defer running.Add(-1)
		n := 0
		defer func() { noteEnd(ctx, f.Key, n) }()
		for n < f.N || f.N < 0 {
			item := make([]byte, max(f.Size, 4))
			item[0], item[1], item[2] = byte(n), byte(n>>8), byte(n>>16)
			if !yield(item, nil) {
				return
			}
			n++
			sent.Lock()
			sent.of[f.Key]++
			sent.Unlock()
		}
		if f.Fail {
			if yield([]byte("dropped"), errBoom) {
				note(f.Key, "goes on after an error")
			}
		}
	}
}))

var sent = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

var sentFunc = exposed(actor.Func("stream.sent", func(_ context.Context, key string) (int, error) {
	sent.Lock()
	defer sent.Unlock()
	return sent.of[key], nil
}))

func number(item []byte) int { return int(item[0]) | int(item[1])<<8 | int(item[2])<<16 }

// standing returns how much a source has sent when it does not send any more.
func standing(ctx context.Context, t *testing.T, a *actor.Actor, key string) int {
	t.Helper()
	n, since := -1, time.Now()
	waitUntil(t, func() bool {
		now, err := sentFunc.Run(ctx, a, key)
		require.NoError(t, err)
		if now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	return n
}

// A17

func TestItemsComeInOrderEachOnce(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, f := range []flow{{N: 0}, {N: 1}, {N: 20_000, Size: 10}, {N: 50, Size: 300_000}, {N: 3, Size: 5 << 20}, {N: 2000, Fail: true}, {N: 0, Fail: true}} {
			n, failed := 0, false
			for item, err := range flowing.Run(ctx, a, f) {
				require.False(t, failed, "the error is the last")
				if err != nil {
					failed = true
					assert.ErrorIs(t, err, errBoom)
					failure, ok := errors.AsType[*actor.Error](err)
					require.True(t, ok)
					assert.Equal(t, a.ID(), failure.From)
					assert.Nil(t, item, "with a zero value")
					continue
				}
				if number(item) != n {
					require.Equal(t, n, number(item))
				}
				n++
			}
			assert.Equal(t, f.N, n)
			assert.Equal(t, f.Fail, failed)
		}
		assert.NotContains(t, notes(ctx, t, a, ""), "goes on after an error")
	})
}

func TestASequenceMayBeRunAgain(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		seq := count.Run(ctx, a, 5)
		for range 3 {
			var all []int
			for i, err := range seq {
				require.NoError(t, err)
				all = append(all, i)
			}
			assert.Equal(t, []int{0, 1, 2, 3, 4}, all)
		}
		next, stop := iter.Pull2(count.Run(ctx, a, 5))
		i, err, ok := next()
		require.NoError(t, err)
		assert.True(t, ok)
		assert.Zero(t, i)
		stop()
	})
}

func TestLeavingTheLoopCancelsTheSourceAndWaits(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		check := func(key string) {
			t.Helper()
			all := notes(ctx, t, a, key)
			require.Len(t, all, 1, "Run has waited")
			assert.Contains(t, all[0], "was canceled by")
		}
		for _, size := range []int{10, 100_000} {
			key := fmt.Sprint("break ", size)
			for _, err := range flowing.Run(ctx, a, flow{Key: key, N: -1, Size: size}) {
				require.NoError(t, err)
				break
			}
			check(key)

			key = fmt.Sprint("return ", size)
			func() {
				for _, err := range flowing.Run(ctx, a, flow{Key: key, N: -1, Size: size}) {
					require.NoError(t, err)
					return
				}
			}()
			check(key)

			key = fmt.Sprint("panic ", size)
			value := recovered(func() {
				for _, err := range flowing.Run(ctx, a, flow{Key: key, N: -1, Size: size}) {
					assert.NoError(t, err)
					panic(errMine)
				}
			})
			assert.Equal(t, errMine, value)
			check(key)

			key = fmt.Sprint("goexit ", size)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for _, err := range flowing.Run(ctx, a, flow{Key: key, N: -1, Size: size}) {
					assert.NoError(t, err)
					runtime.Goexit()
				}
				assert.Fail(t, "it goes on")
			}()
			<-ended
			check(key)
		}
	})
}

// A source that fails, panics not, when it is canceled.
var sore = exposed(actor.Source("stream.sore", func(ctx context.Context, key string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		<-ctx.Done()
		note(key, "ends")
		yield(0, errBoom)
	}
}))

func TestAfterTheLoopNobodyWantsToKnowOfTheSourcesError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for i, err := range sore.Run(ctx, a, "sore") {
			require.NoError(t, err)
			assert.Equal(t, 1, i)
			break
		}
		assert.Len(t, notes(ctx, t, a, "sore"), 1)
		require.NoError(t, a.Err())

		canceled, cancel := context.WithCancelCause(ctx) // but who has not left it does
		defer cancel(nil)
		var last error
		for _, err := range sore.Run(canceled, a, "canceled") {
			last = err
			cancel(errWhy)
		}
		require.ErrorIs(t, last, errBoom)
	})
}

func TestTheEndOfTheContextIsYieldedLast(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		canceled, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var all []error
		for _, err := range flowing.Run(canceled, a, flow{Key: "canceled", N: -1}) {
			all = append(all, err)
			cancel(errWhy)
		}
		assert.Equal(t, errWhy, all[len(all)-1])
		for _, err := range all[:len(all)-1] {
			require.NoError(t, err)
		}
		assert.Len(t, notes(ctx, t, a, "canceled"), 1, "Run has waited")
	})
}

func TestADyingActorFailsTheStream(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, _ *actor.Actor) {
		a := start(ctx, t, s, "dying", actor.Task(traigo.Bubble(false)))
		var last error
		for item, err := range flowing.Run(ctx, a, flow{N: -1}) {
			if last = err; err == nil {
				_, err = die.Run(ctx, a, none{})
				require.Error(t, err)
			} else {
				assert.Nil(t, item)
			}
		}
		gone, ok := errors.AsType[*actor.GoneError](last)
		require.True(t, ok, "%v", last)
		assert.Equal(t, a.ID(), gone.Actor)
	})
}

// A21

const underWay = 4 << 20

func TestASourceWaitsWhileNobodyReads(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, size := range []int{100, 10_000, 100_000, 3 << 20, 10 << 20} {
			key := fmt.Sprint("waits ", size)
			for _, err := range flowing.Run(ctx, a, flow{Key: key, N: -1, Size: size}) {
				require.NoError(t, err)
				n := standing(ctx, t, a, key)
				t.Logf("%d items of %d bytes: %d KiB", n, size, n*size>>10)
				assert.LessOrEqual(t, n*size, underWay+2*size, "and one message more, and the one that is here")
				break
			}
		}
		requireIdle(ctx, t, a)
	})
}

func TestSendWaitsWhileTheOtherSideDoesNotRead(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, size := range []int{1000, 100_000, 3 << 20} {
			canceled, cancel := context.WithCancelCause(ctx)
			n := 0
			var mu sync.Mutex
			_, err := unheard.Run(canceled, a, none{}, func(ctx context.Context, _ none, p *actor.Peer[[]byte, none]) error {
				go func() {
					last, since := -1, time.Now()
					for time.Since(since) < 300*time.Millisecond {
						mu.Lock()
						if n != last {
							last, since = n, time.Now()
						}
						mu.Unlock()
						time.Sleep(time.Millisecond)
					}
					cancel(errWhy)
				}()
				for {
					if err := p.Send(make([]byte, size)); err != nil {
						return err
					}
					mu.Lock()
					n++
					mu.Unlock()
				}
			})
			assert.Equal(t, errWhy, err, "a blocked Send ends with its context")
			t.Logf("%d items of %d bytes: %d KiB", n, size, n*size>>10)
			assert.LessOrEqual(t, n*size, underWay+size)
		}
	})
}

var unheard = exposed(actor.Dialog("stream.unheard", func(ctx context.Context, _ none, begin actor.Started[none, none, []byte]) (none, error) {
	if _, err := begin(none{}); err != nil {
		return none{}, err
	}
	<-ctx.Done()
	return none{}, ctx.Err()
}))

func TestStreamsThatStandHoldNothingUp(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, a *actor.Actor) {
		const standingStreams = 40
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			hold := make(chan struct{})
			var all sync.WaitGroup
			for i := range standingStreams {
				all.Add(1)
				s.Spawn(func(ctx context.Context) error { // down
					once := sync.OnceFunc(all.Done)
					defer once()
					ctx, cancel := context.WithCancelCause(ctx)
					defer cancel(nil)
					for item, err := range flowing.Run(ctx, a, flow{Key: fmt.Sprint("stands ", i), N: -1, Size: 100_000}) {
						if err != nil {
							assert.Nil(t, item)
							assert.Equal(t, errWhy, err)
							return nil
						}
						once()
						<-hold
						cancel(errWhy)
					}
					return errors.New("there is no error")
				})
				all.Add(1)
				s.Spawn(func(ctx context.Context) error { // and up
					once := sync.OnceFunc(all.Done)
					defer once()
					ctx, cancel := context.WithCancelCause(ctx)
					defer cancel(nil)
					_, err := unheard.Run(ctx, a, none{}, func(_ context.Context, _ none, p *actor.Peer[[]byte, none]) error {
						go func() {
							<-hold
							cancel(errWhy)
						}()
						once()
						for {
							if err := p.Send(make([]byte, 100_000)); err != nil {
								return err
							}
						}
					})
					assert.Equal(t, errWhy, err)
					return nil
				})
			}
			all.Wait()
			for i := range 4 {
				standing(ctx, t, a, fmt.Sprint("stands ", i*10))
			}
			for i := range 100 { // calls
				n, err := square.Run(ctx, a, i)
				require.NoError(t, err)
				assert.Equal(t, i*i, n)
			}
			n := 0 // other streams
			for item, err := range flowing.Run(ctx, a, flow{N: 200, Size: 50_000}) {
				require.NoError(t, err)
				assert.Equal(t, n, number(item))
				n++
			}
			assert.Equal(t, 200, n)
			ints, err := chunks.Run(ctx, a, 1, func(_ context.Context, _ none, p *actor.Peer[[]byte, []byte]) error {
				for range 100 {
					require.NoError(t, p.Send(make([]byte, 1<<16)))
				}
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, 100, ints)
			_, err = canceledAfter(ctx, t, a, "function", demand{Key: "beside", Then: "cause"}) // cancellations
			assert.Equal(t, errWhy, err)
			close(hold) // and their own
			return nil
		})
		require.NoError(t, err)
		requireIdle(ctx, t, a)
	}, actor.Grace(30*time.Second))
}

func TestABlockedYieldEndsWhenTheActorIsCanceled(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := start(ctx, t, s, "mid", actor.Grace(30*time.Second))
		var last error
		begin := time.Now()
		for _, err := range flowing.Run(ctx, a, flow{Key: "stands", N: -1, Size: 100_000}) {
			if last = err; err == nil && a.Err() == nil {
				standing(context.WithoutCancel(ctx), t, a, "stands")
				begin = time.Now()
				a.Cancel(errWhy)
				require.NoError(t, a.Wait(ctx))
				break
			}
		}
		require.NoError(t, last)
		assert.Less(t, time.Since(begin), 15*time.Second)
	})
}

// A22

func TestOverrunFailsTheStreamAfterTheItemsThatAreKept(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, n := range []int{1, 2, 10, 1000} {
			key := fmt.Sprint("overrun ", n)
			var got []int
			var last error
			for item, err := range flowing.Run(ctx, a, flow{Key: key, N: n + 100, Size: 10}, actor.Overrun(n)) {
				if last = err; err != nil {
					assert.Nil(t, item)
					break
				}
				if got = append(got, number(item)); len(got) == 1 { // the other ones are left to come
					waitForNotes(ctx, t, a, key, 1)
					for range 20 {
						_, err := square.Run(ctx, a, 1)
						require.NoError(t, err)
					}
				}
			}
			require.ErrorIs(t, last, actor.ErrOverrun)
			// The first one may have been taken before or after the next ones had come.
			require.Contains(t, []int{n, n + 1}, len(got))
			for i, number := range got {
				assert.Equal(t, i, number)
			}
		}
	})
}

func TestOverrunCancelsTheOtherSide(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		var last error
		for _, err := range flowing.Run(ctx, a, flow{Key: "endless", N: -1, Size: 10}, actor.Overrun(5)) {
			last = err
			all := waitForNotes(ctx, t, a, "endless", 1)
			assert.Contains(t, all[0], actor.ErrOverrun.Error())
		}
		require.ErrorIs(t, last, actor.ErrOverrun)

		_, err := play.Run(ctx, a, script{Key: "dialog", Does: "sends N", N: 100_000_000}, func(ctx context.Context, _ string, p *numbers) error {
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), actor.ErrOverrun)
			return nil
		}, actor.Overrun(5))
		require.ErrorIs(t, err, actor.ErrOverrun)
		all := waitForNotes(ctx, t, a, "dialog", 2)
		assert.Contains(t, all[1], actor.ErrOverrun.Error())
		requireIdle(ctx, t, a)
	})
}

func TestADialogThatIsOverrunGivesWhatIsKeptFirst(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := play.Run(ctx, a, script{Does: "sends N", N: 100_000_000}, func(ctx context.Context, _ string, p *numbers) error {
			<-ctx.Done()
			for i := range 3 {
				got, err := p.Recv()
				require.NoError(t, err)
				assert.Equal(t, i, got)
			}
			for range 2 {
				_, err := p.Recv()
				require.ErrorIs(t, err, actor.ErrOverrun)
			}
			require.ErrorIs(t, p.Send(1), actor.ErrOverrun)
			return nil
		}, actor.Overrun(3))
		require.ErrorIs(t, err, actor.ErrOverrun)
	})
}

func TestAReaderThatKeepsUpIsNotOverrun(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		n := 0
		for item, err := range flowing.Run(ctx, a, flow{N: 5000, Size: 10}, actor.Overrun(5000)) {
			require.NoError(t, err)
			assert.Equal(t, n, number(item))
			n++
		}
		assert.Equal(t, 5000, n)
		// The error of the source comes after what is kept, and is none of Overrun.
		n = 0
		var last error
		for _, err := range flowing.Run(ctx, a, flow{Key: "fails", N: 50, Size: 10, Fail: true}, actor.Overrun(50)) {
			if n == 0 {
				waitForNotes(ctx, t, a, "fails", 1)
			}
			if last = err; err == nil {
				n++
			}
		}
		require.ErrorIs(t, last, errBoom)
		assert.Equal(t, 50, n)
	})
}

func TestALoopWithOverrunMayBeLeft(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for i := range 30 {
			for _, err := range flowing.Run(ctx, a, flow{Key: "left", N: -1, Size: 10}, actor.Overrun(1_000_000)) {
				require.NoError(t, err)
				break
			}
			assert.Len(t, notes(ctx, t, a, "left"), i+1)
		}
		canceled, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var last error
		for _, err := range flowing.Run(canceled, a, flow{Key: "canceled", N: 1, Size: 10}, actor.Overrun(10)) {
			last = err
			cancel(errWhy)
		}
		if last != nil { // the source may have ended before
			assert.Equal(t, errWhy, last)
		}
	})
}

func TestRandomStreams(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			for i := range 200 {
				s.Spawn(func(ctx context.Context) error {
					leave := i * 7 % 100
					n := 0
					for item, err := range flowing.Run(ctx, a, flow{N: 50, Size: 1 + i*i%20_000, Fail: i%2 == 0}) {
						if n == leave {
							return nil
						}
						if err != nil {
							assert.ErrorIs(t, err, errBoom)
							assert.Equal(t, 50, n)
							return nil
						}
						assert.Equal(t, n, number(item))
						n++
					}
					assert.Equal(t, 50, n)
					return nil
				})
			}
			return nil
		}, traigo.Limit(16))
		require.NoError(t, err)
		requireIdle(ctx, t, a)
	})
}

// die ends the process.
var die = exposed(actor.Func("stream.die", func(context.Context, none) (none, error) {
	os.Exit(3)
	return none{}, nil
}))

// An oddContext is one that == panics for.
type oddContext struct {
	context.Context //nolint:containedctx // it is one
	_               []int
}

func TestTheContextOfASequenceNeedNotBeComparable(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for _, err := range flowing.Run(oddContext{Context: ctx}, a, flow{Key: "odd", N: 3}) {
			require.NoError(t, err)
		}
	})
}
