package capacity_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
)

// Two scopes of a program share three connections.
func ExampleNew() {
	connections := capacity.New(3)
	var open, most atomic.Int32
	query := func(ctx context.Context) error {
		return connections.Do(ctx, 1, func(context.Context) error {
			if now := open.Add(1); now > most.Load() {
				most.Store(now)
			}
			time.Sleep(time.Millisecond)
			open.Add(-1)
			return nil
		})
	}
	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		for _, name := range []string{"readers", "writers"} {
			f := s.Fork(traigo.Name(name))
			for range 10 {
				f.Spawn(query)
			}
			f.Finalize()
		}
		return nil
	})
	fmt.Println(err, most.Load() <= 3)
	// Output: <nil> true
}

func ExampleLimiter() {
	memory := capacity.New(1024) // megabytes
	err := memory.Do(context.Background(), 300, func(context.Context) error {
		fmt.Println("in use:", memory.Stats().InUse)
		return nil
	})
	fmt.Println("in use:", memory.Stats().InUse, err)
	// Output:
	// in use: 300
	// in use: 0 <nil>
}

// A license is held for a part of the work only.
func ExampleLimiter_Acquire() {
	licenses := capacity.New(1)
	convert := func(ctx context.Context, file string) error {
		release, err := licenses.Acquire(ctx, 1)
		if err != nil {
			return fmt.Errorf("no license: %w", err)
		}
		defer release()
		fmt.Println("converting", file)
		release() // early: the deferred call has no effect then
		fmt.Println("copying", file)
		return nil
	}
	fmt.Println(convert(context.Background(), "a.mov"))

	licenses.SetLimit(0)
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Millisecond, errors.New("the user has left"))
	defer cancel()
	fmt.Println(convert(ctx, "b.mov"))
	// Output:
	// converting a.mov
	// copying a.mov
	// <nil>
	// no license: the user has left
}

// A server that has no room says so at once.
func ExampleLimiter_TryAcquire() {
	seats := capacity.New(1)
	serve := func() {
		release, ok := seats.TryAcquire(1)
		if !ok {
			fmt.Println("503 Service Unavailable")
			return
		}
		defer release()
		fmt.Println("200 OK")
	}
	serve()
	release, _ := seats.TryAcquire(1)
	serve()
	release()
	serve()
	// Output:
	// 200 OK
	// 503 Service Unavailable
	// 200 OK
}

// A call that knows no context is abandoned when its task is canceled. The unit comes back
// when the call has ended.
func ExampleLimiter_Do() {
	lookups := capacity.New(1)
	answer, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := lookups.Do(ctx, 1, traigo.Blocking(func() error {
		defer close(ended)
		<-answer // some library that cannot be canceled
		return nil
	}))
	fmt.Println(err, "- still in use:", lookups.Stats().InUse)

	close(answer)
	<-ended
	release, err := lookups.Acquire(context.Background(), 1)
	fmt.Println(err, "- in use again:", lookups.Stats().InUse)
	release()
	// Output:
	// context deadline exceeded - still in use: 1
	// <nil> - in use again: 1
}

// A crawler: the task of a page waits for the tasks of its links, which are tasks of the
// same kind, to any depth. A unit is held while a page is fetched and not while the task
// waits for others, so two units are enough. With Limit(2), and a slot for the whole life
// of each task, all slots would soon be held by tasks that wait for a slot.
func ExampleLimiter_Do_crawler() {
	site := map[string][]string{
		"/":              {"docs", "blog"},
		"/docs":          {"install", "guide"},
		"/docs/guide":    {"first", "second"},
		"/blog":          {"2025", "2026"},
		"/blog/2026":     {"may"},
		"/blog/2026/may": {"1", "2", "3"},
	}
	var pages, fetching, tooMany atomic.Int32

	fetches := capacity.New(2)
	var crawl func(ctx context.Context, page string) error
	crawl = func(ctx context.Context, page string) error {
		var links []string
		err := fetches.Do(ctx, 1, func(context.Context) error {
			if fetching.Add(1) > 2 {
				tooMany.Add(1)
			}
			time.Sleep(time.Millisecond)
			links = site[page]
			fetching.Add(-1)
			return nil
		})
		if err != nil {
			return err
		}
		pages.Add(1)
		return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			for _, link := range links {
				s.Spawn(func(ctx context.Context) error { return crawl(ctx, path.Join(page, link)) }, traigo.Name(link))
			}
			return nil
		})
	}

	err := crawl(context.Background(), "/")
	fmt.Println(pages.Load(), "pages,", tooMany.Load(), "times more than two at once,", err)
	// Output: 13 pages, 0 times more than two at once, <nil>
}

// A service is asked less while it is slow.
func ExampleLimiter_SetLimit() {
	requests := capacity.New(4)
	release, _ := requests.TryAcquire(4)
	requests.SetLimit(2)
	fmt.Printf("%d of %d\n", requests.Stats().InUse, requests.Stats().Limit) // nobody is stopped
	release()
	_, ok := requests.TryAcquire(3)
	fmt.Println(ok)
	requests.SetLimit(4)
	_, ok = requests.TryAcquire(3)
	fmt.Println(ok)
	// Output:
	// 4 of 2
	// false
	// true
}

func ExampleLimiter_Stats() {
	connections := capacity.New(5)
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		report := s.Spawn(func(ctx context.Context) error {
			_, err := connections.Acquire(ctx, 3) // and forgets to release them
			return err
		}, traigo.Name("report"))
		return report.Wait(ctx)
	}, traigo.Name("app"))
	stats := connections.Stats()
	fmt.Printf("%d of %d in use by %v, %d waiting\n", stats.InUse, stats.Limit, stats.Holders, stats.Waiting)
	// Output: 3 of 5 in use by [app/report], 0 waiting
}

// A holder without a context has no name.
func ExampleStats() {
	l := capacity.New(2)
	if release, ok := l.TryAcquire(1); ok {
		defer release()
	}
	fmt.Printf("%+v\n", l.Stats())
	// Output: {Limit:2 InUse:1 Waiting:0 Holders:[] Unnamed:1}
}
