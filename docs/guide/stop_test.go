//go:build unix

package guide_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

func TestStopProgram(t *testing.T) {
	program := build(t, programOf(t, "stop.md", 0))
	shows(t, `
$ ./jobs
job 1
^Cstopping: the job is the last
$ echo $?
0
`, interrupted(t, 1, program, "-job", "300ms"))
	shows(t, `
$ ./jobs -job 1m
job 1
^Cstopping: the job is the last
^Cscope "jobs": a second signal: interrupt
$ echo $?
130
`, interrupted(t, 2, program, "-job", "1m", "-grace", "1m"))
	shows(t, `
$ ./jobs -job 1m -grace 1s
job 1
^Cstopping: the job is the last
scope "jobs": signal: interrupt: the grace period of 1s is over
$ echo $?
130
`, interrupted(t, 1, program, "-job", "1m", "-grace", "1s"))
	shows(t, `
$ ./jobs -job 1m -grace 0s
job 1
^Cstopping: the job is the last
scope "jobs": signal: interrupt
$ echo $?
130
`, interrupted(t, 1, program, "-job", "1m", "-grace", "0s"))
}

// interrupted runs the program of the page, and sends it so many signals: one after each
// line. It returns what a terminal would show.
func interrupted(t *testing.T, signals int, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	log := "$ ./jobs " + strings.Join(args, " ") + "\n"
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if strings.HasPrefix(line, "job ") && line != "job 1\n" {
			continue // the signal was late
		}
		log += line
		if signals > 0 {
			assert.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			log += "^C"
			signals--
		}
	}
	_ = cmd.Wait()
	log = strings.NewReplacer(" -job 300ms", "", " -grace 1m", "").Replace(log)
	return fmt.Sprintf("%s$ echo $?\n%d\n", log, cmd.ProcessState.ExitCode())
}

func Example_stopCancelNil() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("search the attic"))
		s.Spawn(func(context.Context) error {
			fmt.Println("found in the cellar")
			s.Cancel(nil) // enough: not an error
			return nil
		}, traigo.Name("search the cellar"))
		return nil
	}, traigo.Name("search"))
	fmt.Println(err)
	// Output:
	// found in the cellar
	// <nil>
}

func Example_stopSentinel() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("commit: disk full") // a real failure, after the cancellation
		}, traigo.Name("write"))
		s.Cancel(errEnough)
		return nil
	}, traigo.Name("copy"))
	fmt.Println(errors.Is(err, errEnough))
	fmt.Println(err)
	// Output:
	// true
	// scope "copy": enough; also: task "write": commit: disk full
}

func Example_stopQuietFailure() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("commit: disk full")
		}, traigo.Name("write"))
		s.Cancel(nil)
		return nil
	}, traigo.Name("copy"), traigo.Logger(logger))
	fmt.Println(err)
	// Output:
	// level=WARN msg="traigo: a task has failed after its scope had ended without an error, which remains so" scope=copy task=copy/write err="commit: disk full"
	// <nil>
}

func Example_stopCause() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println(ctx.Err())
			fmt.Println(context.Cause(ctx))
			return ctx.Err()
		}, traigo.Name("download"))
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("upload"))
		return nil
	}, traigo.Name("sync"))
	fmt.Println(err)
	// Output:
	// context canceled
	// scope "sync" canceled: task failed: task "sync/upload": connection reset
	// scope "sync": task "upload": connection reset
}

func Example_stopKind() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			if c, ok := errors.AsType[*traigo.Cancellation](context.Cause(ctx)); ok {
				fmt.Printf("%v, by %q\n", c.Kind, c.Task)
			}
			return ctx.Err()
		})
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("upload"))
		return nil
	}, traigo.Name("sync"))
	fmt.Println(errors.Is(err, errReset))
	// Output:
	// task failed, by "sync/upload"
	// true
}

