package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
)

// Works that run some functions and need their results. What is written by hand is what a
// careful programmer would write: no goroutine is left behind, an error is not lost, and
// what is not needed any more is canceled.

// A function returns a result, as the functions of joins do.
type function = func(context.Context) (int, error)

func succeeds(context.Context) (int, error) { return 1, nil }

// An outcome is what a function has returned.
type outcome struct {
	value int
	err   error
}

// alls return the results of all functions in their order, or an error if one fails.
var alls = []struct {
	name string
	all  func(context.Context, ...function) ([]int, error)
}{
	{"traigo", traigo.All[int]},
	{"errgroup", allByErrgroup},
}

func allByErrgroup(ctx context.Context, fns ...function) ([]int, error) {
	g, ctx := errgroup.WithContext(ctx)
	results := make([]int, len(fns))
	for i, fn := range fns {
		g.Go(func() (err error) {
			results[i], err = fn(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

// races return the result of the first function that succeeds, or an error if none does.
// The others are canceled, and have ended when a race returns.
var races = []struct {
	name string
	race func(context.Context, ...function) (int, error)
}{
	{"traigo", traigo.Race[int]},
	{"hand", raceByHand},
}

func raceByHand(ctx context.Context, fns ...function) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan outcome, len(fns))
	for _, fn := range fns {
		go func() {
			value, err := fn(ctx)
			ended <- outcome{value, err}
		}()
	}
	winner, won := 0, false
	var errs []error
	for range fns {
		switch o := <-ended; {
		case o.err != nil:
			errs = append(errs, o.err)
		case !won:
			winner, won = o.value, true
			cancel()
		}
	}
	if !won {
		return 0, errors.Join(errs...)
	}
	return winner, nil
}

// All is to run n short functions and to collect their results.
func All(n int) Work {
	w := Work{Name: fmt.Sprintf("All/tasks=%d", n), Units: n, Unit: "task"}
	fns := slices.Repeat([]function{succeeds}, n)
	for _, a := range alls {
		w.Ways = append(w.Ways, Way{a.name, timed(func() {
			_, err := a.all(context.Background(), fns...)
			must(err)
		})})
	}
	return w
}

// Race is to run n short functions and to take the first result.
func Race(n int) Work {
	w := Work{Name: fmt.Sprintf("Race/tasks=%d", n), Units: n, Unit: "task"}
	fns := slices.Repeat([]function{succeeds}, n)
	for _, r := range races {
		w.Ways = append(w.Ways, Way{r.name, timed(func() {
			_, err := r.race(context.Background(), fns...)
			must(err)
		})})
	}
	return w
}
