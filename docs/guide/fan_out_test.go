package guide_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
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

func Example_fanOutPipeline() {
	scanner := bufio.NewScanner(strings.NewReader("3\n5\nseven\n9\n"))
	var lines iter.Seq[string] = func(yield func(string) bool) {
		for scanner.Scan() && yield(scanner.Text()) {
		}
	}
	for n, err := range traigo.Ordered(ctx, lines, square, traigo.Limit(4)) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(n)
	}
	fmt.Println(scanner.Err()) // the error of the reader
	// Output:
	// 9
	// 25
	// strconv.Atoi: parsing "seven": invalid syntax
	// <nil>
}

func square(_ context.Context, line string) (int, error) {
	n, err := strconv.Atoi(line)
	return n * n, err
}

func Example_fanOutRecursive() {
	fetched.Store(0)
	fetches := capacity.New(2) // two fetches at once, in the whole tree
	var crawl func(ctx context.Context, page string) error
	crawl = func(ctx context.Context, page string) error {
		var links []string
		err := fetches.Do(ctx, 1, func(ctx context.Context) (err error) {
			links, err = fetch(ctx, page)
			return err
		})
		if err != nil {
			return err
		}
		return traigo.ForEach(ctx, slices.Values(links), crawl) // holds nothing
	}
	fmt.Println(crawl(ctx, "/"), fetched.Load(), "pages")
	// Output:
	// <nil> 7 pages
}

var fetched atomic.Int32

func fetch(_ context.Context, page string) (links []string, err error) {
	fetched.Add(1)
	if len(page) < 5 {
		links = []string{page + "a/", page + "b/"}
	}
	return links, nil
}
