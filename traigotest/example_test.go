package traigotest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

// In a test t is the *testing.T. In this example t prints the errors.
func ExampleRun() {
	var t testing.TB = printer{}

	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("half a file is left")
		}, traigo.Name("download"))
		s.Spawn(func(context.Context) error {
			return errors.New("connection reset")
		}, traigo.Name("upload"))
	})
	// Output:
	// FAIL: task "TestBackup/upload" failed: connection reset
	// FAIL: task "TestBackup/download" failed: half a file is left
}

// A task that hangs is canceled, and the test fails, after a millisecond instead of ten
// seconds.
func ExamplePatience() {
	var t testing.TB = printer{}

	traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done() // nobody cancels it
			return nil
		}, traigo.Name("reader"))
	}, traigotest.Patience(time.Millisecond))
	// Output:
	// FAIL: still running 1ms after the body returned (traigotest.Patience says how long they may):
}

// What does the client do if the answer comes before the question? The goroutines take
// their steps in the order of the numbers, whichever goroutine starts first.
func ExampleSequence() {
	var seq traigotest.Sequence
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			if err := seq.Do(ctx, 1, func() { fmt.Println("client: how much is it?") }); err != nil {
				return err
			}
			return seq.Do(ctx, 3, func() { fmt.Println("client: I see") })
		})
		s.Spawn(func(ctx context.Context) error {
			if err := seq.Do(ctx, 0, func() { fmt.Println("server: 42") }); err != nil {
				return err
			}
			return seq.Do(ctx, 2, func() { fmt.Println("server: as I said") })
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// server: 42
	// client: how much is it?
	// server: as I said
	// client: I see
	// <nil>
}

// If a step is missing, the steps after it return an error when they are canceled.
func ExampleSequence_Do() {
	var seq traigotest.Sequence
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()

	fmt.Println(seq.Do(ctx, 0, func() { fmt.Println("first") }))
	fmt.Println(seq.Do(ctx, 2, func() { fmt.Println("third") }))
	// Output:
	// first
	// <nil>
	// traigotest: step 2 cannot be done: step 1 was never reached, and step 2 no longer waits: context deadline exceeded
}

// A printer is a testing.TB that prints the first line of each error.
type printer struct{ testing.TB }

func (printer) Helper()                  {}
func (printer) Name() string             { return "TestBackup" }
func (printer) Context() context.Context { return context.Background() }
func (printer) Failed() bool             { return false }

func (printer) Error(args ...any) {
	text, _, _ := strings.Cut(fmt.Sprint(args...), "\n")
	fmt.Println("FAIL:", text)
}
