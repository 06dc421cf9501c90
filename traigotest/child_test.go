package traigotest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/traigotest"
)

const childVariable = "TRAIGOTEST_CHILD"

// failing are tests that fail, and what then is to be read.
var failing = map[string]struct {
	test func(t *testing.T)
	want []string
}{
	"leak": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
				ready()
				return untilCanceled(ctx)
			}, traigo.Name("reader"))
			assert.NoError(t, err)
		}, traigotest.Patience(time.Millisecond))
	}, []string{"still running 1ms after the body returned", "└─ • reader (running, ", `/reader":`, "goroutine ", "traigotest_test.init."}},

	"panic": {func(t *testing.T) {
		traigotest.Run(t, func(_ context.Context, s *traigo.Scope) {
			s.Spawn(func(context.Context) error {
				panicOnPurpose("out of cheese")
				return nil
			}, traigo.Name("upload"))
		})
	}, []string{`/upload" panicked: out of cheese`, "panicOnPurpose("}},

	"require in a task": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			s.Spawn(untilCanceled)
			s.Spawn(func(context.Context) error {
				require.Equal(t, 1, 2, "it is one")
				return nil
			}, traigo.Name("checker"))
			<-ctx.Done()
		})
		t.Log("not to be seen")
	}, []string{"Messages:   \tit is one", `: t.FailNow was called by task "`, `/checker"`}},

	"require in the body": {func(t *testing.T) {
		traigotest.Run(t, func(ctx context.Context, s *traigo.Scope) {
			require.NoError(t, s.Spawn(fail, traigo.Name("upload")).Wait(ctx), "it is sent")
		})
		t.Log("not to be seen")
	}, []string{"Messages:   \tit is sent", `/upload" failed: connection reset`}},
}

// The fakes above are not package testing: so once in earnest, in a process of its
// own.
func TestRunFailsARealTest(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		for name, row := range failing {
			t.Run(name, func(t *testing.T) {
				t.Run("outside", row.test)
				t.Run("inside", func(t *testing.T) { synctest.Test(t, row.test) })
			})
		}
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	text := string(out)
	assert.NotContains(t, text, "not to be seen")
	assert.NotContains(t, text, "panic:", "the process has lived on")
	assert.NotContains(t, text, "ERROR", "nothing was logged besides")
	for name, row := range failing {
		for _, where := range []string{"outside", "inside"} {
			_, part, found := strings.Cut(text, "--- FAIL: "+t.Name()+"/"+strings.ReplaceAll(name, " ", "_")+"/"+where+" ")
			require.True(t, found, "%s", text)
			part, _, _ = strings.Cut(part, "--- FAIL")
			for _, want := range row.want {
				assert.Contains(t, part, want, "%s, %s", name, where)
			}
			for line := range strings.Lines(part) {
				assert.NotRegexp(t, `^ +(run|report|watch|log|panic)\.go:`, line, "a failure points at the test")
			}
		}
	}
}
