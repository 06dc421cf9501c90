//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// namesOf records the paths of the scopes that are closed.
type namesOf struct {
	mu    sync.Mutex
	paths []string
}

func (n *namesOf) Observe(e traigo.Event) {
	if e.Kind == traigo.ScopeClosed {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.paths = append(n.paths, e.Scope.Path())
	}
}

func (n *namesOf) count(pattern string) (found int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		if regexp.MustCompile(pattern).MatchString(p) {
			found++
		}
	}
	return found
}

// See docs/adr/0023.
func TestObserversLearnHowWorkersHaveEnded(t *testing.T) {
	noneLeft(t)
	seen := new(namesOf)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(1), proc.KillAfter(0))
		_, err := crash.Run(ctx, "")
		require.Error(t, err)
		_, err = stuck.Async(s, "", traigo.Timeout(50*time.Millisecond)).Await(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for range 2 {
			_, err = words.Run(ctx, "two words")
			require.NoError(t, err)
		}
		return nil
	}, traigo.Name("prog"), traigo.Observe(seen)))

	for pattern, want := range map[string]int{
		`^prog/pool$`:       1,
		`^prog/pool/start$`: 3,
		`^prog/pool/exit status 3 after 0 calls, peak [1-9]\d* MiB$`:  1,
		`^prog/pool/signal: killed after 0 calls, peak [1-9]\d* MiB$`: 1,
		`^prog/pool/exit status 0 after 2 calls, peak [1-9]\d* MiB$`:  1,
		`^prog/words\[\d+\]$`: 2,
		`^prog/crash\[\d+\]$`: 1,
		`^prog/stuck\[\d+\]$`: 1,
	} {
		assert.Equal(t, want, seen.count(pattern), "%s in\n%s", pattern, strings.Join(seen.paths, "\n"))
	}
}

// A permissiveError says of every error that it is that.
type permissiveError struct{ Text string }

func (e *permissiveError) Error() string { return e.Text }
func (*permissiveError) Is(error) bool   { return true }

// A picky can be encoded, but some of its values cannot be decoded.
type picky struct{ N int }

func (p picky) GobEncode() ([]byte, error) { return []byte{byte(p.N)}, nil }

func (p *picky) GobDecode(data []byte) error {
	if p.N = int(data[0]); p.N == 2 {
		return errors.New("not 2")
	}
	return nil
}

func init() { traigo.RegisterErrorType[*permissiveError]() } //nolint:gochecknoinits // so that it is known in every process

var (
	permissive = proc.Func("worker.permissive", func(_ context.Context, file string) (int, error) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		defer func() { _ = f.Close() }()
		_, _ = f.WriteString("x")
		return 0, &permissiveError{"anything"}
	})
	ownCancellation = proc.Func("worker.own cancellation", func(_ context.Context, _ string) (int, error) {
		err := traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			return traigo.Run(ctx, func(context.Context, *traigo.Scope) error {
				s.Cancel(errEmpty)
				return nil
			})
		})
		c, _ := errors.AsType[*traigo.Error](err)
		inner := &traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: "mine", Err: c.Err}
		return 0, inner
	})
	far = proc.Func("worker.deadline", func(ctx context.Context, _ string) (bool, error) {
		d, ok := ctx.Deadline()
		return ok && d.Before(time.Now()), nil
	})
	noisy = proc.Func("worker.noisy", func(_ context.Context, text string) (int, error) {
		fmt.Fprintln(os.Stderr, text)
		return 0, nil
	})
	pickies = proc.Source("worker.pickies", func(_ context.Context, n int) iter.Seq2[picky, error] {
		return func(yield func(picky, error) bool) {
			for i := range n {
				if !yield(picky{i}, nil) {
					return
				}
			}
		}
	})
)

// A job is run once, whatever its error claims to be.
func TestErrorThatIsEveryErrorDoesNotRunItsJobAgain(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "runs")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, _ = words.Run(ctx, "warm")
		_, err := permissive.Run(ctx, file)
		assert.EqualError(t, err, "anything")
		runs, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, "x", string(runs))
	})
}

func TestCancellationThatIsNotThatOfTheCallIsAnError(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := ownCancellation.Run(ctx, "")
		require.Error(t, err)
		c, ok := errors.AsType[*traigo.Cancellation](err)
		require.True(t, ok, "%T", err)
		assert.Equal(t, "mine", c.Scope)
	})
}

func TestFarDeadlineIsNotInThePast(t *testing.T) {
	noneLeft(t)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error { // which has no other deadline
		isPast, err := far.Async(s, "", traigo.Timeout(math.MaxInt64)).Await(ctx)
		assert.False(t, isPast)
		return err
	}))
}

