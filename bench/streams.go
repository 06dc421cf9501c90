package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sourcegraph/conc/iter"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
)

// Works that call a function for each of many items, with a limit of calls at a time.

// An itemFunc is what is called for each item.
type itemFunc = func(context.Context, int) (int, error)

// maps return the results for all items in their order, or an error if a call fails.
var maps = []struct {
	name string
	each func(ctx context.Context, items []int, fn itemFunc, limit int) ([]int, error)
}{
	{"traigo", func(ctx context.Context, items []int, fn itemFunc, limit int) ([]int, error) {
		return traigo.Map(ctx, slices.Values(items), fn, traigo.Limit(limit))
	}},
	{"errgroup", mapByErrgroup},
	{"conc-iter", func(ctx context.Context, items []int, fn itemFunc, limit int) ([]int, error) {
		return iter.Mapper[int, int]{MaxGoroutines: limit}.MapErr(items, func(item *int) (int, error) { return fn(ctx, *item) })
	}},
}

func mapByErrgroup(ctx context.Context, items []int, fn itemFunc, limit int) ([]int, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limit)
	results := make([]int, len(items))
	for i, item := range items {
		g.Go(func() (err error) {
			results[i], err = fn(ctx, item)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

// streams pass the results on as they come, in any order, until use returns false. The
// calls that are running then are canceled, and have ended when a stream returns.
var streams = []struct {
	name string
	each func(ctx context.Context, items []int, fn itemFunc, limit int, use func(int, error) bool)
}{
	{"traigo", func(ctx context.Context, items []int, fn itemFunc, limit int, use func(int, error) bool) {
		traigo.AsCompleted(ctx, slices.Values(items), fn, traigo.Limit(limit))(use)
	}},
	{"hand", streamByHand},
}

func streamByHand(ctx context.Context, items []int, fn itemFunc, limit int, use func(int, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	todo, done := make(chan int, limit), make(chan outcome, limit)
	var running sync.WaitGroup
	running.Go(func() { feed(ctx, items, todo) })
	for range limit {
		running.Go(func() { work(ctx, fn, todo, done) })
	}
	go func() {
		running.Wait()
		close(done)
	}()
	defer func() {
		cancel()
		running.Wait()
	}()
	for o := range done {
		if !use(o.value, o.err) {
			return
		}
	}
}

func feed(ctx context.Context, items []int, todo chan<- int) {
	defer close(todo)
	for _, item := range items {
		select {
		case todo <- item:
		case <-ctx.Done():
			return
		}
	}
}

func work(ctx context.Context, fn itemFunc, todo <-chan int, done chan<- outcome) {
	for item := range todo {
		value, err := fn(ctx, item)
		select {
		case done <- outcome{value, err}:
		case <-ctx.Done():
			return
		}
	}
}

// Map is to call a function that computes for about grain for each of n items, at most
// limit at a time.
func Map(n int, grain time.Duration, limit int) Work {
	w := Work{Name: fmt.Sprintf("Map/items=%d/grain=%v/limit=%d", n, grain, limit), Units: n, Unit: "item"}
	items, fn := numbers(n), computes(grain)
	for _, m := range maps {
		w.Ways = append(w.Ways, Way{m.name, timed(func() {
			_, err := m.each(context.Background(), items, fn, limit)
			must(err)
		})})
	}
	return w
}

// AsCompleted is to call a short function for each of n items, at most limit at a time, and
// to use the results as they come.
func AsCompleted(n, limit int) Work {
	w := Work{Name: fmt.Sprintf("AsCompleted/items=%d/limit=%d", n, limit), Units: n, Unit: "item"}
	items, fn := numbers(n), computes(0)
	for _, s := range streams {
		w.Ways = append(w.Ways, Way{s.name, timed(func() {
			sum := 0
			s.each(context.Background(), items, fn, limit, func(value int, err error) bool {
				must(err)
				sum += value
				return true
			})
			if sum != n*(n+1)/2 {
				panic("bench: results are missing")
			}
		})})
	}
	return w
}

// numbers returns the numbers from 1 to n.
func numbers(n int) []int {
	items := make([]int, n)
	for i := range items {
		items[i] = i + 1
	}
	return items
}

// computes returns a function that computes for about d and returns the item.
func computes(d time.Duration) itemFunc {
	j := busy(d)
	return func(_ context.Context, item int) (int, error) {
		j.plain()
		return item, nil
	}
}
