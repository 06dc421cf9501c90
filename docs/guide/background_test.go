package guide_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

var errOffline = errors.New("metrics server is offline")

func Example_backgroundEvery() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		beats := make(chan int, 3)
		n := 0
		s.Spawn(supervise.Every(time.Millisecond, func(context.Context) error {
			n++
			if n <= 3 {
				beats <- n
			}
			return nil
		}), traigo.Name("heartbeat"), traigo.Awaited(false))
		for range 3 { // the work
			fmt.Println("beat", <-beats)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// beat 1
	// beat 2
	// beat 3
	// <nil>
}

func Example_backgroundFails() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(pushMetrics, traigo.Awaited(false))
		s.Spawn(untilCanceled, traigo.Name("work"))
		return nil
	}, traigo.Name("app"))
	fmt.Println(err)
	// Output:
	// scope "app": task "pushMetrics": metrics server is offline
}

func pushMetrics(context.Context) error { return errOffline }

func Example_backgroundBubble() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		push := s.Spawn(pushMetrics, traigo.Bubble(false))
		fmt.Println("push:", push.Wait(ctx))
		return nil
	})
	fmt.Println(err)
	// Output:
	// push: metrics server is offline
	// <nil>
}

func Example_backgroundOnDone() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(pushMetrics, traigo.OnDone(func(err error) {
			if err != nil && !errors.Is(err, ctx.Err()) { // ctx is that of the scope
				fmt.Println("no metrics:", err)
			}
		}))
		return nil
	})
	fmt.Println(err)
	// Output:
	// no metrics: metrics server is offline
	// <nil>
}

// What the condition of the page tells apart, in scopes that end in different ways.
func TestBackgroundOnDone(t *testing.T) {
	canceled := map[string]func(context.Context) error{
		"Err":   untilCanceled,
		"Cause": func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"Sleep": func(ctx context.Context) error { return traigo.Sleep(ctx, time.Hour) },
		"wraps": func(ctx context.Context) error { return fmt.Errorf("push: %w", untilCanceled(ctx)) },
	}
	failed := map[string]func(context.Context) error{
		"at once": pushMetrics,
		"later":   func(ctx context.Context) error { <-ctx.Done(); return errOffline },
	}
	ends := map[string]func(s *traigo.Scope, outer context.CancelFunc){
		"Cancel":  func(s *traigo.Scope, _ context.CancelFunc) { s.Cancel(errEnough) },
		"Close":   func(s *traigo.Scope, _ context.CancelFunc) { _ = s.Close() },
		"timeout": func(s *traigo.Scope, _ context.CancelFunc) { s.SetTimeout(time.Minute) },
		"outside": func(_ *traigo.Scope, outer context.CancelFunc) { outer() },
	}
	isFailure := func(fn func(context.Context) error, end func(*traigo.Scope, context.CancelFunc)) (is bool) {
		synctest.Test(t, func(t *testing.T) {
			outer, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := traigo.New(outer)
			ctx := s.Context()
			s.Spawn(fn, traigo.OnDone(func(err error) {
				assert.Error(t, err)
				is = err != nil && !errors.Is(err, ctx.Err())
			}))
			synctest.Wait()
			end(s, cancel)
			<-s.Done()
		})
		return is
	}
	for how, end := range ends {
		for name, fn := range canceled {
			assert.False(t, isFailure(fn, end), "%s, %s", name, how)
		}
		for name, fn := range failed {
			assert.True(t, isFailure(fn, end), "%s, %s", name, how)
		}
	}
}

func Example_backgroundMaster() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("display"))
		s.Spawn(readKeys, traigo.Master(true)) // when it ends, the program ends
		return nil
	})
	fmt.Println(err)
	// Output:
	// <nil>
}

func readKeys(context.Context) error { return nil }

