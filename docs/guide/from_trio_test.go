package guide_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

func Example_fromTrioNursery() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { return greet(ctx, "Ann") })
		s.Spawn(func(ctx context.Context) error { return greet(ctx, "Bob") })
		return nil
	})
	fmt.Println(err)
	// Unordered output:
	// Hello, Ann
	// Hello, Bob
	// <nil>
}

func greet(_ context.Context, name string) error {
	fmt.Println("Hello,", name)
	return nil
}

func Example_fromTrioMoveOn() {
	expired, err := traigo.MoveOnAfter(ctx, short, func(ctx context.Context) error {
		return ask(ctx)
	})
	if expired {
		fmt.Println("no answer")
	}
	fmt.Println(err)
	// Output:
	// no answer
	// <nil>
}

func ask(ctx context.Context) error { return untilCanceled(ctx) }

func Example_fromTrioStart() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		if _, err := s.Start(ctx, listen, traigo.Awaited(false)); err != nil {
			return err
		}
		fmt.Println("it listens")
		return nil
	})
	fmt.Println(err)
	// Output:
	// it listens
	// <nil>
}

func listen(ctx context.Context, ready func()) error {
	ready()
	return untilCanceled(ctx)
}

func TestFromTrioCancelIsAState(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	assert.ErrorIs(t, traigo.Sleep(ctx, time.Hour), errEnough)
	assert.ErrorIs(t, traigo.Sleep(ctx, time.Hour), errEnough, "each time")
}

func TestFromTrioCancelOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			task := s.Spawn(untilCanceled)
			task.Cancel(nil)
			assert.ErrorIs(t, task.Wait(ctx), context.Canceled)
			return nil
		})
		assert.NoError(t, err)
	})
}
