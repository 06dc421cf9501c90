//go:build unix

package record_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// What survives what: the test runs itself once more, as a program that dies.

// deaths are the ways to die.
var deaths = map[string]func(){
	"panic":   func() { go panic("on another goroutine"); select {} },
	"fatal":   func() { var mu sync.Mutex; mu.Unlock() },
	"exit":    func() { os.Exit(3) },
	"SIGTERM": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM); select {} },
	"SIGKILL": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
}

const dying = "RECORD_TEST_DYING"

// rerun runs one test of this binary in another process, with an argument.
func rerun(t *testing.T, test, arg, path string) (out string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), dying+"="+arg, "RECORD_TEST_LOG="+path)
	all, _ := cmd.CombinedOutput()
	return string(all)
}

// TestDies is the program that dies.
func TestDies(t *testing.T) {
	arg := os.Getenv(dying)
	if arg == "" {
		t.Skip("it is run by TestCrash")
	}
	how, mode, _ := strings.Cut(arg, ",")
	var opts []record.Option
	if mode == "durable" {
		opts = append(opts, record.Durable())
	}
	rec, err := record.Create(os.Getenv("RECORD_TEST_LOG"), opts...)
	require.NoError(t, err)
	s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec))
	running := make(chan struct{})
	for i := range 10 {
		s.Spawn(func(ctx context.Context) error {
			running <- struct{}{}
			return untilCanceled(ctx)
		}, traigo.Name(fmt.Sprintf("parked-%d", i)))
		<-running
	}
	failing := s.Spawn(func(context.Context) error { return errors.New("no") }, traigo.Name("failing"), traigo.Bubble(false))
	<-failing.Done()
	s.Spawn(func(context.Context) error {
		deaths[how]()
		return nil
	}, traigo.Name("late"))
	select {}
}

func TestCrash(t *testing.T) {
	for how := range deaths {
		for _, mode := range []string{"default", "durable"} {
			t.Run(how+"/"+mode, func(t *testing.T) {
				path := tempLog(t)
				out := rerun(t, "TestDies", how+","+mode, path)
				h, log := readFile(t, path)
				assert.False(t, h.Closed, out)
				assert.False(t, h.Truncated)
				assert.Zero(t, h.Lost())
				assert.Zero(t, h.Damaged)
				assert.Equal(t, history.TaskFailed, taskOf(h, "root/failing").State)
				for i := range 10 {
					assert.Equal(t, history.TaskRunning, taskOf(h, fmt.Sprintf("root/parked-%d", i)).State)
				}
				late := taskOf(h, "root/late")
				if mode == "durable" {
					require.NotNil(t, late)
					assert.Equal(t, history.TaskRunning, late.State)
				}
				t.Logf("%-8s %-8s lines %d, the last event %v, unfinished %d", how, mode, eventLines(log), late != nil, len(unfinished(h)))
			})
		}
	}
}
