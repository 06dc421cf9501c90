package traigo_test

import (
	"context"
	"runtime"
	"testing"

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
