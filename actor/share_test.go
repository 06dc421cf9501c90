//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Share: A23. It needs no actor, so that these tests run in bubbles.

// ticking yields the numbers below n, one a second, and then err if that is not nil.
func ticking(ctx context.Context, n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if cause := traigo.Sleep(ctx, time.Second); cause != nil {
				yield(0, cause)
				return
			}
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

// collect collects what a reader gets: numbers, and texts of errors.
func collect(seq iter.Seq2[int, error]) (got []any) {
	for i, err := range seq {
		if err != nil {
			got = append(got, err.Error())
		} else {
			got = append(got, i)
		}
	}
	return got
}

func sharing(t *testing.T, body func(ctx context.Context, s *traigo.Scope) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, traigo.Run(t.Context(), body))
	})
}

func TestEveryReaderGetsEveryItem(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 5, nil), 3)
		var readers sync.WaitGroup
		for range 10 {
			seq := b.Items(ctx)
			readers.Go(func() { assert.Equal(t, []any{0, 1, 2, 3, 4}, collect(seq)) })
		}
		readers.Wait()
		return nil
	})
}

func TestAReaderGetsWhatComesFromItsItemsOn(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 5, nil), 10)
		time.Sleep(2500 * time.Millisecond)
		seq := b.Items(ctx)
		time.Sleep(2 * time.Second) // also what comes before the loop begins
		assert.Equal(t, []any{2, 3, 4}, collect(seq))
		assert.Empty(t, collect(b.Items(ctx)), "it is over")
		return nil
	})
}

func TestAReaderThatLagsLosesTheOldestItems(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 10, nil), 3)
		slow, fast := b.Items(ctx), b.Items(ctx)
		var readers sync.WaitGroup
		readers.Go(func() { assert.Len(t, collect(fast), 10) }) // it does not wait for the other one
		time.Sleep(5500 * time.Millisecond)
		var got []any
		for i, err := range slow {
			if err != nil {
				lagged, ok := errors.AsType[*actor.LaggedError](err)
				require.True(t, ok)
				assert.Zero(t, i)
				got = append(got, fmt.Sprint("lost ", lagged.Missed))
				continue
			}
			got = append(got, i)
			if i == 3 {
				time.Sleep(5 * time.Second) // 4 is kept, 5 to 9 come
			}
		}
		assert.Equal(t, []any{"lost 2", 2, 3, "lost 3", 7, 8, 9}, got)
		readers.Wait()
		return nil
	})
}

func TestTheErrorOfTheStreamIsYieldedLastToAll(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 2, errBoom), 3)
		var readers sync.WaitGroup
		for range 3 {
			seq := b.Items(ctx)
			readers.Go(func() { assert.Equal(t, []any{0, 1, "boom"}, collect(seq)) })
		}
		late := b.Items(ctx)
		readers.Wait()
		assert.Equal(t, []any{0, 1, "boom"}, collect(late), "what is kept comes first")
		assert.Equal(t, []any{"boom"}, collect(b.Items(ctx)))
		assert.Equal(t, []any{"boom"}, collect(b.Items(ctx)))
		return nil // it has not failed the scope
	})
}

func TestTheContextOfAReaderEndsItAlone(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 4, nil), 10)
		short, cancel := context.WithCancelCause(ctx)
		first, second, other := b.Items(short), b.Items(short), b.Items(ctx)
		time.AfterFunc(1500*time.Millisecond, func() { cancel(errMine) })
		assert.Equal(t, []any{0, errMine.Error()}, collect(first))
		assert.Equal(t, []any{errMine.Error()}, collect(second), "it was done before the loop")
		assert.Equal(t, []any{0, 1, 2, 3}, collect(other))
		return nil
	})
}

func TestAReaderMayLeave(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 4, nil), 1)
		other := b.Items(ctx)
		var readers sync.WaitGroup
		readers.Go(func() { assert.Equal(t, []any{0, 1, 2, 3}, collect(other)) })
		seq := b.Items(ctx)
		for _, err := range seq {
			assert.NoError(t, err)
			break
		}
		assert.Equal(t, errMine, recovered(func() {
			for _, err := range b.Items(ctx) {
				assert.NoError(t, err)
				panic(errMine)
			}
		}))
		readers.Wait()
		return nil
	})
}