func TestBackgroundRestart(t *testing.T) {
	tries := 0
	feed := func(context.Context) error {
		if tries++; tries < 2 {
			return errReset
		}
		return nil
	}
	log := inBubble(t, func(logger *slog.Logger) {
		old := slog.Default()
		slog.SetDefault(logger)
		defer slog.SetDefault(old)
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(supervise.Restart(feed, supervise.Intensity(5, time.Minute)), traigo.Name("feed"))
			return nil
		}, traigo.Name("app"))
		assert.NoError(t, err)
	})
	shows(t, `
level=WARN msg="traigo: the task has failed and is to be restarted" scope=app task=app/feed err="connection reset" attempt=1 delay=500ms
`, regexp.MustCompile(`delay=\S+`).ReplaceAllString(log, "delay=500ms")) // it varies by a half
	assert.Equal(t, 2, tries)
}

func TestBackgroundRetry(t *testing.T) {
	calls := 0
	fetchReport := func(context.Context) (string, error) {
		calls++
		return "", errReset
	}
	log := inBubble(t, func(logger *slog.Logger) {
		old := slog.Default()
		slog.SetDefault(logger)
		defer slog.SetDefault(old)
		report, err := supervise.Retry(ctx, fetchReport, supervise.Attempts(3))
		assert.Empty(t, report)
		assert.Regexp(t, `^gave up after 2 restarts in [0-9.]+m?s: connection reset$`, err)
	})
	assert.Equal(t, 3, calls)
	assert.Equal(t, 2, strings.Count(log, "level=WARN"), log)

	log = inBubble(t, func(logger *slog.Logger) {
		old := slog.Default()
		slog.SetDefault(logger)
		defer slog.SetDefault(old)
		retries := 0
		_, err := supervise.Retry(ctx, fetchReport, supervise.Attempts(3), supervise.Logger(slog.New(slog.DiscardHandler)),
			supervise.OnRestart(func(supervise.Event) { retries++ }))
		assert.ErrorIs(t, err, errReset)
		assert.Equal(t, 2, retries)
	})
	assert.Empty(t, log)
}

// Each call takes longer than the period of Intensity.
func TestBackgroundIntensityIsARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		_, err := supervise.Retry(ctx, func(ctx context.Context) (int, error) {
			if calls++; calls == 10 {
				return calls, nil
			}
			_ = traigo.Sleep(ctx, 2*time.Second)
			return 0, errReset
		}, supervise.Intensity(1, time.Second), supervise.Logger(discard))
		assert.NoError(t, err)
	})
}

func Example_backgroundSiblings() {
	err := supervise.Run(ctx, func(ctx context.Context, s *supervise.Siblings) error {
		for _, file := range []string{"a", "b", "c"} {
			s.Spawn(func(context.Context) error {
				if file == "b" {
					return errReset
				}
				fmt.Println("copied", file)
				return nil
			}, traigo.Name(file))
		}
		return nil
	}, traigo.Name("backup"), supervise.Logger(logger))
	fmt.Println(err)
	// Unordered output:
	// copied a
	// level=WARN msg="traigo: a task has failed, its siblings run on" scope=backup task=backup/b err="connection reset"
	// copied c
	// scope "backup": task "b": connection reset
}

func Example_backgroundServices() {
	err := supervise.WithServices(ctx, func(ctx context.Context, s *traigo.Scope, services *supervise.Services) error {
		if _, err := services.Start(ctx, database); err != nil {
			return err
		}
		if _, err := services.Start(ctx, cache); err != nil { // uses the database
			return err
		}
		s.Spawn(func(context.Context) error {
			fmt.Println("work")
			return nil
		})
		return nil
	})
	fmt.Println(err)
	// Output:
	// database: up
	// cache: up
	// work
	// cache: down
	// database: down
	// <nil>
}

func database(ctx context.Context, ready func()) error { return service(ctx, "database", ready) }
func cache(ctx context.Context, ready func()) error    { return service(ctx, "cache", ready) }

func service(ctx context.Context, name string, ready func()) error {
	fmt.Println(name + ": up")
	ready()
	<-ctx.Done()
	fmt.Println(name + ": down")
	return nil
}
