package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

func ExampleRun() {
	var sum atomic.Int64
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for n := range 5 {
			s.Spawn(func(context.Context) error {
				sum.Add(int64(n))
				return nil
			})
		}
		return nil // the tasks may still be running here ...
	})
	fmt.Println(sum.Load(), err) // ... and have all ended here
	// Output: 10 <nil>
}

// The first failure cancels the rest, and says where it comes from.
func ExampleRun_failure() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(waitForEnd, traigo.Name("index"))
		s.Spawn(func(context.Context) error {
			return errors.New("disk full")
		}, traigo.Name("write"))
		return nil
	}, traigo.Name("save"))

	fmt.Println(err)
	// Output: scope "save": task "write": disk full
}

// A Run inside a task is a child in the tree: it ends with the scope above, and
// the error names the whole way down.
func ExampleRun_nested() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				return fmt.Errorf("%s: no such table", s.Path())
			}, traigo.Name("query"))
		}, traigo.Name("handle"))
		return nil
	}, traigo.Name("server"))

	fmt.Println(err)
	// Output: scope "server/query": server/query: no such table
}

// pageCache refreshes itself for as long as it is open: it owns the scope that its
// tasks live in.
type pageCache struct{ scope *traigo.Scope }

func openPageCache(ctx context.Context) *pageCache {
	s := traigo.New(ctx, traigo.Name("cache"))
	s.Spawn(waitForEnd, traigo.Name("refresh"))
	return &pageCache{s}
}

func (c *pageCache) Close() error { return c.scope.Close() }

func ExampleNew() {
	c := openPageCache(context.Background())
	fmt.Println(c.scope.State())
	fmt.Println(c.Close()) // returns when the refresher has ended
	fmt.Println(c.scope.State())
	// Output:
	// open
	// <nil>
	// closed
}

// A scope is handed to whoever may start something in it.
func ExampleScope() {
	sendLater := func(s *traigo.Scope, text string) {
		s.Spawn(func(context.Context) error {
			fmt.Println("sent:", text)
			return nil
		})
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		sendLater(s, "hello")
		return nil
	})
	fmt.Println("all sent:", err)
	// Output:
	// sent: hello
	// all sent: <nil>
}

func ExampleScope_Spawn() {
	s := traigo.New(context.Background(), traigo.Name("crawl"))
	for _, page := range []string{"index", "about"} {
		s.Spawn(func(context.Context) error {
			if page == "about" {
				return errors.New("404")
			}
			return nil
		}, traigo.Name(page))
	}
	fmt.Println(s.Wait())
	// Output: scope "crawl": task "about": 404
}

// A task may spawn tasks into its own scope.
func ExampleScope_Spawn_recursive() {
	var leaves atomic.Int64
	var descend func(s *traigo.Scope, depth int)
	descend = func(s *traigo.Scope, depth int) {
		if depth == 0 {
			leaves.Add(1)
			return
		}
		for range 2 {
			s.Spawn(func(context.Context) error {
				descend(s, depth-1)
				return nil
			})
		}
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		descend(s, 3)
		return nil
	})
	fmt.Println(leaves.Load(), err)
	// Output: 8 <nil>
}

type leasedConn struct{ name string }

func (c leasedConn) Close() { fmt.Println("closed", c.name) }

// A function that was refused never runs, so what it would have released is
// the caller's to release.
func ExampleScope_TrySpawn() {
	s := traigo.New(context.Background())
	s.Cancel(nil)

	conn := leasedConn{"10.0.0.7"}
	_, ok := s.TrySpawn(func(context.Context) error {
		defer conn.Close()
		return nil
	})
	if !ok {
		conn.Close()
	}
	fmt.Println(s.Wait())
	// Output:
	// closed 10.0.0.7
	// <nil>
}

// Start returns when the task says that it is ready, with the task running on.
func ExampleScope_Start() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		var address string
		_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
			address = "127.0.0.1:8080"
			ready()
			return waitForEnd(ctx)
		}, traigo.Name("serve"), traigo.Awaited(false))
		if err != nil {
			return err
		}
		fmt.Println("listening on", address)
		return nil
	})
	fmt.Println(err)
	// Output:
	// listening on 127.0.0.1:8080
	// <nil>
}

// What fails before it is ready is the caller's error, not the scope's.
func ExampleScope_Start_failure() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		_, err := s.Start(ctx, func(context.Context, func()) error {
			return errors.New("address already in use")
		})
		fmt.Println("Start:", err)

		_, err = s.Start(ctx, func(context.Context, func()) error { return nil })
		fmt.Println("is ErrNotReady:", errors.Is(err, traigo.ErrNotReady))
		return nil
	})
	fmt.Println("Run:", err)
	// Output:
	// Start: address already in use
	// is ErrNotReady: true
	// Run: <nil>
}

