package errgroup_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/errgroup"
)

// The zero Group waits for all of its functions, and returns the first error.
func ExampleGroup() {
	var g errgroup.Group
	var total atomic.Int64
	for n := range 4 {
		g.Go(func() error {
			total.Add(int64(n))
			return nil
		})
	}
	err := g.Wait()
	fmt.Println(total.Load(), err)
	// Output: 6 <nil>
}

// The first failure cancels the context, with itself as the cause.
func ExampleWithContext() {
	errDown := errors.New("mirror 2 is down")
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		<-ctx.Done() // a download, say
		return ctx.Err()
	})
	g.Go(func() error { return errDown })

	err := g.Wait()
	same := err == errDown && context.Cause(ctx) == errDown //nolint:errorlint // not wrapped: it is the very value
	fmt.Println(err, same)
	// Output: mirror 2 is down true
}

// A function may add others to its group.
func ExampleGroup_Go() {
	var g errgroup.Group
	var visited atomic.Int32
	var visit func(depth int)
	visit = func(depth int) {
		g.Go(func() error {
			visited.Add(1)
			for range depth {
				visit(depth - 1)
			}
			return nil
		})
	}
	visit(3)
	fmt.Println(g.Wait(), visited.Load())
	// Output: <nil> 16
}

// A function for which there is no room can be called directly instead.
func ExampleGroup_TryGo() {
	var g errgroup.Group
	g.SetLimit(1)
	release := make(chan struct{})
	g.Go(func() error { <-release; return nil })

	if !g.TryGo(func() error { return nil }) {
		fmt.Println("no room")
	}
	close(release)
	_ = g.Wait()
	fmt.Println(g.TryGo(func() error { return nil }), g.Wait())
	// Output:
	// no room
	// true <nil>
}

func ExampleGroup_SetLimit() {
	var g errgroup.Group
	g.SetLimit(2)
	var running, most atomic.Int32
	for range 10 {
		g.Go(func() error { // blocks while two are running
			most.Store(max(most.Load(), running.Add(1)))
			runtime.Gosched()
			running.Add(-1)
			return nil
		})
	}
	fmt.Println(g.Wait(), most.Load() <= 2)
	// Output: <nil> true
}

// Wait panics if a function has panicked, when all functions have ended.
func ExampleGroup_Wait() {
	var g errgroup.Group
	g.Go(func() error { panic("out of ink") })

	defer func() {
		p := recover().(*traigo.PanicError)
		fmt.Println(p.Task, "panicked:", p.Recovered.Value)
	}()
	_ = g.Wait()
	// Output: errgroup/ExampleGroup_Wait.func1 panicked: out of ink
}

// Under a scope the group is part of the tree. Its scope has methods that a group does not
// have.
func ExampleGroup_Scope() {
	_ = traigo.Run(context.Background(), func(ctx context.Context, _ *traigo.Scope) error {
		g, ctx := errgroup.WithContext(ctx)
		fmt.Println(g.Scope().Path(), traigo.Current(ctx) == g.Scope())

		// A task with a result.
		size := traigo.Async(g.Scope(), func(context.Context) (int, error) { return 4096, nil })
		fmt.Println(size.Await(ctx))

		g.Go(readIndex)
		fmt.Println(g.Wait())
		return nil
	}, traigo.Name("backup"))
	// Output:
	// backup/errgroup true
	// 4096 <nil>
	// no such file
}

func readIndex() error { return errors.New("no such file") }
