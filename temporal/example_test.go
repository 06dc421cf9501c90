package temporal_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// square is known to workers and owners: it is a variable of the program that all of them run.
var square = temporal.Func("square", func(_ context.Context, n int) (int, error) { return n * n, nil })

// serve is what a worker does, until it is told to stop.
func serve(ctx context.Context, engine *temporal.Engine) error {
	return temporal.Work(ctx, engine, "numbers", square)
}

// own is what an owner does: its scope ends when all remote tasks have ended, and with the first
// error of one.
func own(ctx context.Context, engine *temporal.Engine) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		remote, err := temporal.Open(s, engine, "numbers")
		if err != nil {
			return err
		}
		nine := square.Async(remote, 3)
		squares, err := traigo.Map(ctx, slices.Values([]int{1, 2, 4}), func(ctx context.Context, n int) (int, error) {
			return square.Run(ctx, remote, n)
		})
		if err != nil {
			return err
		}
		n, err := nine.Await(ctx)
		fmt.Println(squares, n)
		return err
	})
}

// Workers and owners are processes on many machines, and find one another by TEMPORAL_ADDRESS. Here
// one process is both.
func Example() {
	ctx := context.Background()
	engine, err := temporal.Connect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { return serve(ctx, engine) }, traigo.Name("worker"), traigo.Awaited(false))
		return own(ctx, engine)
	})
	fmt.Println(err)
	// Output:
	// [1 4 16] 9
	// <nil>
}
