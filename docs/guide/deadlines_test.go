package guide_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

const short, long = 10 * time.Millisecond, time.Minute

func Example_deadlinesScope() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("download"))
		return nil
	}, traigo.Name("sync"), traigo.Timeout(short))
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// scope "sync": timed out after 10ms
	// true
}

func Example_deadlinesTask() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("download"), traigo.Timeout(short))
		s.Spawn(untilCanceled, traigo.Name("upload"))
		return nil
	}, traigo.Name("sync"), traigo.Timeout(long))
	fmt.Println(err)
	// Output:
	// scope "sync": task "download": timed out after 10ms
}

func Example_deadlinesOptional() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		ads := traigo.Async(s, loadAds, traigo.Timeout(short))
		if _, err := ads.Await(ctx); err != nil {
			fmt.Println("without ads:", err)
		}
		return nil
	}, traigo.Name("page"))
	fmt.Println(err)
	// Output:
	// without ads: "page/loadAds" timed out after 10ms
	// <nil>
}

func loadAds(ctx context.Context) (string, error) { return "", untilCanceled(ctx) }

func Example_deadlinesMoveOn() {
	expired, err := traigo.MoveOnAfter(ctx, short, untilCanceled)
	fmt.Println(expired, err)
	err = traigo.FailAfter(ctx, short, untilCanceled)
	fmt.Println(err)
	// Output:
	// true <nil>
	// traigo: timed out after 10ms
}

func Example_deadlinesWhose() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
				<-ctx.Done()
				fmt.Println(context.Cause(ctx))
				return ctx.Err()
			}, traigo.Name("query"), traigo.Timeout(long))
		}, traigo.Name("load"))
		return nil
	}, traigo.Name("page"), traigo.Timeout(short))
	if e, ok := errors.AsType[*traigo.TimeoutError](err); ok {
		fmt.Printf("%s ran out of its %v\n", e.Scope, e.After)
	}
	fmt.Println(err)
	// Output:
	// scope "page" canceled: timeout: "page" timed out after 10ms
	// page ran out of its 10ms
	// scope "page": timed out after 10ms
}

func Example_deadlinesForeign() {
	ctx, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		return untilCanceled(ctx)
	}, traigo.Name("page"))
	_, ok := errors.AsType[*traigo.TimeoutError](err)
	fmt.Println(ok, errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// false true
	// scope "page": parent canceled: context deadline exceeded
}

func Example_deadlinesSetTimeout() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for range 3 { // blocks of a file
			if err := receive(ctx); err != nil {
				return err
			}
			s.SetTimeout(short) // from now
		}
		return untilCanceled(ctx) // the sender is silent
	}, traigo.Name("receive"), traigo.Timeout(long))
	fmt.Println(err)
	// Output:
	// scope "receive": timed out after 10ms
}

func receive(context.Context) error { return nil }

func Example_deadlinesCancelTimeout() {
	release := make(chan struct{})
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			<-release // does not look at its context
			return nil
		}, traigo.Name("parse"))
		return nil
	}, traigo.Name("load"), traigo.Timeout(short), traigo.CancelTimeout(short))
	text := fmt.Sprint(err)
	fmt.Println(sameAges(text))
	close(release)
	// Output:
	// scope "load": timed out after 10ms; also: 1 task did not end after cancel: task "load/parse", age 20ms
}

// What the page says of a scope whose timeout is extended.
func TestDeadlinesExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			inner, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			s.SetTimeout(3 * time.Hour)
			assert.ErrorIs(t, traigo.FailAfter(ctx, time.Hour, untilCanceled), context.DeadlineExceeded)
			assert.Equal(t, time.Hour, time.Since(begin))
			<-inner.Done()
			assert.Equal(t, 3*time.Hour, time.Since(begin))
			return nil
		}, traigo.Timeout(time.Minute))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			err := traigo.FailAfter(ctx, time.Hour, func(ctx context.Context) error {
				s.SetTimeout(3 * time.Hour)
				return untilCanceled(ctx)
			})
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, time.Hour, time.Since(begin), "FailAfter has a timer of its own")
			return nil
		}, traigo.Timeout(time.Minute))
	})
}