// What an earlier job has written does not explain the end of a later one.
func TestLastWordsOfAnEarlierJobExplainNothing(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := noisy.Run(ctx, "panic: recovered long ago")
		require.NoError(t, err)
		_, err = crash.Run(ctx, "")
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "long ago")
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }))
}

func TestItemThatCannotBeDecodedEndsTheSequence(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		var got []int
		var last error
		for v, err := range pickies.Run(ctx, 1000) {
			if last = err; err == nil {
				got = append(got, v.N)
			}
		}
		assert.Equal(t, []int{0, 1}, got)
		require.Error(t, last)
		assert.Contains(t, last.Error(), `"worker.pickies" cannot be decoded: not 2`)

		n, err := words.Run(ctx, "the worker goes on")
		require.NoError(t, err)
		assert.Equal(t, 4, n)
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestLaunchHasNoOptionsOfAPool(t *testing.T) {
	for name, o := range map[string]proc.Option{
		"Limit": proc.Limit(1), "IdleTimeout": proc.IdleTimeout(time.Second), "Init": proc.Init(words, ""),
		"Retire": proc.Retire(func(proc.Worker) bool { return true }),
	} {
		assert.Panics(t, func() { _, _ = proc.Launch(t.Context(), "none", o) }, name)
	}
}

// A slowError takes time to be encoded.
type slowError struct{ encoded chan struct{} }

func (c slowError) Error() string {
	<-c.encoded
	return "slow"
}

// An endless cannot be decoded in any time.
type endless struct{ N int }

func (endless) GobEncode() ([]byte, error) { return []byte{0}, nil }

func (*endless) GobDecode([]byte) error {
	select {}
}

var (
	naps = proc.Func("worker.naps", func(_ context.Context, d time.Duration) (int, error) {
		time.Sleep(d)
		return 0, nil
	})
	stopsOnce = proc.Func("worker.stops once", func(_ context.Context, file string) (int, error) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		fmt.Fprintln(f, os.Getpid())
		_ = f.Close()
		if text, _ := os.ReadFile(file); strings.Count(string(text), "\n") == 1 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			select {} // this thread may go on for a moment: another one may have taken the signal
		}
		return 0, nil
	})
	// leaves has a process in a session of its own that has the socket of the worker, or writes to
	// its standard error for ever, and exits.
	leaves = proc.Func("worker.leaves", func(_ context.Context, in [2]string) (int, error) {
		cmd := exec.Command("setsid", "sh", "-c", in[1])
		cmd.Stderr = os.Stderr
		for fd := 3; fd < 64; fd++ {
			if to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasPrefix(to, "socket:") {
				cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), to))
			}
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		for len(read(in[0])) == 0 {
			time.Sleep(time.Millisecond)
		}
		os.Exit(3)
		return 0, nil
	})
	passesEndless = proc.Func("worker.passes endless", func(ctx context.Context, file string) (int, error) {
		write(file, fmt.Sprint(os.Getpid()))
		return takesEndless.Run(ctx, endless{1}) // gob leaves zero values out
	})
	takesEndless = proc.Func("worker.takes endless", func(context.Context, endless) (int, error) { return 0, nil })
	says         = proc.Func("worker.says", func(_ context.Context, n int) (int, error) {
		for range n {
			fmt.Println("to standard output")
			fmt.Fprintln(os.Stderr, "to standard error")
		}
		return n, nil
	})
)

// What counts is how the process has ended: a worker may exit by itself just before it is killed.
func TestKilledAreThoseThatAreKilled(t *testing.T) {
	noneLeft(t)
	seen := new(namesOf)
	var stats proc.Stats
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		p := proc.Open(s, proc.Limit(2), proc.KillAfter(0), quiet())
		for i := range 60 {
			ctx, cancel := context.WithCancel(proc.With(ctx, p))
			time.AfterFunc(time.Duration(i)*200*time.Microsecond, cancel) // about when the worker exits
			_, err := crash.Run(ctx, "")
			cancel()
			require.Error(t, err)
		}
		stats = p.Stats()
		return nil
	}, traigo.Observe(seen)))
	ends := seen.count(`/pool/exit status 3 after`)
	kills := seen.count(`/pool/signal: killed after`)
	assert.LessOrEqual(t, uint64(kills), stats.Killed, "of which some were killed before they served")
	assert.LessOrEqual(t, uint64(ends), stats.Broken)
	assert.Equal(t, stats.Started, stats.Killed+stats.Broken+stats.Retired)
}

