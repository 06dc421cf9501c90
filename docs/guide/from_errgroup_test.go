package guide_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
	trerrgroup "github.com/traigo/traigo/errgroup"
)

var pagesToFetch = []string{"/", "/news", "/map"}

func Example_fromErrgroupBefore() {
	pages := pagesToFetch
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	sizes := make([]int, len(pages))
	for i, page := range pages {
		g.Go(func() error {
			n, err := size(ctx, page)
			sizes[i] = n
			return err
		})
	}
	err := g.Wait()
	fmt.Println(sizes, err)
	// Output:
	// [120 300 80] <nil>
}

func Example_fromErrgroupRun() {
	pages := pagesToFetch
	sizes := make([]int, len(pages))
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for i, page := range pages {
			s.Spawn(func(ctx context.Context) error {
				n, err := size(ctx, page)
				sizes[i] = n
				return err
			}, traigo.Name(page))
		}
		return nil
	}, traigo.Limit(8))
	fmt.Println(sizes, err)
	// Output:
	// [120 300 80] <nil>
}

func Example_fromErrgroupMap() {
	pages := pagesToFetch
	sizes, err := traigo.Map(ctx, slices.Values(pages), size, traigo.Limit(8))
	fmt.Println(sizes, err)
	// Output:
	// [120 300 80] <nil>
}

func Example_fromErrgroupShadow() {
	g, ctx := errgroup.WithContext(ctx) // shadows ctx
	g.Go(func() error { return nil })
	err := g.Wait()
	fmt.Println(err, save(ctx)) // g.Wait has canceled this ctx
	// Output:
	// <nil> context canceled
}

func save(ctx context.Context) error { return ctx.Err() }

//nolint:errorlint // it shows what == finds
func Example_fromErrgroupEqual() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { return errReset })
		return nil
	})
	fmt.Println(err == errReset, errors.Is(err, errReset))
	// Output:
	// false true
}

func Example_fromErrgroupZero() {
	var g errgroup.Group // no context: a failure stops nobody
	g.Go(func() error { return errReset })
	g.Go(func() error { return nil })
	fmt.Println(g.Wait())

	for i, r := range traigo.Settle(ctx, at("/old"), at("/map")) {
		fmt.Println(i, r.Err)
	}
	// Output:
	// connection reset
	// 0 /old: not found
	// 1 <nil>
}

// The rows of the table.
func TestFromErrgroupTable(t *testing.T) {
	t.Run("after the failure", func(t *testing.T) {
		g, _ := errgroup.WithContext(ctx)
		g.Go(func() error { return errReset })
		_ = g.Wait()
		ran := make(chan bool, 1)
		g.Go(func() error { ran <- true; return nil })
		assert.ErrorIs(t, g.Wait(), errReset)
		assert.Len(t, ran, 1)

		s := traigo.New(ctx)
		s.Spawn(func(context.Context) error { return errReset })
		assert.ErrorIs(t, s.Wait(), errReset)
		task := s.Spawn(func(context.Context) error { ran <- true; return nil })
		assert.ErrorIs(t, task.Err(), traigo.ErrRefused)
		assert.Len(t, ran, 1)
	})
	t.Run("Goexit", func(t *testing.T) {
		var g errgroup.Group
		g.Go(func() error { runtime.Goexit(); return nil })
		assert.NoError(t, g.Wait())
		var h trerrgroup.Group
		h.Go(func() error { runtime.Goexit(); return nil })
		assert.ErrorIs(t, h.Wait(), traigo.ErrGoexit)
	})
	t.Run("the context ends and no function says so", func(t *testing.T) {
		outer, cancel := context.WithCancel(ctx)
		g, inner := errgroup.WithContext(outer)
		g.Go(func() error { <-inner.Done(); return nil })
		cancel()
		assert.NoError(t, g.Wait())

		outer, cancel = context.WithCancel(ctx)
		err := traigo.Run(outer, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return nil })
			cancel()
			return nil
		})
		assert.ErrorIs(t, err, context.Canceled)
	})
	t.Run("errors that only say canceled", func(t *testing.T) {
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(untilCanceled)
			s.Spawn(func(context.Context) error { return errReset })
			return nil
		})
		outcome, _ := errors.AsType[*traigo.Error](err)
		assert.Empty(t, outcome.Others)
	})
	t.Run("context.Canceled without a cancellation", func(t *testing.T) {
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(context.Context) error { return context.Canceled })
			return nil
		})
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// What waits for the limit returns when the scope is canceled. In a group it waits for a function
// to end, whatever the context says.
func TestFromErrgroupLimit(t *testing.T) {
	s := traigo.New(t.Context(), traigo.Limit(1))
	release := make(chan struct{})
	s.Spawn(func(context.Context) error { <-release; return nil })
	refused := make(chan error)
	go func() { refused <- s.Spawn(untilCanceled).Err() }()
	s.Cancel(errEnough)
	assert.ErrorIs(t, <-refused, traigo.ErrRefused, "and the first function still runs")
	close(release)
	assert.ErrorIs(t, s.Wait(), errEnough)

	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithCancel(t.Context())
		g, ctx := errgroup.WithContext(outer)
		g.SetLimit(1)
		release, started := make(chan struct{}), make(chan struct{})
		g.Go(func() error { <-release; return errReset })
		go func() {
			g.Go(func() error { return nil })
			close(started)
		}()
		cancel()
		synctest.Wait()
		assert.Error(t, ctx.Err())
		select {
		case <-started:
			t.Error("it did not wait")
		default:
		}
		close(release)
		<-started
		assert.ErrorIs(t, g.Wait(), errReset)
	})
}
