package guide_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/iter"
	"github.com/sourcegraph/conc/pool"
	"github.com/sourcegraph/conc/stream"
	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func Example_fromConcPool() {
	p := pool.New().WithMaxGoroutines(8).WithContext(ctx).WithCancelOnError().WithFirstError()
	for _, page := range []string{"/", "/old"} {
		p.Go(func(ctx context.Context) error {
			_, err := size(ctx, page)
			return err
		})
	}
	fmt.Println(p.Wait())
	// Output:
	// /old: not found
}

func Example_fromConcRun() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for _, page := range []string{"/", "/old"} {
			s.Spawn(func(ctx context.Context) error {
				_, err := size(ctx, page)
				return err
			}, traigo.Name(page))
		}
		return nil
	}, traigo.Name("check"), traigo.Limit(8))
	fmt.Println(err)
	// Output:
	// scope "check": task "/old": /old: not found
}

func Example_fromConcStream() {
	s := stream.New().WithMaxGoroutines(8)
	for _, page := range []string{"/", "/map"} {
		s.Go(func() stream.Callback {
			n, err := size(ctx, page)
			return func() { fmt.Println(n, err) } // one at a time, in order
		})
	}
	s.Wait()
	// Output:
	// 120 <nil>
	// 80 <nil>
}

func Example_fromConcOrdered() {
	pages := []string{"/", "/map"}
	for n, err := range traigo.Ordered(ctx, slices.Values(pages), size, traigo.Limit(8)) {
		fmt.Println(n, err)
	}
	// Output:
	// 120 <nil>
	// 80 <nil>
}

func Example_fromConcMap() {
	pages := []string{"/", "/map"}
	sizes, err := iter.MapErr(pages, func(page *string) (int, error) { return size(ctx, *page) })
	fmt.Println(sizes, err)

	sizes, err = traigo.Map(ctx, slices.Values(pages), size, traigo.Limit(8))
	fmt.Println(sizes, err)
	// Output:
	// [120 80] <nil>
	// [120 80] <nil>
}

// The rows of the table.
func TestFromConcTable(t *testing.T) {
	t.Run("a panic", func(t *testing.T) {
		var wg conc.WaitGroup
		wg.Go(func() { panic("oops") })
		assert.Panics(t, wg.Wait)
		assert.Panics(t, func() {
			_ = traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(func(context.Context) error { panic("oops") })
				return nil
			}, traigo.Logger(discard))
		})
	})
	t.Run("MapErr goes on after a failure", func(t *testing.T) {
		_, err := iter.MapErr([]string{"a", "b"}, func(page *string) (int, error) { return 0, errors.New(*page) })
		assert.ErrorContains(t, err, "a")
		assert.ErrorContains(t, err, "b")
	})
	t.Run("a pool without cancel", func(t *testing.T) {
		p := pool.New().WithErrors()
		p.Go(func() error { return errReset })
		p.Go(func() error { return errEnough })
		err := p.Wait()
		assert.ErrorIs(t, err, errReset)
		assert.ErrorIs(t, err, errEnough)
	})
}