// A cancellation that is on its way when the next job begins does not belong to that, and a
// worker that dies after it has begun a job has begun it.
func TestLateCancellationOfOneJobDoesNotRunTheNextTwice(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pids")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, _ = naps.Run(ctx, 0)
		cause := slowError{make(chan struct{})}
		first, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		_, err := naps.Run(first, 100*time.Millisecond)
		require.NoError(t, err)

		ended := callGo(ctx, stopsOnce, file)
		waitUntil(t, func() bool { return len(read(file)) > 0 })
		pid := 0
		_, _ = fmt.Sscan(strings.Join(read(file), " "), &pid)
		close(cause.encoded) // the frame comes to a worker that does not read it
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		got := <-ended
		assert.Error(t, got.err)
		assert.Len(t, read(file), 1, "it was begun once")
	}, proc.KillAfter(time.Minute))
}

func TestStrangerThatHoldsTheSocketHoldsNoCallUp(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := leaves.Run(ctx, [2]string{file, "echo $$ >" + file + "; exec sleep 600"})
		var broken *proc.BrokenWorkerError
		require.ErrorAs(t, err, &broken)
		assert.Equal(t, 3, broken.State.ExitCode())
	})
	killIn(t, file)
}

// slowWriter takes a moment for what it is given.
type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(p), nil
}

func TestStrangerThatWritesForEverHoldsNoCallUp(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := leaves.Run(ctx, [2]string{file, "echo $$ >" + file + "; while :; do echo again >&2; done"})
		assert.Error(t, err)
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = slowWriter{} }))
	killIn(t, file)
}

// killIn kills the process whose number is in a file.
func killIn(t *testing.T, file string) {
	t.Helper()
	pid := 0
	_, _ = fmt.Sscan(strings.Join(read(file), " "), &pid)
	require.Greater(t, pid, 1)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// The worker of a worker decodes an argument, which has no end, when its parent is killed.
func TestWorkerThatDecodesForEverGoesWithItsParent(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "pid")
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		ended := callGo(ctx, passesEndless, file)
		waitUntil(t, func() bool { return len(read(file)) > 0 && len(others()) == 2 })
		time.Sleep(50 * time.Millisecond) // until it decodes
		killIn(t, file)
		assert.Error(t, (<-ended).err)
		waitUntil(t, func() bool { return len(others()) == 0 })
	})
}

func TestCauseThatHoldsABrokenWorkerIsTheCause(t *testing.T) {
	noneLeft(t)
	cause := fmt.Errorf("given up: %w", &proc.BrokenWorkerError{Err: errEmpty})
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		inner, cancel := context.WithCancelCause(ctx)
		ended := callGo(inner, words, "any")
		waitUntil(t, func() bool { return len(others()) > 0 })
		cancel(cause)
		assert.Same(t, cause, (<-ended).err)
	}, proc.Command(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Environ(), "CALL_HANGS_AT_START=1") }))
}

// A buffer that is no use to two goroutines at once.
func TestOneWriterForBothOutputsIsCalledByOneGoroutine(t *testing.T) {
	noneLeft(t)
	var both strings.Builder
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		proc.Open(s, proc.Limit(1), proc.Command(func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = &both, &both }))
		_, err := says.Run(ctx, 200)
		return err
	}))
	assert.Equal(t, 200, strings.Count(both.String(), "to standard output\n"))
	assert.Equal(t, 200, strings.Count(both.String(), "to standard error\n"))
}

func TestCommandsThatNoWorkerWouldAccept(t *testing.T) {
	noneLeft(t)
	for name, flags := range map[string]uintptr{"CLONE_NEWPID": syscall.CLONE_NEWPID, "CLONE_NEWUSER": syscall.CLONE_NEWUSER} {
		withPool(t, func(ctx context.Context, p *proc.Pool) {
			_, err := words.Run(ctx, "any")
			require.ErrorIs(t, err, proc.ErrNotServed, name)
			assert.Contains(t, err.Error(), name)
			assert.Zero(t, p.Stats().Started)
		}, proc.Command(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags} }))
	}
}

func TestWorkerMayHaveASessionOfItsOwn(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		n, err := words.Run(ctx, "two words")
		require.NoError(t, err)
		assert.Equal(t, 2, n)
	}, proc.Command(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }))
}

// The loop holds the only place. It is said once, after 10 s.
func TestCallThatWaitsForItselfIsLogged(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 10 s")
	}
	noneLeft(t)
	said := new(output)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
	defer slog.SetDefault(before)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		for _, err := range squares.Run(ctx, 1) {
			require.NoError(t, err)
			inner, cancel := context.WithCancel(ctx)
			ended := callGo(inner, words, "any")
			waitUntil(t, func() bool { return strings.Contains(said.String(), "has waited 10s for a worker") })
			cancel()
			<-ended
		}
		assert.Equal(t, 1, strings.Count(said.String(), "has waited"))
		assert.Contains(t, said.String(), "running=[squares]")
	})
}
