package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// Names are what errors, logs and the tree are read by.
func ExampleName() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { return errors.New("file not found") }, traigo.Name("read config"))
		return nil
	}, traigo.Name("startup"))
	fmt.Println(err)
	// Output: scope "startup": task "read config": file not found
}

// A scope that runs out of time fails as a whole.
func ExampleTimeout() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(waitForEnd)
		return nil
	}, traigo.Name("request"), traigo.Timeout(time.Millisecond))

	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// scope "request": timed out after 1ms
	// true
}

// A task that runs out of time has failed, like any other way to fail.
func ExampleTimeout_task() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(waitForEnd, traigo.Name("lookup"), traigo.Timeout(time.Millisecond))
		return nil
	}, traigo.Name("request"))

	fmt.Println(err)
	// Output: scope "request": task "lookup": timed out after 1ms
}

// Go cannot stop a goroutine. With CancelTimeout the scope says so instead of
// waiting for ever.
func ExampleCancelTimeout() {
	deaf := make(chan struct{})
	task := make(chan *traigo.Task, 1)
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		task <- s.Spawn(func(context.Context) error {
			<-deaf // instead of ctx.Done()
			return nil
		}, traigo.Name("deaf"))
		s.Cancel(nil)
		return nil
	}, traigo.Name("job"), traigo.CancelTimeout(time.Millisecond))

	if stuck, ok := errors.AsType[*traigo.StuckError](err); ok {
		fmt.Println("still running:", stuck.Tasks[0].Path)
	}
	close(deaf)
	<-(<-task).Done()
	// Output: still running: job/deaf
}

// Without a Logger only what is suppressed or lost is logged, to
// slog.Default().
func ExampleLogger() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level:       slog.LevelInfo,
		ReplaceAttr: withoutTime,
	}))
	err := traigo.Run(context.Background(), func(ctx context.Context, _ *traigo.Scope) error {
		return waitForEnd(ctx)
	}, traigo.Name("request"), traigo.Timeout(time.Millisecond), traigo.Logger(logger))
	fmt.Println(err)
	// Output:
	// level=INFO msg="traigo: scope timed out" scope=request err="\"request\" timed out after 1ms"
	// scope "request": timed out after 1ms
}

// failureCount is an Observer that counts tasks that ended with an error.
type failureCount struct{ atomic.Int64 }

func (f *failureCount) Observe(e traigo.Event) {
	if e.Kind == traigo.TaskEnded && e.Err != nil {
		f.Add(1)
	}
}

func ExampleObserve() {
	var failed failureCount
	s := traigo.New(context.Background(), traigo.Observe(&failed))
	s.Spawn(func(context.Context) error { return errors.New("no answer") }, traigo.Bubble(false))
	s.Spawn(func(context.Context) error { return nil })
	fmt.Println(s.Wait(), failed.Load())
	// Output: <nil> 1
}

// At most two of the tasks run at once; Spawn blocks until there is room.
func ExampleLimit() {
	var running, most atomic.Int64
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for range 10 {
			s.Spawn(func(context.Context) error {
				now := running.Add(1)
				defer running.Add(-1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				return nil
			})
		}
		return nil
	}, traigo.Limit(2))
	fmt.Println(most.Load() <= 2, err)
	// Output: true <nil>
}

// A panic is raised again where the scope is waited for. PanicAsError makes it
// an error instead.
func ExamplePanicAsError() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error { panic("index out of luck") }, traigo.Name("parse"))
		return nil
	}, traigo.PanicAsError())

	if panicked, ok := errors.AsType[*traigo.PanicError](err); ok {
		fmt.Println(panicked.Task, "panicked:", panicked.Recovered.Value)
	}
	// Output: parse panicked: index out of luck
}

// For what may fail without anybody minding.
func ExampleBubble() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			return errors.New("metrics server is down")
		}, traigo.Bubble(false))
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}

// When the master ends, for whatever reason, the scope ends.
func ExampleMaster() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("spinner stopped")
			return nil
		})
		s.Spawn(func(context.Context) error { return nil }, traigo.Master(true))
		return nil
	})
	fmt.Println(err)
	// Output:
	// spinner stopped
	// <nil>
}

// A task that is not awaited is there for the others, and ends with them.
func ExampleAwaited() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("nothing left to watch")
			return nil
		}, traigo.Awaited(false))
		s.Spawn(func(context.Context) error { return nil })
		return nil
	})
	fmt.Println(err)
	// Output:
	// nothing left to watch
	// <nil>
}

// The error goes to the callback, which makes it the callback's: it does not
// cancel the scope.
func ExampleOnDone() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			return errors.New("mailbox full")
		}, traigo.OnDone(func(err error) { fmt.Println("retry later:", err) }))
		return nil
	})
	fmt.Println(err)
	// Output:
	// retry later: mailbox full
	// <nil>
}

type requestIDKey struct{}

// A task that outlives the request it was started by takes the request's
// values, but not its end.
func ExampleValues() {
	server := traigo.New(context.Background())

	request, end := context.WithCancel(context.WithValue(context.Background(), requestIDKey{}, "a1b2"))
	end()
	server.Spawn(func(ctx context.Context) error {
		fmt.Println("request", ctx.Value(requestIDKey{}), "canceled:", ctx.Err() != nil)
		return nil
	}, traigo.Values(request))

	fmt.Println(server.Wait())
	// Output:
	// request a1b2 canceled: false
	// <nil>
}

// Short tasks share goroutines. One that locks its thread must not.
func ExampleDedicated() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			return nil
		}, traigo.Dedicated())
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}
