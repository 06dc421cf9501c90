package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

// silent drops the records that the examples would log.
var silent = supervise.Logger(slog.New(slog.DiscardHandler))

// soon is a policy with delays that are short enough for an example.
func soon() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }

// flaky returns a function that fails n times and then succeeds.
func flaky(n int) func(context.Context) error {
	return func(context.Context) error {
		if n--; n >= 0 {
			return errors.New("connection refused")
		}
		fmt.Println("connected")
		return nil
	}
}

func ExampleRestart() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(supervise.Restart(flaky(2), silent,
			supervise.Backoff(soon),
			supervise.Intensity(5, time.Minute),
			supervise.OnRestart(func(e supervise.Event) {
				fmt.Printf("attempt %d: %v, again in %v\n", e.Attempt, e.Err, e.Delay)
			}),
		), traigo.Name("feed"))
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1: connection refused, again in 1ms
	// attempt 2: connection refused, again in 1ms
	// connected
	// <nil>
}

func ExampleRetry() {
	attempts := 0
	price, err := supervise.Retry(context.Background(), func(context.Context) (string, error) {
		if attempts++; attempts < 3 {
			return "", errors.New("503 Service Unavailable")
		}
		return "4.20", nil
	}, silent, supervise.Backoff(soon), supervise.Attempts(5))
	fmt.Println(attempts, price, err)
	// Output: 3 4.20 <nil>
}

// The deadline of the context bounds a Retry, and each attempt has a bound of its own.
func ExampleRetry_timeout() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := supervise.Retry(ctx, func(ctx context.Context) (string, error) {
		return "", traigo.FailAfter(ctx, time.Millisecond, func(ctx context.Context) error {
			<-ctx.Done() // a server that does not answer
			return ctx.Err()
		})
	}, silent, supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }))
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// context deadline exceeded; the last attempt failed: "attempt 1" timed out after 1ms
	// true
}

// A heartbeat is not awaited, so it is canceled when the rest of its scope has ended.
func ExampleEvery() {
	beats := make(chan string)
	beat := func(ctx context.Context) error {
		select {
		case beats <- "beat":
		case <-ctx.Done():
		}
		return nil
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(supervise.Every(time.Millisecond, beat), traigo.NameOf(beat), traigo.Awaited(false))
		for range 3 {
			fmt.Println(<-beats)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// beat
	// beat
	// beat
	// <nil>
}

// If too many restarts are needed in a short time, the task fails, and so does its scope.
func ExampleIntensity() {
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(supervise.Restart(flaky(100), silent, supervise.Backoff(soon), supervise.Intensity(3, time.Minute)),
			traigo.Name("feed"))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output: scope "app": task "feed": gave up: 3 restarts within 1m0s are allowed, and it failed again: connection refused
}

func ExampleRestartError() {
	err := supervise.Restart(flaky(100), silent, supervise.Backoff(soon), supervise.Intensity(3, time.Minute))(context.Background())
	if e, ok := errors.AsType[*supervise.RestartError](err); ok {
		fmt.Println(e.Restarts, e.Within, e.Err)
	}
	// Output: 3 1m0s connection refused
}

func ExamplePermanent() {
	err := supervise.Restart(func(context.Context) error {
		return supervise.Permanent(errors.New("no such user"))
	})(context.Background())
	fmt.Println(err)
	// Output: no such user
}

func ExampleWhen() {
	ctx, cancel := context.WithCancel(context.Background())
	runs := 0
	err := supervise.Restart(func(context.Context) error {
		if runs++; runs == 3 {
			cancel()
		}
		return nil
	}, silent, supervise.When(supervise.Always), supervise.Backoff(soon))(ctx)
	fmt.Println(runs, err)
	// Output: 3 <nil>
}

func ExamplePolicy() {
	for _, p := range []supervise.Policy{supervise.OnFailure, supervise.Never} {
		fmt.Println(supervise.Restart(flaky(1), silent, supervise.When(p), supervise.Backoff(soon))(context.Background()))
	}
	// Output:
	// connected
	// <nil>
	// connection refused
}

// The policy may be one of package backoff, or one of your own.
func ExampleBackoff() {
	err := supervise.Restart(flaky(2), silent, supervise.Backoff(func() backoff.BackOff {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.Multiplier, b.RandomizationFactor = time.Millisecond, 4, 0
		return b
	}), supervise.OnRestart(func(e supervise.Event) { fmt.Println(e.Delay) }))(context.Background())
	fmt.Println(err)
	// Output:
	// 1ms
	// 4ms
	// connected
	// <nil>
}

// After a run of an hour or more the delay is again that of the first restart.
func ExampleResetAfter() {
	serve := supervise.Restart(flaky(0), supervise.ResetAfter(time.Hour))
	fmt.Println(serve(context.Background()))
	// Output:
	// connected
	// <nil>
}

func ExamplePanicAsError() {
	broken := true
	err := supervise.Restart(func(context.Context) error {
		if broken {
			broken = false
			panic("index out of range")
		}
		return nil
	}, silent, supervise.PanicAsError(), supervise.Backoff(soon))(context.Background())
	fmt.Println(err)
	// Output: <nil>
}

func ExampleOnRestart() {
	restarts := 0
	err := supervise.Restart(flaky(3), silent, supervise.Backoff(soon),
		supervise.OnRestart(func(supervise.Event) { restarts++ }))(context.Background())
	fmt.Println(restarts, err)
	// Output:
	// connected
	// 3 <nil>
}

func ExampleEvent() {
	_ = supervise.Restart(flaky(1), silent, supervise.Backoff(soon), supervise.OnRestart(func(e supervise.Event) {
		fmt.Println("attempt:", e.Attempt)
		fmt.Println("error:", e.Err)
		fmt.Println("delay:", e.Delay)
	}))(context.Background())
	// Output:
	// attempt: 1
	// error: connection refused
	// delay: 1ms
	// connected
}

func ExampleLogger() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))
	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(supervise.Restart(flaky(1), supervise.Logger(logger), supervise.Backoff(soon)), traigo.Name("feed"))
		return nil
	}, traigo.Name("app"))
	// Output:
	// level=WARN msg="traigo: the task has failed and is to be restarted" scope=app task=app/feed err="connection refused" attempt=1 delay=1ms
	// connected
}

