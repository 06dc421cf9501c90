package errgroup_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// A Wait that comes just before a function closes the scope that it was to run in,
// and so may the next.
func TestStressGoWhileManyWait(t *testing.T) {
	var g errgroup.Group
	var all sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		all.Go(func() {
			for !stop.Load() {
				_ = g.Wait()
			}
		})
	}
	var ran atomic.Int32
	for range 5000 {
		g.Go(func() error { ran.Add(1); return nil })
	}
	stop.Store(true)
	all.Wait()
	require.NoError(t, g.Wait())
	require.EqualValues(t, 5000, ran.Load())
}

type uncomparable struct {
	context.Context //nolint:containedctx // it is one

	_ []int
}

func TestBlockedGoListensToAnyContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		defer cancel()
		g, _ := errgroup.WithContext(uncomparable{Context: outer})
		g.SetLimit(1)
		require.NoError(t, g.Wait())
		g.Go(func() error { time.Sleep(time.Minute); return nil })
		time.AfterFunc(time.Second, cancel)
		g.Go(mustNotRun(t))
		require.ErrorIs(t, g.Wait(), traigo.ErrRefused)
	})
}

func TestGroupThatPanickedLeavesNothingInItsContext(t *testing.T) {
	outer, cancel := context.WithCancel(t.Context())
	defer cancel()
	var gone atomic.Bool
	func() {
		defer func() { _ = recover() }()
		g, _ := errgroup.WithContext(outer)
		runtime.AddCleanup(g, func(*atomic.Bool) { gone.Store(true) }, &gone)
		g.Go(func() error { panic("oops") })
		_ = g.Wait()
	}()
	for !gone.Load() {
		require.NoError(t, t.Context().Err())
		runtime.GC()
		runtime.Gosched()
	}
}

// Wait returns the very first error, and nothing else can be in that: so it is logged.
func TestWaitLogsWhatItDoesNotReturn(t *testing.T) {
	errOther := errors.New("other")
	for name, spawn := range map[string]func(g *errgroup.Group, end <-chan struct{}){
		"a task of the scope": func(g *errgroup.Group, _ <-chan struct{}) {
			g.Scope().Spawn(func(context.Context) error { time.Sleep(time.Minute); return errOther })
		},
		"a function that does not end": func(g *errgroup.Group, end <-chan struct{}) {
			g.Go(func() error { <-end; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var text strings.Builder
				before := slog.Default()
				defer slog.SetDefault(before)
				slog.SetDefault(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelError})))
				end := make(chan struct{})
				_ = traigo.Run(t.Context(), func(ctx context.Context, _ *traigo.Scope) error {
					g, _ := errgroup.WithContext(ctx)
					spawn(g, end)
					g.Go(func() error { time.Sleep(time.Second); return errBoom })
					assert.Same(t, errBoom, g.Wait())
					assert.Same(t, errBoom, g.Wait())
					return nil
				}, traigo.CancelTimeout(time.Second))
				assert.Equal(t, 1, strings.Count(text.String(), "behind the one that Wait returns"), text.String())
				close(end)
				synctest.Wait()
			})
		})
	}
}