// A loop that was left cannot be gone on with: it does not wait for what it is not given.
func TestASecondLoopOverTheSameItemsDoesNotHang(t *testing.T) {
	sharing(t, func(ctx context.Context, s *traigo.Scope) error {
		b := actor.Share(s, ticking(ctx, 4, errBoom), 10)
		seq := b.Items(ctx)
		for _, err := range seq {
			assert.NoError(t, err)
			break
		}
		limited, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, err := range seq {
				_ = err // whatever it is
			}
		}()
		select {
		case <-ended:
		case <-limited.Done():
			assert.Fail(t, "the second loop does not end")
		}
		return nil
	})
}

func TestAShareEndsWithItsScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *actor.Shared[int]
		var seq iter.Seq2[int, error]
		var readers sync.WaitGroup
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			b = actor.Share(s, ticking(ctx, 1000, nil), 3)
			seq = b.Items(t.Context())
			readers.Go(func() {
				got := collect(b.Items(t.Context()))
				assert.Equal(t, []any{0, 1}, got[:2])
				assert.Len(t, got, 3, "and why it is over")
			})
			time.Sleep(2500 * time.Millisecond)
			return nil // it does not keep the scope
		})
		require.NoError(t, err)
		readers.Wait()
		got := collect(seq)
		require.Len(t, got, 3)
		assert.Equal(t, []any{0, 1}, got[:2])
		got = collect(b.Items(t.Context()))
		require.Len(t, got, 1)
		assert.IsType(t, "", got[0])
	})
}

func TestAShareOfAScopeThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := traigo.New(t.Context())
		require.NoError(t, s.Close())
		b := actor.Share(s, ticking(t.Context(), 10, nil), 3)
		got := collect(b.Items(t.Context()))
		require.Len(t, got, 1)
		assert.IsType(t, "", got[0])
	})
}

func TestAPanicOfTheStreamIsThatOfItsTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var readers sync.WaitGroup
		value := recovered(func() {
			_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				b := actor.Share(s, func(yield func(int, error) bool) {
					yield(1, nil)
					panic(errBoom)
				}, 3)
				seq := b.Items(t.Context())
				readers.Go(func() {
					got := collect(seq)
					assert.NotEmpty(t, got)
					assert.IsType(t, "", got[len(got)-1], "it does not look like the end")
				})
				readers.Wait()
				return nil
			})
		})
		err, ok := value.(error)
		require.True(t, ok, "%v", value)
		assert.ErrorIs(t, err, errBoom)
	})
}

func TestWrongSharesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			for name, f := range map[string]func(){
				"nil scope":  func() { actor.Share(nil, ticking(ctx, 1, nil), 1) },
				"nil stream": func() { actor.Share[int](s, nil, 1) },
				"n is 0":     func() { actor.Share(s, ticking(ctx, 1, nil), 0) },
				"nil ctx": func() {
					actor.Share(s, ticking(ctx, 1, nil), 1).Items(nil) //nolint:staticcheck // it is what is tested
				},
			} {
				requireMisuse(t, recovered(f))
				_ = name
			}
			return nil
		})
	})
}

func TestStressReadersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const items = 2000
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			begin := make(chan struct{})
			b := actor.Share(s, func(yield func(int, error) bool) {
				<-begin
				for i := 1; i <= items; i++ {
					if !yield(i, nil) {
						return
					}
				}
				yield(0, errBoom)
			}, 50)
			var readers sync.WaitGroup
			for r := range 20 {
				seq := b.Items(ctx)
				readers.Go(func() {
					last, missed := 0, 0
					var end error
					for i, err := range seq {
						if lagged, ok := errors.AsType[*actor.LaggedError](err); ok {
							missed += lagged.Missed
							continue
						}
						if end = err; err != nil {
							continue
						}
						assert.Equal(t, last+missed+1, i, "each item is given or counted")
						last, missed = i, 0
						if r%3 == 0 && i > 100*r {
							return
						}
					}
					assert.Equal(t, errBoom, end)
					assert.Equal(t, items, last+missed)
				})
			}
			close(begin)
			readers.Wait()
			return nil
		})
		require.NoError(t, err)
	})
}

// With a stream of an actor.
func TestAStreamOfAnActorIsShared(t *testing.T) {
	withActor(t, func(ctx context.Context, s *traigo.Scope, a *actor.Actor) {
		b := actor.Share(s, count.Run(ctx, a, 500), 500)
		var readers sync.WaitGroup
		for range 4 {
			seq := b.Items(ctx)
			readers.Go(func() {
				last := -1
				for i, err := range seq {
					assert.NoError(t, err)
					assert.True(t, last < 0 || i == last+1, fmt.Sprint(last, i))
					last = i
				}
				assert.True(t, last == 499 || last == -1)
			})
		}
		readers.Wait()
	})
}
