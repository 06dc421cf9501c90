package guide_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing/iotest"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
	"github.com/traigo/traigo/supervise"
)

// size stands for a call that takes a while.
func size(_ context.Context, page string) (int, error) {
	n, ok := map[string]int{"/": 120, "/news": 300, "/map": 80}[page]
	if !ok {
		return 0, fmt.Errorf("%s: not found", page)
	}
	return n, nil
}

func Example_fanOutFails() {
	pages := []string{"/", "/old", "/map"}
	sizes, err := traigo.Map(ctx, slices.Values(pages), size, traigo.Limit(1))
	fmt.Println(sizes, err)
	// Output:
	// [120 0] scope "Map": task "size[1]": /old: not found
}

func Example_fanOutAsync() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		user := traigo.Async(s, loadUser)
		orders := traigo.Async(s, loadOrders)
		u, err := user.Await(ctx)
		if err != nil {
			return fmt.Errorf("user: %w", err)
		}
		n, err := orders.Await(ctx)
		if err != nil {
			return fmt.Errorf("orders: %w", err)
		}
		fmt.Println(u, "has", n, "orders")
		return nil
	}, traigo.Name("page"))
	fmt.Println(err)
	// Output:
	// Ann has 3 orders
	// <nil>
}

func loadUser(context.Context) (string, error) { return "Ann", nil }
func loadOrders(context.Context) (int, error)  { return 3, nil }

func Example_fanOutNeverAwaited() {
	err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		traigo.Async(s, func(context.Context) (int, error) {
			return 0, errors.New("no such user")
		}, traigo.Name("load"))
		return nil // without Await
	}, traigo.Name("page"))
	fmt.Println(err)
	// Output:
	// scope "page": task "load": no such user
}

func Example_fanOutAsCompleted() {
	pages := []string{"/", "/old", "/map", "/news"}
	total := 0
	for n, err := range traigo.AsCompleted(ctx, slices.Values(pages), size, traigo.Limit(1)) {
		if err != nil {
			fmt.Println("left out:", err)
			continue
		}
		total += n
		if total >= 200 {
			break // cancels what still runs, and waits for it
		}
	}
	fmt.Println(total)
	// Output:
	// left out: /old: not found
	// 200
}

func Example_fanOutRace() {
	from, err := traigo.Race(ctx, slow, broken, mirror)
	fmt.Println(from, err)
	for _, r := range traigo.Settle(ctx, broken, mirror) {
		fmt.Printf("%q %v\n", r.Value, r.Err)
	}
	// Output:
	// the mirror <nil>
	// "" connection reset
	// "the mirror" <nil>
}

func mirror(context.Context) (string, error)   { return "the mirror", nil }
func broken(context.Context) (string, error)   { return "", errReset }
func slow(ctx context.Context) (string, error) { return "", untilCanceled(ctx) }

func at(page string) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) { return size(ctx, page) }
}

func Example_fanOutAll() {
	sizes, err := traigo.All(ctx, at("/"), at("/map"))
	fmt.Println(sizes, err)
	// Output:
	// [120 80] <nil>
}

// The input stays open: leaving the loop must not wait for a fourth line.
func Example_fanOutPipeline() {
	in, keyboard := io.Pipe()
	defer keyboard.Close()
	go func() { _, _ = io.WriteString(keyboard, "3\n5\nseven\n") }()
	fmt.Println(squares(ctx, in))
	fmt.Println(squares(ctx, strings.NewReader("7\n9\n")))
	fmt.Println(squares(ctx, io.MultiReader(strings.NewReader("2\n"), iotest.ErrReader(errReset))))
	// Output:
	// 9
	// 25
	// strconv.Atoi: parsing "seven": invalid syntax
	// 49
	// 81
	// <nil>
	// 4
	// connection reset
}

func squares(ctx context.Context, in io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	scanner := bufio.NewScanner(in)
	var failed error // an iterator cannot say why it has ended
	lines := func(yield func(string) bool) {
		for {
			more := false
			failed = traigo.Blocking(func() error { // it returns when ctx is done
				more = scanner.Scan()
				return scanner.Err()
			})(ctx)
			if failed != nil || !more || !yield(scanner.Text()) {
				return
			}
		}
	}
	for n, err := range traigo.Ordered(ctx, lines, square, traigo.Limit(4)) {
		if err != nil {
			stop() // the iterator may wait for a line
			return err
		}
		fmt.Println(n)
	}
	return failed
}

func square(_ context.Context, line string) (int, error) {
	n, err := strconv.Atoi(line)
	return n * n, err
}

func Example_fanOutRecursive() {
	fetched.Store(0)
	err := supervise.Run(ctx, func(_ context.Context, s *supervise.Siblings) error {
		fetches := capacity.New(2) // two fetches at once
		var mu sync.Mutex
		visited := map[string]bool{}
		var visit func(page string)
		visit = func(page string) {
			mu.Lock()
			isKnown := visited[page]
			visited[page] = true
			mu.Unlock()
			if isKnown {
				return
			}
			s.Spawn(func(ctx context.Context) error {
				return fetches.Do(ctx, 1, func(ctx context.Context) error {
					links, err := fetch(ctx, page)
					for _, link := range links {
						visit(link) // returns at once
					}
					return err
				})
			}, traigo.Name("page"))
		}
		visit("/")
		return nil
	}, traigo.Name("crawl"), supervise.Logger(logger))
	fmt.Println(err)
	fmt.Println(fetched.Load(), "pages")
	// Output:
	// level=WARN msg="traigo: a task has failed, its siblings run on" scope=crawl task=crawl/page err="/b/: not found"
	// scope "crawl": task "page": /b/: not found
	// 5 pages
}

var fetched atomic.Int32

// fetch is of a site with five pages, one of which is missing.
func fetch(_ context.Context, page string) (links []string, err error) {
	fetched.Add(1)
	switch {
	case page == "/b/":
		return nil, fmt.Errorf("%s: not found", page)
	case len(page) < 5:
		links = []string{"/", page + "a/", page + "b/"}
	}
	return links, nil
}
