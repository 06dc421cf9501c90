package traigo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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
				fmt.Println(conn.Name(), "is in", conn.Parent().Name(), "by", conn.Task().Name())
				return nil
			}, traigo.Name("conn"))
		}, traigo.Name("accept"))
		return nil
	}, traigo.Name("server"))
	// Output:
	// conn is in server by accept
}

func ExampleScope_Task() {
	s := traigo.New(context.Background())
	fmt.Println(s.Fork().Task() == nil, s.Close())
	// Output:
	// true <nil>
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

func ExampleTask_Flags() {
	s := traigo.New(context.Background())
	task := s.Spawn(waitForEnd, traigo.Awaited(false))
	bubble, master, awaited := task.Flags()
	fmt.Println("bubble", bubble, "master", master, "awaited", awaited)
	_ = s.Close()
	// Output:
	// bubble true master false awaited false
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