// The failure of one page does not cancel the others.
func ExampleRun() {
	err := supervise.Run(context.Background(), func(_ context.Context, s *supervise.Siblings) error {
		for _, page := range []string{"home", "old", "about"} {
			s.Spawn(func(context.Context) error {
				if page == "old" {
					return errors.New("not found")
				}
				return nil
			}, traigo.Name(page))
		}
		return nil
	}, silent, traigo.Name("crawl"))
	fmt.Println(err)
	// Output: scope "crawl": task "old": not found
}

// A task that is spawned in the scope itself is no sibling: its failure cancels all.
func ExampleSiblings() {
	err := supervise.Run(context.Background(), func(ctx context.Context, s *supervise.Siblings) error {
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		traigo.Current(ctx).Spawn(func(context.Context) error { return errors.New("disk full") }, traigo.Name("store"))
		return nil
	}, silent, traigo.Name("crawl"))
	fmt.Println(err)
	// Output: scope "crawl": task "store": disk full
}

func ExampleSiblings_Spawn() {
	err := supervise.Run(context.Background(), func(ctx context.Context, s *supervise.Siblings) error {
		first := s.Spawn(func(context.Context) error { return errors.New("not found") }, traigo.Name("first"))
		fmt.Println("first:", first.Wait(ctx))
		second := s.Spawn(func(context.Context) error { return nil })
		fmt.Println("second:", second.Wait(ctx))
		return nil
	}, silent, traigo.Name("crawl"))
	fmt.Println(err)
	// Output:
	// first: not found
	// second: <nil>
	// scope "crawl": task "first": not found
}

// until returns a service that prints when it is ready, and when it has been stopped.
func until(name string) func(ctx context.Context, ready func()) error {
	return func(ctx context.Context, ready func()) error {
		fmt.Println(name, "is up")
		ready()
		<-ctx.Done()
		fmt.Println(name, "is down")
		return nil
	}
}

func ExampleWithServices() {
	err := supervise.WithServices(context.Background(), func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
		for _, name := range []string{"database", "cache"} {
			if _, err := services.Start(ctx, until(name), traigo.Name(name)); err != nil {
				return err
			}
		}
		s.Spawn(func(context.Context) error {
			fmt.Println("work is done")
			return nil
		})
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// database is up
	// cache is up
	// work is done
	// cache is down
	// database is down
	// <nil>
}

// A service that fails ends the block: first the tasks, then the other services.
func ExampleServices() {
	err := supervise.WithServices(context.Background(), func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
		if _, err := services.Start(ctx, until("database"), traigo.Name("database")); err != nil {
			return err
		}
		services.Spawn(func(context.Context) error { return errors.New("out of memory") }, traigo.Name("cache"))
		<-ctx.Done()
		fmt.Println("work ends")
		return ctx.Err()
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// database is up
	// work ends
	// database is down
	// scope "app": task "cache": out of memory
}

func ExampleServices_Start() {
	err := supervise.WithServices(context.Background(), func(ctx context.Context, _ *traigo.Scope, services *supervise.Services) error {
		_, err := services.Start(ctx, func(context.Context, func()) error { return errors.New("port in use") })
		fmt.Println("not up:", err)
		return nil // the block goes on without it
	})
	fmt.Println(err)
	// Output:
	// not up: port in use
	// <nil>
}

func ExampleServices_Spawn() {
	err := supervise.WithServices(context.Background(), func(_ context.Context, s *traigo.Scope, services *supervise.Services) error {
		lines := make(chan string)
		services.Spawn(func(ctx context.Context) error {
			for {
				select {
				case line := <-lines:
					fmt.Println("written:", line)
				case <-ctx.Done(): // every task that could send has ended
					return nil
				}
			}
		}, traigo.Name("writer"))
		s.Spawn(func(context.Context) error {
			lines <- "one"
			return nil
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// written: one
	// <nil>
}
