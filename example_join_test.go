package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

func price(shop string, cents int, err error) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		if err != nil {
			return 0, fmt.Errorf("%s: %w", shop, err)
		}
		return cents, traigo.Sleep(ctx, time.Duration(cents)*time.Microsecond)
	}
}

// All is for things of which each is needed.
func ExampleAll() {
	parts, err := traigo.All(context.Background(),
		price("frame", 900, nil), price("wheels", 500, nil), price("bell", 100, nil))
	fmt.Println(parts, err)

	_, err = traigo.All(context.Background(),
		price("frame", 900, nil), price("wheels", 0, errors.New("sold out")))
	fmt.Println(errors.Unwrap(err.(*traigo.Error).Err)) //nolint:errorlint // All returns nothing else
	// Output:
	// [900 500 100] <nil>
	// wheels: sold out
}

// Race is for things of which any will do.
func ExampleRace() {
	slow := func(ctx context.Context) (string, error) { return "slow", traigo.Sleep(ctx, time.Hour) }
	quick := func(context.Context) (string, error) { return "quick", nil }
	broken := func(context.Context) (string, error) { return "", errors.New("no connection") }

	mirror, err := traigo.Race(context.Background(), slow, broken, quick)
	fmt.Println(mirror, err)

	_, err = traigo.Race(context.Background(), broken, broken)
	fmt.Println(len(err.(*traigo.Error).Unwrap()), "failures") //nolint:errorlint // Race returns nothing else
	// Output:
	// quick <nil>
	// 2 failures
}

// Settle is for a report on all of them.
func ExampleSettle() {
	for _, r := range traigo.Settle(context.Background(),
		price("frame", 900, nil), price("wheels", 0, errors.New("sold out"))) {
		fmt.Println(r.Value, r.Err)
	}
	// Output:
	// 900 <nil>
	// 0 wheels: sold out
}

// A Result is what Settle has for each function.
func ExampleResult() {
	results := traigo.Settle(context.Background(), price("frame", 900, nil), price("bell", 100, nil))
	total := 0
	for _, r := range results {
		if r.Err == nil {
			total += r.Value
		}
	}
	fmt.Println(total)
	// Output: 1000
}

// Map is for a function and many items, some at a time.
func ExampleMap() {
	shout := func(_ context.Context, word string) (string, error) { return strings.ToUpper(word), nil }

	words, err := traigo.Map(context.Background(), slices.Values([]string{"to", "be", "or"}), shout, traigo.Limit(2))
	fmt.Println(words, err)
	// Output: [TO BE OR] <nil>
}

// Beside the error Map returns what has succeeded, and zero values elsewhere. Of the items
// after the one that has failed only those are there which had been pulled by then.
func ExampleMap_failure() {
	quantities, err := traigo.Map(context.Background(), slices.Values([]string{"3", "12", "many", "7"}),
		func(_ context.Context, text string) (int, error) { return strconv.Atoi(text) },
		traigo.Limit(1))
	fmt.Println(quantities, errors.Is(err, strconv.ErrSyntax))
	// Output: [3 12 0] true
}

// ForEach is Map for a function without a result.
func ExampleForEach() {
	var posted atomic.Int32
	post := func(_ context.Context, letter string) error {
		if letter == "" {
			return errors.New("nothing to post")
		}
		posted.Add(1)
		return nil
	}
	err := traigo.ForEach(context.Background(), slices.Values([]string{"to Ann", "to Bob", "to Eve"}), post, traigo.Limit(2))
	fmt.Println(posted.Load(), err)

	err = traigo.ForEach(context.Background(), slices.Values([]string{"to Ann", ""}), post)
	fmt.Println(errors.Unwrap(err.(*traigo.Error).Err)) //nolint:errorlint // ForEach returns nothing else
	// Output:
	// 3 <nil>
	// nothing to post
}

// AsCompleted is for results that are wanted as soon as they are there. The items
// may be endless: no more of them are pulled than are worked on.
func ExampleAsCompleted() {
	numbers := func(yield func(int) bool) {
		for i := 1; yield(i); i++ {
		}
	}
	isPrime := func(_ context.Context, n int) (int, error) {
		for i := 2; i < n; i++ {
			if n%i == 0 {
				return n, fmt.Errorf("%d × %d", i, n/i)
			}
		}
		return n, nil
	}
	primes := 0
	for _, err := range traigo.AsCompleted(context.Background(), numbers, isPrime, traigo.Limit(8)) {
		if err != nil {
			continue // not a prime: it cancels nothing
		}
		if primes++; primes == 100 {
			break // what is still at work is canceled, and has ended here
		}
	}
	fmt.Println(primes)
	// Output: 100
}

// Ordered is for results that are wanted one after the other, in the order of the items.
// While the first is being used, the next ones are already worked on.
func ExampleOrdered() {
	text := strings.Lines("to be or not to be\nthat is\nthe question\n")
	count := func(_ context.Context, line string) (int, error) { return len(strings.Fields(line)), nil }

	for words, err := range traigo.Ordered(context.Background(), text, count) {
		fmt.Println(words, err)
	}
	// Output:
	// 6 <nil>
	// 2 <nil>
	// 2 <nil>
}