// The parent waits for a fork and cancels it when it is canceled itself, but a
// fork's failure is its own: here one connection fails, and the server lives.
func ExampleScope_Fork() {
	err := traigo.Run(context.Background(), func(_ context.Context, server *traigo.Scope) error {
		conn := server.Fork(traigo.Name("conn 10.0.0.7"))
		conn.Spawn(func(context.Context) error {
			return errors.New("connection reset")
		}, traigo.Name("read"))
		fmt.Println(conn.Wait())
		fmt.Println("server:", server.State())
		return nil
	}, traigo.Name("server"))
	fmt.Println(err)
	// Output:
	// scope "server/conn 10.0.0.7": task "read": connection reset
	// server: open
	// <nil>
}

// Finalize does not wait and does not stop: the scope ends when nothing that
// is awaited is left in it, and until then it accepts more.
func ExampleScope_Finalize() {
	s := traigo.New(context.Background())
	more := make(chan struct{})
	s.Spawn(func(context.Context) error {
		<-more
		s.Spawn(func(context.Context) error {
			fmt.Println("one more:", s.State())
			return nil
		})
		return nil
	})
	s.Finalize()
	close(more)
	<-s.Done()
	fmt.Println(s.State())
	// Output:
	// one more: finalizing
	// closed
}

// Wait finalizes the scope and returns its outcome when everything has ended.
func ExampleScope_Wait() {
	s := traigo.New(context.Background(), traigo.Name("migrate"))
	s.Spawn(func(context.Context) error { return errors.New("version 7 is newer") }, traigo.Name("check"))
	fmt.Println(s.Wait())
	fmt.Println(s.Wait()) // as often as it is wanted, by as many as want it
	// Output:
	// scope "migrate": task "check": version 7 is newer
	// scope "migrate": task "check": version 7 is newer
}

// Close is for defer: whatever happens in between, nothing is left running.
func ExampleScope_Close() {
	serve := func() (err error) {
		s := traigo.New(context.Background())
		defer func() { err = errors.Join(err, s.Close()) }()
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("stopping")
			return nil
		})
		return errors.New("no configuration")
	}
	fmt.Println(serve())
	// Output:
	// stopping
	// no configuration
}

// The error given to Cancel is the outcome, and the cause that tasks see.
func ExampleScope_Cancel() {
	errMoved := errors.New("moved to another host")
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("because it moved:", errors.Is(context.Cause(ctx), errMoved))
			return ctx.Err()
		})
		s.Cancel(errMoved)
		return nil
	}, traigo.Name("session"))
	fmt.Println(err)
	fmt.Println(errors.Is(err, errMoved))
	// Output:
	// because it moved: true
	// scope "session": moved to another host
	// true
}

// Without an error Cancel just ends the scope.
func ExampleScope_Cancel_quietly() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(waitForEnd)
		s.Cancel(nil)
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}

// Shutdown asks first: tasks that look at Stopping finish what they have
// begun. Only when its context ends are they canceled.
func ExampleScope_Shutdown() {
	s := traigo.New(context.Background())
	started := make(chan struct{})
	s.Spawn(func(ctx context.Context) error {
		close(started)
		<-traigo.Stopping(ctx)
		fmt.Println("finishing the current request, canceled:", ctx.Err() != nil)
		return nil
	})
	<-started

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(s.Shutdown(ctx))
	// Output:
	// finishing the current request, canceled: false
	// <nil>
}

// Each sign of life winds the clock up again.
func ExampleScope_SetTimeout() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		s.SetTimeout(time.Hour)
		fmt.Println("a line has come: one more hour")

		s.SetTimeout(time.Millisecond)
		<-ctx.Done()
		return ctx.Err()
	}, traigo.Name("session"))
	fmt.Println(err)
	// Output:
	// a line has come: one more hour
	// scope "session": timed out after 1ms
}

// For what is not a task of the scope but should end with it.
func ExampleScope_Context() {
	s := traigo.New(context.Background())
	derived, cancel := context.WithTimeout(s.Context(), time.Hour)
	defer cancel()

	_ = s.Close()
	<-derived.Done()
	fmt.Println(derived.Err())
	// Output: context canceled
}

// Done alone does not finalize: it is for those who watch.
func ExampleScope_Done() {
	s := traigo.New(context.Background(), traigo.Name("upload"))
	s.Spawn(func(context.Context) error { return errors.New("quota exceeded") }, traigo.Name("put"))
	select {
	case <-s.Done():
		fmt.Println(s.Err())
	case <-time.After(time.Minute):
		fmt.Println("still running")
	}
	// Output: scope "upload": task "put": quota exceeded
}

