package traigo_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// In a process of its own, as nothing else tells what a crash shows.
func TestPanicThatNobodyRecoversCrashesTheProcess(t *testing.T) {
	const variable = "TRAIGO_TEST_CRASH"
	inATask := func(s *traigo.Scope) { s.Spawn(panicking(errBoom), traigo.Name("work")) }
	crashes := map[string]func(ctx context.Context, s *traigo.Scope) error{
		"task": func(_ context.Context, s *traigo.Scope) error {
			inATask(s)
			return nil
		},
		"nested": func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
					inATask(s)
					return nil
				})
			})
			return nil
		},
		"body": func(context.Context, *traigo.Scope) error {
			panicOnPurpose(errBoom)
			return nil
		},
	}
	if crash := crashes[os.Getenv(variable)]; crash != nil {
		// On a goroutine of its own: package testing has words to say on panics of tests.
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = traigo.Run(context.Background(), crash)
		}()
		<-done
		select {} // the crash has run the deferred call, and is about to end the process
	}

	self, err := os.Executable()
	require.NoError(t, err)
	for name := range crashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestPanicThatNobodyRecoversCrashesTheProcess$")
			cmd.Env = append(os.Environ(), variable+"="+name, "GOTRACEBACK=single")
			out, err := cmd.CombinedOutput()
			assert.NotZero(t, as[*exec.ExitError](t, err).ExitCode())
			text := string(out)
			assert.Contains(t, text, "panic: ")
			assert.Contains(t, text, "boom")
			assert.Equal(t, 1, strings.Count(text, "panicOnPurpose"), "its stack, once:\n%s", text)
			if name != "body" {
				assert.Equal(t, 1, strings.Count(text, `"work"`), "its name, once:\n%s", text)
			}
		})
	}
}
