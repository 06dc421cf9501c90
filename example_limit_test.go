package traigo_test

import (
	"context"
	"fmt"

	"github.com/traigo/traigo"
)

// Two scopes, and ten connections between them.
func ExampleNewLimiter() {
	connections := traigo.NewLimiter(10)
	query := func(context.Context) error { return nil }
	for _, name := range []string{"reports", "requests"} {
		err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
			for range 100 {
				s.Spawn(query)
			}
			return nil
		}, traigo.Name(name), traigo.LimitedBy(connections))
		fmt.Println(name, err)
	}
	// Output:
	// reports <nil>
	// requests <nil>
}

// A task may wait for tasks that need the same: it lends what it has. So even one
// unit is enough for a tree.
func ExampleLimitedBy() {
	limiter := traigo.NewLimiter(1)
	visited := make(chan string, 7)
	var visit func(name string) func(context.Context) error
	visit = func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			visited <- name
			if len(name) == 3 {
				return nil
			}
			return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				s.Spawn(visit(name + "0"))
				s.Spawn(visit(name + "1"))
				return nil
			}, traigo.LimitedBy(limiter))
		}
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(visit("r"))
		return nil
	}, traigo.LimitedBy(limiter))
	fmt.Println(len(visited), err)
	// Output: 7 <nil>
}

// A task that needs more of something takes more of it.
func ExampleWeight() {
	s := traigo.New(context.Background(), traigo.Limit(4))
	ready := make(chan struct{})
	task := s.Spawn(func(context.Context) error { <-ready; return nil }, traigo.Weight(3))
	_, ok := s.TrySpawn(func(context.Context) error { return nil }, traigo.Weight(2))
	fmt.Println(ok)
	close(ready)
	fmt.Println(task.Wait(context.Background()))
	_ = s.Close()
	// Output:
	// false
	// <nil>
}

// A Limiter is made by NewLimiter, and may be looked at.
func ExampleLimiter() {
	memory := traigo.NewLimiter(64)
	s := traigo.New(context.Background(), traigo.Name("images"), traigo.LimitedBy(memory))
	s.Spawn(waitForEnd, traigo.Name("poster"), traigo.Weight(48))
	fmt.Printf("%+v\n", memory.Stats())
	_ = s.Close()
	fmt.Println(memory.Stats().InUse)
	// Output:
	// {Limit:64 InUse:48 Waiting:0 Tasks:[images/poster]}
	// 0
}

// Night has come, and more may run.
func ExampleLimiter_SetLimit() {
	limiter := traigo.NewLimiter(1)
	s := traigo.New(context.Background(), traigo.LimitedBy(limiter))
	s.Spawn(waitForEnd)
	_, ok := s.TrySpawn(waitForEnd)
	fmt.Println(ok)

	limiter.SetLimit(2)
	_, ok = s.TrySpawn(waitForEnd)
	fmt.Println(ok)
	_ = s.Close()
	// Output:
	// false
	// true
}

// Stats are for a page or a metric.
func ExampleLimiter_Stats() {
	limiter := traigo.NewLimiter(8)
	stats := limiter.Stats()
	fmt.Printf("%d of %d, %d waiting\n", stats.InUse, stats.Limit, stats.Waiting)
	// Output: 0 of 8, 0 waiting
}

// LimiterStats say who has what.
func ExampleLimiterStats() {
	limiter := traigo.NewLimiter(8)
	s := traigo.New(context.Background(), traigo.Name("crawl"), traigo.LimitedBy(limiter))
	s.Spawn(waitForEnd, traigo.Name("news"))
	s.Spawn(waitForEnd, traigo.Name("shops"))
	for _, path := range limiter.Stats().Tasks {
		fmt.Println(path)
	}
	_ = s.Close()
	// Output:
	// crawl/news
	// crawl/shops
}