func ExampleScope_Err() {
	s := traigo.New(context.Background(), traigo.Name("upload"))
	fmt.Println(s.Err()) // not done, nothing known
	s.Cancel(errors.New("no longer wanted"))
	<-s.Done()
	fmt.Println(s.Err())
	// Output:
	// <nil>
	// scope "upload": no longer wanted
}

func ExampleScope_Name() {
	s := traigo.New(context.Background(), traigo.Name("server"))
	fmt.Println(s.Name())
	fmt.Println(s.Close())
	// Output:
	// server
	// <nil>
}

func ExampleScope_Path() {
	server := traigo.New(context.Background(), traigo.Name("server"))
	conn := server.Fork(traigo.Name("conn"))
	task := conn.Spawn(waitForEnd, traigo.Name("read"))
	fmt.Println(conn.Path())
	fmt.Println(task.Path())
	fmt.Println(server.Close())
	// Output:
	// server/conn
	// server/conn/read
	// <nil>
}

// Names may be given twice; numbers may not.
func ExampleScope_ID() {
	server := traigo.New(context.Background())
	one, two := server.Fork(traigo.Name("conn")), server.Fork(traigo.Name("conn"))
	fmt.Println(one.Name() == two.Name(), one.ID() == two.ID())
	fmt.Println(server.Close())
	// Output:
	// true false
	// <nil>
}

func ExampleScope_State() {
	s := traigo.New(context.Background())
	fmt.Println(s.State())
	release := make(chan struct{})
	s.Spawn(func(context.Context) error { <-release; return nil })
	s.Finalize()
	fmt.Println(s.State())
	s.Cancel(nil)
	fmt.Println(s.State())
	close(release)
	<-s.Done()
	fmt.Println(s.State())
	// Output:
	// open
	// finalizing
	// canceling
	// closed
}

func ExampleState() {
	for state := traigo.Open; state <= traigo.Closed; state++ {
		fmt.Println(state)
	}
	// Output:
	// open
	// finalizing
	// canceling
	// closed
}

// The scope need not be passed along: a context knows where it is.
func ExampleCurrent() {
	audit := func(ctx context.Context, what string) {
		traigo.Current(ctx).Spawn(func(context.Context) error {
			fmt.Println("audit:", what)
			return nil
		})
	}
	err := traigo.Run(context.Background(), func(ctx context.Context, _ *traigo.Scope) error {
		audit(ctx, "login")
		return nil
	})
	fmt.Println(err, traigo.Current(context.Background()) == nil)
	// Output:
	// audit: login
	// <nil> true
}

func ExampleCurrentTask() {
	err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		fmt.Println("the body is no task:", traigo.CurrentTask(ctx) == nil)
		s.Spawn(func(ctx context.Context) error {
			fmt.Println(traigo.CurrentTask(ctx).Path())
			return nil
		}, traigo.Name("read"))
		return nil
	}, traigo.Name("conn"))
	fmt.Println(err)
	// Output:
	// the body is no task: true
	// conn/read
	// <nil>
}

// waitForEnd is a task that does nothing but end when it is told to.
func waitForEnd(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

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
	}, traigo.Name("import"), traigo.PanicAsError())

	if panicked, ok := errors.AsType[*traigo.PanicError](err); ok {
		fmt.Println(panicked.Task, "panicked:", panicked.Recovered.Value)
	}
	// Output: import/parse panicked: index out of luck
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

// What wraps a function gives the task the name of that function.
func ExampleNameOf() {
	retried := func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return errors.Join(fn(ctx), fn(ctx))
		}
	}
	s := traigo.New(context.Background())
	fmt.Println(s.Spawn(retried(waitForEnd), traigo.NameOf(waitForEnd)).Name())
	_ = s.Close()
	// Output:
	// waitForEnd
}

// A wrapper is called around each task: here it logs how long each has taken, or would, if
// an Example had a clock.
func ExampleWrap() {
	timed := func(ctx context.Context, next func(context.Context) error) error {
		err := next(ctx)
		fmt.Println(traigo.CurrentTask(ctx).Name(), "has taken 12ms:", err)
		return err
	}
	s := traigo.New(context.Background(), traigo.Wrap(timed))
	s.Spawn(func(context.Context) error { return nil }, traigo.Name("load"))
	fmt.Println(s.Wait())
	// Output:
	// load has taken 12ms: <nil>
	// <nil>
}

type requestID struct{}

// A wrapper may add values to the context of a function, and replace its error. What it
// does in any case it does by defer.
func ExampleWrapper() {
	var withID traigo.Wrapper = func(ctx context.Context, next func(context.Context) error) error {
		defer fmt.Println("done")
		if err := next(context.WithValue(ctx, requestID{}, "r-17")); err != nil {
			return fmt.Errorf("request r-17: %w", err)
		}
		return nil
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			fmt.Println("serving", ctx.Value(requestID{}))
			return errors.New("not found")
		}, traigo.Name("serve"))
		return nil
	}, traigo.Name("handler"), traigo.Wrap(func(ctx context.Context, next func(context.Context) error) error {
		if traigo.CurrentTask(ctx) == nil {
			return next(ctx) // the body
		}
		return withID(ctx, next)
	}))
	fmt.Println(err)
	// Output:
	// serving r-17
	// done
	// scope "handler": task "serve": request r-17: not found
}

