package guide_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		body(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
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
			var crawl func(ctx context.Context, page string) error
			crawl = func(ctx context.Context, page string) error {
				for _, link := range linksOf(page) {
					s.Spawn(func(ctx context.Context) error { // waits for the end of a task like itself
						return crawl(ctx, link)
					}, traigo.Name(link))
				}
				return nil
			}
			s.Spawn(func(ctx context.Context) error { return crawl(ctx, "/") }, traigo.Name("/"))
			return nil
		}, traigo.Name("crawl"), traigo.Limit(1), traigo.Timeout(time.Minute), traigo.Logger(logger))
		logger.Info("end", "err", err)
	})
	shows(t, ``, log)
}

func linksOf(page string) (links []string) {
	if len(page) < 4 {
		links = []string{page + "a/", page + "b/"}
	}
	return links
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
		logger.Info("end", "err", err)
	})
	shows(t, ``, log)
}

func TestLimitsRate(t *testing.T) {
	log := inBubble(t, func(logger *slog.Logger) {
		begin := time.Now()
		var starts []time.Duration
		ticks := time.NewTicker(100 * time.Millisecond) // ten a second
		defer ticks.Stop()
		err := traigo.ForEach(ctx, slices.Values([]string{"a", "b", "c"}), func(ctx context.Context, page string) error {
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			starts = append(starts, time.Since(begin))
			return nil
		}, traigo.Limit(1))
		logger.Info("end", "starts", fmt.Sprint(starts), "err", err)
	})
	shows(t, ``, log)
}
