package guide_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
)

func Example_limitsSpawn() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for i := range 100 {
			s.Spawn(func(ctx context.Context) error { // blocks while 8 tasks exist
				return store(ctx, i)
			})
		}
		return nil
	}, traigo.Limit(8))
	fmt.Println(err)
	// Output:
	// <nil>
}

func store(context.Context, int) error { return nil }

func Example_limitsTrySpawn() {
	s := traigo.New(ctx, traigo.Limit(1))
	s.Spawn(untilCanceled)
	if _, ok := s.TrySpawn(untilCanceled); !ok {
		fmt.Println("503 Service Unavailable")
	}
	fmt.Println(s.Close())
	// Output:
	// 503 Service Unavailable
	// <nil>
}

func Example_limitsAdmitBefore() {
	s := traigo.New(ctx, traigo.Name("pool"), traigo.Limit(1))
	s.Spawn(untilCanceled)

	patience, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	task := s.Spawn(untilCanceled, traigo.AdmitBefore(patience))
	fmt.Println(errors.Is(task.Err(), traigo.ErrRefused), task.Err())
	fmt.Println(s.Close())
	// Output:
	// true traigo: refused: the limit of 1 of scope "pool" is reached: context deadline exceeded
	// <nil>
}

// What a slog logger writes in a bubble, where 10 s take no time.
func inBubble(t *testing.T, body func(l *slog.Logger)) string {
	var out strings.Builder
	synctest.Test(t, func(*testing.T) {
		body(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
	})
	return out.String()
}

func TestLimitsDeadlock(t *testing.T) {
	log := inBubble(t, func(logger *slog.Logger) {
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			var walk func(ctx context.Context, dir string) error
			walk = func(_ context.Context, dir string) error {
				for _, sub := range dirsIn(dir) {
					s.Spawn(func(ctx context.Context) error { // wrong: waits for a slot, and has one
						return walk(ctx, sub)
					}, traigo.Name(sub))
				}
				return nil
			}
			return walk(ctx, "top")
		}, traigo.Name("walk"), traigo.Limit(1), traigo.Timeout(time.Minute), traigo.Logger(logger))
		assert.EqualError(t, err, `scope "walk": timed out after 1m0s`)
	})
	shows(t, `
level=WARN msg="traigo: Spawn has been blocked for 10s: the limit of 1 is reached; a task that spawns into its own full scope waits for itself" scope=walk spawner="task \"walk/usr\""
`, log)
}

func dirsIn(dir string) []string {
	return map[string][]string{"top": {"usr"}, "usr": {"bin", "lib"}}[dir]
}

func Example_limitsLimiter() {
	connections := capacity.New(2) // for the whole program
	query := func(ctx context.Context, id int) (string, error) {
		var row string
		err := connections.Do(ctx, 1, func(ctx context.Context) error {
			row = fmt.Sprint("row ", id)
			return nil
		})
		return row, err
	}
	fmt.Println(traigo.Map(ctx, slices.Values([]int{1, 2, 3}), query))
	fmt.Println(connections.Stats().InUse, "in use")
	// Output:
	// [row 1 row 2 row 3] <nil>
	// 0 in use
}

func TestLimitsHeldTwice(t *testing.T) {
	log := inBubble(t, func(logger *slog.Logger) {
		old := slog.Default()
		slog.SetDefault(logger)
		defer slog.SetDefault(old)
		connections := capacity.New(1)
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return connections.Do(ctx, 1, func(ctx context.Context) error {
					return connections.Do(ctx, 1, untilCanceled) // there is only one
				})
			}, traigo.Name("report"))
			return nil
		}, traigo.Name("app"), traigo.Timeout(time.Minute))
		assert.EqualError(t, err, `scope "app": timed out after 1m0s`)
	})
	shows(t, `
level=WARN msg="traigo: capacity: a caller has waited 10s for units" waiter=app/report units=1 limit=1 in_use=1 holders=[app/report]
`, log)
}

func TestLimitsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var starts []time.Duration
		var mu sync.Mutex
		ask := func(context.Context, string) error {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Since(begin))
			return nil
		}
		pages := []string{"a", "b", "c"}
		tick := time.NewTicker(100 * time.Millisecond) // ten a second
		defer tick.Stop()
		err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
			for _, page := range pages {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				s.Spawn(func(ctx context.Context) error { return ask(ctx, page) })
			}
			return nil
		})
		assert.NoError(t, err)
		shows(t, `
[100ms 200ms 300ms]
`, fmt.Sprint(starts))
	})
}