// A request that has to wait for a slot waits no longer than its client does.
func ExampleAdmitBefore() {
	s := traigo.New(context.Background(), traigo.Name("requests"), traigo.Limit(1))
	s.Spawn(waitForEnd) // has the only slot

	client, hangUp := context.WithCancelCause(context.Background())
	hangUp(errors.New("the client has hung up"))
	task := s.Spawn(func(context.Context) error { return nil }, traigo.AdmitBefore(client))
	fmt.Println(task.Err())
	fmt.Println(errors.Is(task.Err(), traigo.ErrRefused))
	_ = s.Close()
	// Output:
	// traigo: refused: the limit of 1 of scope "requests" is reached: the client has hung up
	// true
}

// A task that spawns into its own full scope waits for a slot that it holds itself. Spawn
// says so in the log after ten seconds, with the task that is blocked in it; here the
// limit is shown by TrySpawn, which does not block. Recursive work takes its limit from
// package capacity, or opens a scope below for each step.
func ExampleLimit_nested() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			_, ok := traigo.Current(ctx).TrySpawn(func(context.Context) error { return nil })
			fmt.Println("into its own full scope:", ok)
			return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
				below.Spawn(func(context.Context) error { fmt.Println("into a scope below: true"); return nil })
				return nil
			}, traigo.Limit(1))
		})
		return nil
	}, traigo.Limit(1))
	fmt.Println(err)
	// Output:
	// into its own full scope: false
	// into a scope below: true
	// <nil>
}

// A server closes its listener when it is canceled, so that an Accept that blocks returns.
// What Accept returns then is no context error: it only tells of the end all the same.
func ExampleCanceledIf() {
	isClosed := func(err error) bool { return errors.Is(err, net.ErrClosed) }
	s := traigo.New(context.Background(), traigo.Name("server"), traigo.CanceledIf(isClosed))
	task, err := s.Start(context.Background(), func(ctx context.Context, ready func()) error {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = listener.Close() })
		ready()
		_, err = listener.Accept()
		return err
	})
	if err != nil {
		fmt.Println(errors.Join(err, s.Close()))
		return
	}
	s.Cancel(errors.New("out of memory"))
	fmt.Println(s.Wait())
	fmt.Println(task.Failed(), errors.Is(task.Err(), net.ErrClosed))
	// Output:
	// scope "server": out of memory
	// false true
}

// A process that its context has killed says so by its signal only.
func ExampleCanceledIf_exec() {
	isKilled := func(err error) bool {
		exit, ok := errors.AsType[*exec.ExitError](err)
		return ok && exit.String() == "signal: killed"
	}
	s := traigo.New(context.Background(), traigo.Name("convert"), traigo.CanceledIf(isKilled))
	task, err := s.Start(context.Background(), func(ctx context.Context, ready func()) error {
		sleep := exec.CommandContext(ctx, "sleep", "60")
		if err := sleep.Start(); err != nil {
			return err
		}
		ready()
		return sleep.Wait()
	})
	if err != nil {
		fmt.Println(errors.Join(err, s.Close()))
		return
	}
	s.Cancel(errors.New("out of memory"))
	fmt.Println(s.Wait())
	fmt.Println(task.Failed(), task.Err())
	// Output:
	// scope "convert": out of memory
	// false signal: killed
}

// rpcError has the shape of an error of gRPC: what it tells is a code, to be read with
// status.Code.
type rpcError struct{ code uint32 }

func (e *rpcError) Error() string { return fmt.Sprintf("rpc error: code = %d", e.code) }

func (e *rpcError) Code() uint32 { return e.code }

// With gRPC the function is
//
//	func(err error) bool { return status.Code(err) == codes.Canceled }
func ExampleCanceledIf_grpc() {
	const canceled, internal = 1, 13 // of package codes
	s := traigo.New(context.Background(), traigo.Name("client"), traigo.CanceledIf(func(err error) bool {
		rpc, ok := err.(interface{ Code() uint32 })
		return ok && rpc.Code() == canceled
	}))
	for _, code := range []uint32{canceled, internal} {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("call: %w", &rpcError{code})
		}, traigo.Name(fmt.Sprintf("code %d", code)))
	}
	s.Cancel(errors.New("out of memory"))
	fmt.Println(s.Wait())
	// Output:
	// scope "client": out of memory; also: task "code 13": call: rpc error: code = 13
}
