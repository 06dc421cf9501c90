//go:build unix

package record_test

import (
	"context"
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

// deaths are the ways in which a process dies.
var deaths = map[string]func(){
	"panic":   func() { go panic("on another goroutine"); select {} },
	"fatal":   func() { var mu sync.Mutex; mu.Unlock() },
	"exit":    func() { os.Exit(3) },
	"SIGTERM": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM); select {} },
	"SIGKILL": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
}

const (
	argVar  = "RECORD_TEST_ARG"
	pathVar = "RECORD_TEST_LOG"
)

// rerun runs one test of this binary in another process. It returns the output.
func rerun(t *testing.T, test, how, mode, path string) (out string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), argVar+"="+how+","+mode, pathVar+"="+path)
	all, _ := cmd.CombinedOutput()
	return string(all)
}

// childArgs returns the arguments of rerun in the process that it has started. In any other
// process it skips the test.
func childArgs(t *testing.T) (how, path string, opts []record.Option) {
	t.Helper()
	arg := os.Getenv(argVar)
	if arg == "" {
		t.Skip("it is run in another process, by rerun")
	}
	how, mode, _ := strings.Cut(arg, ",")
	if mode == "durable" {
		opts = modes[1]
	}
	return how, os.Getenv(pathVar), opts
}

// TestDies is the program that dies.
func TestDies(t *testing.T) {
	how, path, opts := childArgs(t)
	rec, err := record.Create(path, opts...)
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
	failing := s.Spawn(fail, traigo.Name("failing"), traigo.Bubble(false))
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
				out := rerun(t, "TestDies", how, mode, path)
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
