package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// Every failed scope gives an Error, whether one thing went wrong or ten.
func ExampleError() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("could not remove lock")
		}, traigo.Name("unlock"))
		s.Spawn(func(context.Context) error { return fs.ErrNotExist }, traigo.Name("read"))
		return nil
	}, traigo.Name("load"))
	fmt.Println(err)

	if failed, ok := errors.AsType[*traigo.Error](err); ok {
		fmt.Println("scope:", failed.Scope)
		fmt.Println("ended by:", failed.Err)
		fmt.Println("after that:", failed.Others)
	}
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// scope "load": task "read": file does not exist; also: task "unlock": could not remove lock
	// scope: load
	// ended by: task "read": file does not exist
	// after that: [task "unlock": could not remove lock]
	// true
}

func ExampleTaskError() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { return fs.ErrPermission }, traigo.Name("read /etc/shadow"))
		return nil
	})
	if task, ok := errors.AsType[*traigo.TaskError](err); ok {
		fmt.Printf("%q failed: %v\n", task.Task, task.Err)
	}
	// Output: "read /etc/shadow" failed: permission denied
}

// A TimeoutError says whose patience ended. A deadline further out is not one
// of this scope.
func ExampleTimeoutError() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		return waitForEnd(ctx)
	}, traigo.Name("request"), traigo.Timeout(time.Millisecond))

	if timeout, ok := errors.AsType[*traigo.TimeoutError](err); ok {
		fmt.Println(timeout.Scope, "had", timeout.After)
	}
	// Output: request had 1ms
}

// Unless PanicAsError is set, Run panics with it when everything has ended.
func ExamplePanicError() {
	defer func() {
		panicked := recover().(*traigo.PanicError)
		fmt.Println(panicked.Task, "panicked:", panicked.Recovered.Value)
		fmt.Println("has the stack of the task:", strings.Contains(panicked.Error(), "ExamplePanicError"))
	}()
	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { panic("index out of luck") }, traigo.Name("parse"))
		return nil
	})
	// Output:
	// parse panicked: index out of luck
	// has the stack of the task: true
}

func ExampleStuckError() {
	deaf, hears := make(chan struct{}), make(chan struct{})
	s := traigo.New(context.Background(), traigo.Name("job"), traigo.CancelTimeout(time.Millisecond))
	task := s.Spawn(func(context.Context) error {
		close(hears)
		<-deaf
		return nil
	}, traigo.Name("deaf"))
	<-hears

	stuck, ok := errors.AsType[*traigo.StuckError](s.Close())
	fmt.Println(ok, len(stuck.Tasks))

	close(deaf)
	<-task.Done()
	// Output: true 1
}

// What is known of a task that did not end, its stack above all.
func ExampleStuckTask() {
	deaf, hears := make(chan struct{}), make(chan struct{})
	s := traigo.New(context.Background(), traigo.Name("job"), traigo.CancelTimeout(time.Millisecond))
	task := s.Spawn(func(context.Context) error {
		close(hears)
		<-deaf
		return nil
	}, traigo.Name("deaf"))
	<-hears

	if stuck, ok := errors.AsType[*traigo.StuckError](s.Close()); ok {
		for _, task := range stuck.Tasks {
			fmt.Println(task.Path, task.Age > 0, strings.Contains(task.Stack, "ExampleStuckTask"))
		}
	}
	close(deaf)
	<-task.Done()
	// Output: job/deaf true true
}

// In a task, context.Cause says who ended it and why.
func ExampleCancellation() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			if why, ok := errors.AsType[*traigo.Cancellation](context.Cause(ctx)); ok {
				fmt.Println("kind:", why.Kind)
				fmt.Println("scope:", why.Scope)
				fmt.Println("task:", why.Task)
				fmt.Println("error:", why.Err)
			}
			return ctx.Err()
		}, traigo.Name("index"))
		s.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("write"))
		return nil
	}, traigo.Name("save"))
	fmt.Println(err)
	// Output:
	// kind: task failed
	// scope: save
	// task: save/write
	// error: disk full
	// scope "save": task "write": disk full
}

func ExampleCancelKind() {
	for kind := traigo.TaskFailed; kind <= traigo.Panicked; kind++ {
		fmt.Println(kind)
	}
	// Output:
	// task failed
	// body failed
	// requested
	// timeout
	// parent canceled
	// master ended
	// completed
	// panicked
}
