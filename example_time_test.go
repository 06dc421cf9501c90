package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/traigo/traigo"
)

// For what is nice to have: out of time is not an error.
func ExampleMoveOnAfter() {
	recommendations := "the usual ones"
	expired, err := traigo.MoveOnAfter(context.Background(), time.Millisecond, func(ctx context.Context) error {
		if err := waitForEnd(ctx); err != nil { // the service does not answer
			return err
		}
		recommendations = "yours"
		return nil
	})
	fmt.Println(recommendations, expired, err)
	// Output: the usual ones true <nil>
}

// An error that is not the end of time comes through.
func ExampleMoveOnAfter_failure() {
	expired, err := traigo.MoveOnAfter(context.Background(), time.Hour, func(context.Context) error {
		return errors.New("bad request")
	})
	fmt.Println(expired, err)
	// Output: false bad request
}

// For what must be there in time.
func ExampleFailAfter() {
	err := traigo.FailAfter(context.Background(), time.Millisecond, waitForEnd)
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// traigo: timed out after 1ms
	// true
}

// Only its own deadline is a TimeoutError: what comes from outside passes
// through as what it is.
func ExampleFailAfter_outer() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := traigo.FailAfter(ctx, time.Hour, waitForEnd)

	_, timedOut := errors.AsType[*traigo.TimeoutError](err)
	fmt.Println(err, timedOut)
	// Output: context canceled false
}

// Cleaning up takes a moment that the cancellation must not take away, and it
// must not take for ever.
func ExampleShield() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return traigo.Shield(ctx, time.Second, func(ctx context.Context) error {
				fmt.Println("saying goodbye, canceled:", ctx.Err() != nil)
				return nil
			})
		})
		s.Cancel(nil)
		return nil
	})
	fmt.Println(err)
	// Output:
	// saying goodbye, canceled: false
	// <nil>
}

func ExampleSleep() {
	fmt.Println(traigo.Sleep(context.Background(), time.Millisecond))

	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("alarm"))
	err := traigo.Sleep(ctx, time.Hour)
	fmt.Println(err != nil, context.Cause(ctx))
	// Output:
	// <nil>
	// true alarm
}

// A worker takes jobs until it is asked to stop, and finishes the one it has.
func ExampleStopping() {
	jobs := make(chan string)
	s := traigo.New(context.Background())
	s.Spawn(func(ctx context.Context) error {
		for {
			select {
			case job := <-jobs:
				fmt.Println("done:", job)
			case <-traigo.Stopping(ctx):
				fmt.Println("no more jobs, please")
				return nil
			}
		}
	})
	jobs <- "dishes"
	jobs <- "laundry"
	fmt.Println(s.Shutdown(context.Background()))
	// Output:
	// done: dishes
	// done: laundry
	// no more jobs, please
	// <nil>
}

// A call that knows no context cannot be stopped. Blocking stops waiting for
// it, and the scope reports it as abandoned until it ends.
func ExampleBlocking() {
	answer := make(chan struct{}) // from a library of another age
	ended := make(chan struct{})
	legacy := func() error {
		defer close(ended)
		<-answer
		return nil
	}
	s := traigo.New(context.Background())
	s.Spawn(traigo.Blocking(legacy))
	fmt.Println(s.Close()) // does not wait for the answer

	close(answer)
	<-ended
	// Output: <nil>
}
