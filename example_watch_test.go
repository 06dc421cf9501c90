package traigo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// storyPrinter is an Observer that writes the story of a scope as it happens.
type storyPrinter struct{}

func (storyPrinter) Observe(e traigo.Event) {
	switch {
	case e.Task == nil:
		fmt.Println(e.Kind, e.Scope.Path())
	case e.Err != nil:
		fmt.Println(e.Kind, e.Task.Path(), e.Err)
	default:
		fmt.Println(e.Kind, e.Task.Path())
	}
}

// An observer hears of one scope in the order of its states, and has heard
// everything when Run returns.
func ExampleObserver() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		task := s.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("write"))
		<-task.Done()
		<-ctx.Done()
		return nil
	}, traigo.Name("save"), traigo.Observe(storyPrinter{}))
	fmt.Println(err)
	// Output:
	// scope opened save
	// task spawned save/write
	// task started save/write
	// task ended save/write disk full
	// scope canceled save
	// scope closed save
	// scope "save": task "write": disk full
}

// kindsHeard is an Observer that counts.
type kindsHeard chan traigo.EventKind

func (k kindsHeard) Observe(e traigo.Event) { k <- e.Kind }

func ExampleEvent() {
	heard := make(kindsHeard, 16)
	fmt.Println(traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error {
		return nil
	}, traigo.Observe(heard)))
	close(heard)
	for kind := range heard {
		fmt.Println(kind)
	}
	// Output:
	// <nil>
	// scope opened
	// scope finalized
	// scope canceled
	// scope closed
}

func ExampleEventKind() {
	for kind := traigo.ScopeOpened; kind <= traigo.TaskAbandoned; kind++ {
		fmt.Println(kind)
	}
	// Output:
	// scope opened
	// scope finalized
	// scope canceled
	// scope closed
	// task spawned
	// task started
	// task ready
	// task ended
	// task stuck
	// task abandoned
}

// Snapshot is the tree as it is now, as plain data.
func ExampleSnapshot() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	conn := server.Fork(traigo.Name("conn 10.0.0.7"))
	conn.Spawn(waitForEnd, traigo.Name("read"))
	conn.Spawn(waitForEnd, traigo.Name("write"))

	var show func(tree traigo.Snapshot)
	show = func(tree traigo.Snapshot) {
		fmt.Println(tree.Path, "is", tree.State)
		for _, task := range tree.Tasks {
			fmt.Println("-", task.Path)
		}
		for _, child := range tree.Scopes {
			show(child)
		}
	}
	show(server.Snapshot())
	fmt.Println(server.Close())
	// Output:
	// server is open
	// server/conn 10.0.0.7 is open
	// - server/conn 10.0.0.7/read
	// - server/conn 10.0.0.7/write
	// <nil>
}

// It has only what is running: what has ended leaves nothing behind.
func ExampleScope_Snapshot() {
	s := traigo.New(context.Background(), traigo.Name("server"))
	task := s.Spawn(waitForEnd, traigo.Name("serve"))
	fmt.Println(len(s.Snapshot().Tasks))
	task.Cancel(nil)
	<-task.Done()
	_ = s.Wait()
	fmt.Println(len(s.Snapshot().Tasks), s.Snapshot().State)
	// Output:
	// 1
	// 0 closed
}

// It goes through encoding/json, for a page or a tool.
func ExampleTaskSnapshot() {
	s := traigo.New(context.Background(), traigo.Name("server"))
	s.Spawn(waitForEnd, traigo.Name("serve"), traigo.Awaited(false))

	text, err := json.Marshal(s.Snapshot().Tasks)
	fmt.Println(err)
	var tasks []traigo.TaskSnapshot
	fmt.Println(json.Unmarshal(text, &tasks))
	fmt.Println(tasks[0].Name, "awaited:", tasks[0].Awaited, "bubbles:", tasks[0].Bubble)
	fmt.Println(s.Close())
	// Output:
	// <nil>
	// <nil>
	// serve awaited: false bubbles: true
	// <nil>
}

// Parent and Task say where in the tree a scope is.
func ExampleScope_Parent() {
	_ = traigo.Run(context.Background(), func(ctx context.Context, server *traigo.Scope) error {
		server.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, conn *traigo.Scope) error {
				fmt.Println(conn.Name(), "is in", conn.Parent().Name(), "by", conn.Opener().Name())
				return nil
			}, traigo.Name("conn"))
		}, traigo.Name("accept"))
		return nil
	}, traigo.Name("server"))
	// Output:
	// conn is in server by accept
}

func ExampleScope_Opener() {
	s := traigo.New(context.Background())
	fmt.Println(s.Fork().Opener() == nil, s.Close())
	// Output:
	// true <nil>
}

func ExampleScope_Root() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	conn := server.Fork(traigo.Name("conn"))
	fmt.Println(conn.Fork().Root().Name(), conn.Root() == server.Root())
	_ = server.Close()
	// Output:
	// server true
}

func ExampleScope_CanceledBy() {
	s := traigo.New(context.Background())
	s.Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("writer"))
	<-s.Done()
	fmt.Println(s.CanceledBy().Name(), s.CanceledBy().Failed())
	// Output:
	// writer true
}

func ExampleTask_Failed() {
	s := traigo.New(context.Background())
	task := s.Spawn(waitForEnd)
	_ = s.Close()
	fmt.Println(task.Err(), "failed:", task.Failed())
	// Output:
	// context canceled failed: false
}

func ExampleTask_State() {
	s := traigo.New(context.Background())
	task, _ := s.Start(context.Background(), func(ctx context.Context, ready func()) error {
		ready()
		return waitForEnd(ctx)
	})
	fmt.Println(task.State())
	_ = s.Close()
	fmt.Println(task.State())
	// Output:
	// running
	// ended
}

func ExampleTaskState() {
	var state traigo.TaskState
	err := state.UnmarshalText([]byte("given up"))
	fmt.Println(state == traigo.GivenUp, err)
	// Output:
	// true <nil>
}

// Cause says why a task was told to end.
func ExampleTask_Cause() {
	s := traigo.New(context.Background(), traigo.Name("server"))
	task := s.Spawn(waitForEnd, traigo.Name("serve"))
	fmt.Println(task.Cause())
	s.Cancel(errors.New("the configuration has changed"))
	_ = s.Wait()
	fmt.Println(task.Cause())
	// Output:
	// <nil>
	// scope "server" canceled: requested: the configuration has changed
}

func ExampleTaskFlags() {
	s := traigo.New(context.Background())
	task := s.Spawn(waitForEnd, traigo.Master(true))
	fmt.Println(task.Flags() == traigo.TaskFlags{Bubble: true, Master: true, Awaited: true})
	_ = s.Close()
	// Output:
	// true
}

func ExampleTask_Flags() {
	s := traigo.New(context.Background())
	task := s.Spawn(waitForEnd, traigo.Awaited(false))
	fmt.Printf("%+v\n", task.Flags())
	_ = s.Close()
	// Output:
	// {Bubble:true Master:false Awaited:false}
}

// A Dump is a Snapshot with stacks.
func ExampleScope_Dump() {
	s := traigo.New(context.Background(), traigo.Name("server"))
	_, err := s.Start(context.Background(), func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return nil
	})
	fmt.Println(err, strings.HasPrefix(s.Dump().Tasks[0].Stack, "goroutine "))
	_ = s.Close()
	// Output:
	// <nil> true
}

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
	}, traigo.Name("import"))
	// Output:
	// import/parse panicked: index out of luck
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