func Example_stopShield() {
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			// ctx is done, so a call that takes it would fail at once.
			return traigo.Shield(ctx, 5*time.Second, func(ctx context.Context) error {
				return rollback(ctx)
			})
		}, traigo.Name("transaction"))
		s.Cancel(nil)
		return nil
	})
	fmt.Println(err)
	// Output:
	// rolled back
	// <nil>
}

func rollback(ctx context.Context) error {
	if ctx.Err() == nil {
		fmt.Println("rolled back")
	}
	return ctx.Err()
}

func Example_stopShutdown() {
	s := traigo.New(ctx, traigo.Name("app"))
	s.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx)
		fmt.Println("no new work")
		return nil
	}, traigo.Name("polite"))
	s.Spawn(untilCanceled, traigo.Name("deaf"))

	grace, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errors.New("the grace period is over"))
	defer cancel()
	fmt.Println(s.Shutdown(grace))
	// Output:
	// no new work
	// scope "app": the grace period is over
}

func Example_stopNew() {
	upload := func() error {
		s := traigo.New(ctx, traigo.Name("upload"))
		defer s.Close() // drops the error
		s.Spawn(func(context.Context) error { return errReset })
		<-s.Done()
		return nil
	}
	fmt.Println(upload())

	checked := func() (err error) {
		s := traigo.New(ctx, traigo.Name("upload"))
		defer func() { err = errors.Join(err, s.Close()) }()
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("send"))
		<-s.Done()
		return nil
	}
	fmt.Println(checked())
	// Output:
	// <nil>
	// scope "upload": task "send": connection reset
}

// The exit statuses that the page names.
func TestStopStatus(t *testing.T) {
	for body, want := range map[string]int{
		`return nil`:                0,
		`return errors.New("full")`: 1,
		`panic("oops")`:             2,
		`s.Spawn(func(context.Context) error { panic("oops") }); return nil`: 2,
	} {
		program := build(t, `package main
import ("context"; "errors"; "github.com/traigo/traigo"; "github.com/traigo/traigo/serve")
var _ = errors.New
func main() { serve.Main(func(_ context.Context, s *traigo.Scope) error { `+body+` }) }`)
		cmd := exec.CommandContext(t.Context(), program)
		_ = cmd.Run()
		assert.Equal(t, want, cmd.ProcessState.ExitCode(), body)
	}
}

// A task that waits for its own scope is logged.
func TestStopWaitsForItself(t *testing.T) {
	for name, wait := range map[string]func(*traigo.Scope) error{"Wait": (*traigo.Scope).Wait, "Close": (*traigo.Scope).Close} {
		log := inBubble(t, func(logger *slog.Logger) {
			s := traigo.New(ctx, traigo.Name("app"), traigo.Timeout(time.Minute), traigo.CancelTimeout(time.Minute), traigo.Logger(logger))
			s.Spawn(func(context.Context) error { return wait(s) }, traigo.Name("end"))
			<-s.Done()
			assert.Error(t, s.Err(), "the task is given up")
		})
		assert.Contains(t, log, `is waited for by task \"app/end\", which is a part of it`, name)
	}
}

// What the page says of context.Cause.
func TestStopCauseOutside(t *testing.T) {
	outer, cancel := context.WithCancelCause(t.Context())
	err := traigo.Run(outer, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			assert.Equal(t, errEnough, context.Cause(ctx))
			return ctx.Err()
		})
		cancel(errEnough)
		return nil
	})
	assert.ErrorIs(t, err, errEnough)

	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		s.Cancel(errEnough)
		_, ok := errors.AsType[*traigo.Cancellation](context.Cause(ctx))
		assert.True(t, ok)
		return nil
	})

	untilLate := func(ctx context.Context) error {
		<-ctx.Done()
		_, ok := errors.AsType[*traigo.TimeoutError](context.Cause(ctx))
		assert.True(t, ok)
		return ctx.Err()
	}
	_, _ = traigo.MoveOnAfter(t.Context(), time.Millisecond, untilLate)
	assert.Error(t, traigo.FailAfter(t.Context(), time.Millisecond, untilLate))
	assert.Error(t, traigo.Shield(t.Context(), time.Millisecond, untilLate))
}
