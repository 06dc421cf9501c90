package traigotest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

func TestStressSequenceKeepsTheOrder(t *testing.T) {
	const steps = 200
	var seq traigotest.Sequence
	var done []int
	traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
		for _, n := range rand.Perm(steps) {
			s.Spawn(func(ctx context.Context) error {
				return seq.Do(ctx, n, func() { done = append(done, n) })
			})
		}
	})
	require.Len(t, done, steps)
	assert.IsIncreasing(t, done)
}

func TestSequenceWaitsForTheEndOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seq traigotest.Sequence
		began := time.Now()
		traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(ctx context.Context) error {
				return seq.Do(ctx, 1, func() { assert.Equal(t, time.Second, time.Since(began)) })
			})
			s.Spawn(func(ctx context.Context) error {
				return seq.Do(ctx, 0, func() { time.Sleep(time.Second) })
			})
		})
	})
}

func TestSequenceBreaksWhenAStepNoLongerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seq traigotest.Sequence
		errGone := errors.New("gone")
		never := func() { t.Error("a step was done in a broken sequence") }
		require.NoError(t, seq.Do(t.Context(), 0, func() {}))
		ctx, cancel := context.WithCancelCause(t.Context())
		errs := make([]error, 6)
		go func() { errs[2] = seq.Do(ctx, 2, never) }()
		go func() { errs[3] = seq.Do(t.Context(), 3, never) }()
		go func() { errs[5] = seq.Do(t.Context(), 5, never) }()
		synctest.Wait()
		assert.Equal(t, make([]error, 6), errs)
		cancel(errGone)
		synctest.Wait()
		errs[1] = seq.Do(t.Context(), 1, never)
		errs[4] = seq.Do(t.Context(), 4, never)
		for n := 1; n <= 5; n++ {
			require.EqualError(t, errs[n], fmt.Sprintf("traigotest: step %d cannot be done: "+
				"step 1 was never reached, and step 2 no longer waits: gone", n))
			assert.ErrorIs(t, errs[n], errGone)
		}
		assert.Equal(t, "traigotest: step 1 of a Sequence is taken twice",
			raised(func() { _ = seq.Do(t.Context(), 1, never) }))
	})
}

// The step that runs when the sequence breaks is taken to its end.
func TestSequenceThatBreaksLetsARunningStepEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seq traigotest.Sequence
		errs := make([]error, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { errs[0] = seq.Do(ctx, 0, func() { time.Sleep(time.Minute) }) }()
		go func() { errs[1] = seq.Do(ctx, 1, func() { t.Error("done") }) }()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.EqualError(t, errs[1], "traigotest: step 1 cannot be done: "+
			"step 0 has not ended, and step 1 no longer waits: context deadline exceeded")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, errs[0])
		assert.Error(t, seq.Do(t.Context(), 2, func() {}), "it stays broken")
	})
}

func TestSequencePrefersTheTurnToTheCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var seq traigotest.Sequence
	for n := range 100 { // a select would take either
		require.NoError(t, seq.Do(ctx, n, func() {}))
	}
	require.ErrorIs(t, seq.Do(ctx, 101, func() {}), context.Canceled)
}

func TestStepThatPanicsOrCallsGoexitHasEnded(t *testing.T) {
	var seq traigotest.Sequence
	assert.Equal(t, "no milk", raised(func() { _ = seq.Do(t.Context(), 0, func() { panic("no milk") }) }))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = seq.Do(t.Context(), 1, runtime.Goexit)
	}()
	<-done
	require.NoError(t, seq.Do(t.Context(), 2, func() {}))
}

// A task that waits for its turn when its scope is canceled has not failed.
func TestSequenceAddsNothingToACancellation(t *testing.T) {
	for range 20 { // each task is woken by the sequence, by the cancellation, or by both
		synctest.Test(t, func(t *testing.T) {
			var seq traigotest.Sequence
			err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
				for n := 1; n < 10; n++ {
					s.Spawn(func(ctx context.Context) error { return seq.Do(ctx, n, func() {}) })
				}
				synctest.Wait()
				return errBoom
			}, traigo.Name("s"))
			assert.EqualError(t, err, `scope "s": connection reset`)
		})
	}
}

func TestSequencePanicsWhenMisused(t *testing.T) {
	var seq traigotest.Sequence
	for want, f := range map[string]func(){
		"step -1 of a Sequence: the first step is 0":                  func() { _ = seq.Do(t.Context(), -1, func() {}) },
		"step 0 of a Sequence: nil function; pass what is to be done": func() { _ = seq.Do(t.Context(), 0, nil) },
		"step 0 of a Sequence: nil context":                           func() { _ = seq.Do(nil, 0, func() {}) }, //nolint:staticcheck // on purpose
	} {
		assert.Equal(t, "traigotest: "+want, raised(f))
	}
	synctest.Test(t, func(t *testing.T) {
		var seq traigotest.Sequence
		go func() { assert.NoError(t, seq.Do(t.Context(), 1, func() {})) }()
		synctest.Wait()
		const twice = "traigotest: step 1 of a Sequence is taken twice"
		assert.Equal(t, twice, raised(func() { _ = seq.Do(t.Context(), 1, func() {}) }), "while it waits")
		require.NoError(t, seq.Do(t.Context(), 0, func() {}))
		synctest.Wait()
		assert.Equal(t, twice, raised(func() { _ = seq.Do(t.Context(), 1, func() {}) }), "when it has been done")
	})
}
