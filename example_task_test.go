package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// A task is the handle of one spawned function: it can be waited for, canceled
// alone, and asked how it ended.
func ExampleTask() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		first := s.Spawn(func(context.Context) error {
			fmt.Println("schema created")
			return nil
		})
		s.Spawn(func(ctx context.Context) error {
			if err := first.Wait(ctx); err != nil {
				return err
			}
			fmt.Println("rows inserted")
			return nil
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// schema created
	// rows inserted
	// <nil>
}

// Waiting for a task does not take its error from the scope: that was decided
// when it was spawned.
func ExampleTask_Wait() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		task := s.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("write"))
		fmt.Println("task:", task.Wait(context.Background()))
		return nil
	}, traigo.Name("save"))
	fmt.Println("scope:", err)
	// Output:
	// task: disk full
	// scope: scope "save": task "write": disk full
}

// A waiter that runs out of patience leaves the task alone.
func ExampleTask_Wait_impatient() {
	s := traigo.New(context.Background())
	task := s.Spawn(waitForEnd)

	impatient, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("not that important"))
	fmt.Println(task.Wait(impatient))
	fmt.Println("task ended:", task.Err() != nil)

	fmt.Println(s.Close())
	// Output:
	// not that important
	// task ended: false
	// <nil>
}

func ExampleTask_Done() {
	s := traigo.New(context.Background())
	task := s.Spawn(func(context.Context) error { return nil })
	<-task.Done()
	fmt.Println("has returned", task.Err())
	fmt.Println(s.Wait())
	// Output:
	// has returned <nil>
	// <nil>
}

// Err is what the function returned, also where nobody was interested in it.
func ExampleTask_Err() {
	s := traigo.New(context.Background())
	task := s.Spawn(func(context.Context) error {
		return errors.New("no printer")
	}, traigo.Bubble(false))
	fmt.Println(s.Wait())
	fmt.Println(task.Err())
	// Output:
	// <nil>
	// no printer
}

// A task that was canceled alone has not failed: the scope goes on.
func ExampleTask_Cancel() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		search := s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println(context.Cause(ctx))
			return ctx.Err()
		}, traigo.Name("search"))

		search.Cancel(errors.New("found it elsewhere"))
		<-search.Done()
		fmt.Println("scope:", s.State())
		return nil
	}, traigo.Name("query"))
	fmt.Println(err)
	// Output:
	// task "query/search" canceled: requested: found it elsewhere
	// scope: open
	// <nil>
}

func countWords(context.Context) error { return nil }

// Without the option Name a task is called after its function.
func ExampleTask_Name() {
	s := traigo.New(context.Background())
	fmt.Println(s.Spawn(countWords).Name())
	fmt.Println(s.Spawn(countWords, traigo.Name("count chapter 1")).Name())
	fmt.Println(s.Wait())
	// Output:
	// countWords
	// count chapter 1
	// <nil>
}

func ExampleTask_Path() {
	s := traigo.New(context.Background(), traigo.Name("book"))
	fmt.Println(s.Spawn(countWords, traigo.Name("chapter 1")).Path())
	fmt.Println(s.Wait())
	// Output:
	// book/chapter 1
	// <nil>
}

// IDs of tasks are unique in their scope.
func ExampleTask_ID() {
	s := traigo.New(context.Background())
	one, two := s.Spawn(countWords), s.Spawn(countWords)
	fmt.Println(one.Name() == two.Name(), one.ID() == two.ID())
	fmt.Println(s.Wait())
	// Output:
	// true false
	// <nil>
}

func ExampleTask_Scope() {
	s := traigo.New(context.Background(), traigo.Name("book"))
	task := s.Spawn(countWords)
	fmt.Println(task.Scope() == s, task.Scope().Name())
	fmt.Println(s.Wait())
	// Output:
	// true book
	// <nil>
}

// What is computed by Async belongs to who awaits it: its failure goes there
// and cancels nothing.
func ExampleAsync() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		price := traigo.Async(s, func(context.Context) (int, error) { return 12, nil })
		stock := traigo.Async(s, func(context.Context) (int, error) { return 0, errors.New("shop is closed") })

		n, err := price.Await(ctx)
		fmt.Println(n, err)
		n, err = stock.Await(ctx)
		fmt.Println(n, err)
		fmt.Println("scope:", s.State())
		return nil
	})
	fmt.Println(err)
	// Output:
	// 12 <nil>
	// 0 shop is closed
	// scope: open
	// <nil>
}

// If nobody receives a failure before the end is decided, it is not lost: it
// joins the outcome of the scope.
func ExampleAsync_unreceived() {
	s := traigo.New(context.Background(), traigo.Name("shop"))
	stock := traigo.Async(s, func(context.Context) (int, error) {
		return 0, errors.New("shop is closed")
	}, traigo.Name("stock"))
	<-stock.Task().Done()
	fmt.Println(s.Wait())
	// Output: scope "shop": task "stock": shop is closed
}

// Futures started first and awaited later run side by side.
func ExampleFuture() {
	square := func(s *traigo.Scope, n int) *traigo.Future[int] {
		return traigo.Async(s, func(context.Context) (int, error) { return n * n, nil })
	}
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		three, four := square(s, 3), square(s, 4)
		a, err := three.Await(ctx)
		if err != nil {
			return err
		}
		b, err := four.Await(ctx)
		if err != nil {
			return err
		}
		fmt.Println(a + b)
		return nil
	})
	fmt.Println(err)
	// Output:
	// 25
	// <nil>
}

// Any number of callers get the same result, and the work is done once.
func ExampleFuture_Await() {
	var calls atomic.Int64
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		config := traigo.Async(s, func(context.Context) (string, error) {
			calls.Add(1)
			return strconv.Itoa(8080), nil
		})
		for range 3 {
			s.Spawn(func(ctx context.Context) error {
				port, err := config.Await(ctx)
				fmt.Println(port, err)
				return err
			})
		}
		return nil
	})
	fmt.Println(calls.Load(), err)
	// Output:
	// 8080 <nil>
	// 8080 <nil>
	// 8080 <nil>
	// 1 <nil>
}

// The task behind a future has a name, and can be canceled.
func ExampleFuture_Task() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		answer := traigo.Async(s, func(ctx context.Context) (int, error) {
			return 0, waitForEnd(ctx)
		}, traigo.Name("answer"))
		answer.Task().Cancel(nil)
		_, err := answer.Await(ctx)
		fmt.Println(answer.Task().Name(), err)
		return nil
	})
	fmt.Println(err)
	// Output:
	// answer context canceled
	// <nil>
}

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
	begun, ended := make(chan struct{}), make(chan struct{})
	legacy := func() error {
		defer close(ended)
		close(begun)
		<-answer
		return nil
	}
	s := traigo.New(context.Background())
	s.Spawn(traigo.Blocking(legacy))
	<-begun
	fmt.Println(s.Close()) // does not wait for the answer

	close(answer)
	<-ended
	// Output: <nil>
}
