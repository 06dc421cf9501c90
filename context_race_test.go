package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// The end of a task ends its context. Whoever sees Done closed, as early as can
// be, finds Err set and may derive from it: package context panics for a context
// that is done without an error.
func TestStressContextOfATaskThatIsDoneHasAnError(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("with one P nobody looks while a task ends")
	}
	s := traigo.New(context.Background())
	for range 1000 {
		contexts, end := make(chan context.Context), make(chan struct{})
		s.Spawn(func(ctx context.Context) error { contexts <- ctx; <-end; return nil })
		ctx := <-contexts
		done := ctx.Done()
		close(end)
		for !closed(done) {
			_, cancel := context.WithCancel(ctx)
			cancel()
		}
		require.Error(t, ctx.Err())
		require.Error(t, context.Cause(ctx))
	}
	require.NoError(t, s.Close())
}

// The ending that most scopes have is one for all of them until somebody asks.
// Whoever asks while it is being decided gets none or that of the scope, with a
// cause that names it: never the one for all.
func TestStressCauseOfAScopeThatIsCompletingNamesIt(t *testing.T) {
	type key struct{}
	rounds := 30_000
	if testing.Short() {
		rounds = 3000
	}
	var current atomic.Pointer[traigo.Scope]
	var stop atomic.Bool
	look := func() (wrong string) {
		for !stop.Load() {
			s := current.Load()
			ctx := s.Context()
			_ = ctx.Value(key{})
			if ctx.Err() == nil {
				continue
			}
			var c *traigo.Cancellation
			if cause := context.Cause(ctx); !errors.As(cause, &c) || c.Kind != traigo.Completed || c.Scope != s.Path() {
				return fmt.Sprintf("%s: %v", s.Path(), cause)
			}
		}
		return ""
	}
	current.Store(traigo.New(context.Background()))
	wrong := make(chan string)
	for range 2 {
		go func() { wrong <- look() }()
	}
	for range rounds {
		s := traigo.New(context.Background())
		current.Store(s)
		s.Finalize()
	}
	stop.Store(true)
	assert.Empty(t, <-wrong)
	assert.Empty(t, <-wrong)
}
