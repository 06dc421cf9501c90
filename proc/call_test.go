//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// What a process of these tests does before main, if its environment says so.
var _ = func() bool {
	if os.Getenv("CALL_HANGS_AT_START") != "" {
		for {
			time.Sleep(time.Hour)
		}
	}
	return true
}()

// Functions of which a test sees that they have begun: the first line of their file.

var (
	callSpin = proc.Func("call.spin", func(_ context.Context, file string) (none, error) {
		callBegin(file)
		callSpinning()
		return none{}, nil
	})
	callStubborn = proc.Func("call.stubborn", callHolding)
	callWait     = proc.Func("call.wait", callWaiting)
	callCount    = proc.Func("call.count", func(context.Context, none) (int64, error) { return callCounter.Add(1), nil })
	callListen   = proc.Func("call.listen", callListening)
	callSay      = proc.Func("call.say", callSaying)
	callScope    = proc.Func("call.scope", callScoped)
	callFail     = proc.Func("call.fail", func(_ context.Context, how string) (string, error) { return "besides", callFailures[how].err() })
	callPanic    = proc.Func("call.panic", callPanicking)
	callEnd      = proc.Func("call.end", callEnding)
	callAlone    = proc.Func("call.alone", callBeingAlone)
	callNest     = proc.Func("call.nest", callNesting)
	callEcho     = proc.Func("call.echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	callMark     = proc.Func("call.mark", callMarking)
)

func callBegin(file string) {
	if file != "" {
		write(file, strconv.Itoa(os.Getpid()))
	}
}

func callSpinning() {
	for n := uint64(0); ; n++ {
	}
}

type callHow struct{ How, File string }

// callHolding ignores ctx in one of many ways.
func callHolding(_ context.Context, in callHow) (none, error) {
	callBegin(in.File)
	switch in.How {
	case "spins":
		callSpinning()
	case "spins on all processors":
		for range 8 {
			go callSpinning()
		}
		callSpinning()
	case "sleeps in a system call":
		for {
			_ = syscall.Nanosleep(&syscall.Timespec{Sec: 3600}, nil)
		}
	case "reads a pipe":
		var fds [2]int
		if err := syscall.Pipe(fds[:]); err != nil {
			return none{}, err
		}
		for {
			_, _ = syscall.Read(fds[0], make([]byte, 1))
		}
	case "is stopped":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "waits for ever":
		select {}
	case "has children":
		cmd := exec.Command("sleep", "3600")
		if err := cmd.Start(); err != nil {
			return none{}, err
		}
		write(in.File, strconv.Itoa(cmd.Process.Pid))
		select {}
	}
	select {}
}

// callWaiting returns, with its process, when there is a file. It hears ctx.
func callWaiting(ctx context.Context, in callHow) (int, error) {
	callBegin(in.File)
	for ctx.Err() == nil {
		if _, err := os.Stat(in.How); err == nil {
			return os.Getpid(), nil
		}
		_ = traigo.Sleep(ctx, 2*time.Millisecond)
	}
	return 0, context.Cause(ctx)
}

var callCounter atomic.Int64

// A callResult is what a call has returned.
type callResult[Out any] struct {
	out Out
	err error
}

// callGo makes a call on another goroutine.
func callGo[In, Out any](ctx context.Context, f *proc.Function[In, Out], in In) <-chan callResult[Out] {
	c := make(chan callResult[Out], 1)
	go func() {
		out, err := f.Run(ctx, in)
		c <- callResult[Out]{out, err}
	}()
	return c
}

// callHasEnded reports whether a call of callGo has returned.
func callHasEnded[Out any](c <-chan callResult[Out]) bool { return len(c) > 0 }

// callBegun waits until a job has begun, and returns its process.
func callBegun(t *testing.T, file string, lines ...int) int {
	t.Helper()
	n := 1
	if len(lines) > 0 {
		n = lines[0]
	}
	waitUntil(t, func() bool { return len(read(file)) >= n }, "the job has begun")
	pid, err := strconv.Atoi(read(file)[n-1])
	require.NoError(t, err)
	return pid
}

func callFile(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }

var errCallCause = errors.New("the cause of the test")

// P4: places and workers.

func TestCallOfACanceledContextStartsNothing(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		canceled, cancel := context.WithCancelCause(ctx)
		cancel(errCallCause)
		got, err := getPid.Run(canceled, none{})
		assert.Same(t, errCallCause, err)
		assert.Zero(t, got)
		for _, err := range functionSource.Run(canceled, none{}) {
			assert.Same(t, errCallCause, err)
		}

		late, cancelLate := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer cancelLate()
		_, err = getPid.Run(late, none{})
		assert.Equal(t, context.Cause(late), err)
		stats := p.Stats()
		assert.Zero(t, stats.Started)
		assert.Zero(t, stats.Calls)
		assert.Empty(t, others())
	})
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errCallCause)
	_, err := getPid.Run(canceled, none{})
	assert.Same(t, errCallCause, err, "without a pool")
	assert.Empty(t, others())
}

func TestWhoCameFirstIsServedFirst(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file, release := callFile(t, "file"), callFile(t, "release")
		first := callGo(ctx, callWait, callHow{release, file})
		callBegun(t, file)
		const n = 12
		var waiting [n]<-chan callResult[int64]
		var cancels [n]context.CancelCauseFunc
		for i := range n {
			var inner context.Context
			inner, cancels[i] = context.WithCancelCause(ctx)
			waiting[i] = callGo(inner, callCount, none{})
			waitUntil(t, func() bool { return p.Stats().Waiting == i+1 }, "call %d waits", i)
		}
		left := []int{0, 1, 3, 4, 5, 7, 8, 10}
		for _, i := range []int{6, 2, 9, 11} { // waiting hears ctx
			cancels[i](errCallCause)
			got := <-waiting[i]
			assert.Same(t, errCallCause, got.err)
		}
		assert.False(t, callHasEnded(first), "the job before them runs")
		stats := p.Stats()
		assert.Equal(t, len(left), stats.Waiting)
		assert.Equal(t, 1, stats.Busy)
		write(release, "now")
		for i, k := range left {
			got := <-waiting[k]
			require.NoError(t, got.err)
			assert.EqualValues(t, i+1, got.out, "the turn of call %d", k)
		}
		require.NoError(t, (<-first).err)
		for _, cancel := range cancels {
			cancel(nil)
		}
		waitUntil(t, func() bool { return p.Stats().Busy == 0 })
		assert.Zero(t, p.Stats().Waiting)
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestACancelThatMeetsTheTurnLosesNoPlace(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 100 {
			inner, cancel := context.WithCancelCause(ctx)
			var calls []<-chan callResult[int64]
			for range 3 {
				calls = append(calls, callGo(inner, callCount, none{}))
			}
			last := callGo(ctx, callCount, none{})
			time.Sleep(rand.N(300 * time.Microsecond))
			cancel(errCallCause)
			for _, c := range calls {
				if got := <-c; got.err != nil {
					assert.Same(t, errCallCause, got.err)
				}
			}
			require.NoError(t, (<-last).err)
		}
		stats := p.Stats()
		assert.Zero(t, stats.Busy)
		assert.Zero(t, stats.Waiting)
	})
}

func TestTheWorkerThatBecameIdleLastIsTaken(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file := callFile(t, "file")
		var releases []string
		var calls []<-chan callResult[int]
		for i := range 3 {
			releases = append(releases, callFile(t, fmt.Sprint("release", i)))
			calls = append(calls, callGo(ctx, callWait, callHow{releases[i], file}))
			callBegun(t, file, i+1)
		}
		var pids []int
		for _, i := range []int{1, 0, 2} {
			write(releases[i], "now")
			got := <-calls[i]
			require.NoError(t, got.err)
			pids = append(pids, got.out)
		}
		assert.Equal(t, pids[2], pid(ctx, t))
		assert.Equal(t, pids[2], pid(ctx, t))

		again := callFile(t, "again")
		held := callGo(ctx, callWait, callHow{releases[0] + " not yet", again})
		assert.Equal(t, pids[2], callBegun(t, again))
		assert.Equal(t, pids[1], pid(ctx, t), "while that one works, the one before it")
		write(releases[0]+" not yet", "now")
		require.NoError(t, (<-held).err)
		assert.EqualValues(t, 3, p.Stats().Started)
	}, proc.Limit(3))
}

var callJobs atomic.Int64

func callBeingAlone(ctx context.Context, _ none) (bool, error) {
	defer callJobs.Add(-1)
	n := callJobs.Add(1)
	for range 20 {
		runtime.Gosched()
		n = max(n, callJobs.Load())
	}
	return n == 1, nil
}

func TestAWorkerHasOneJobAtATimeAndKeepsItsVariables(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		got, err := traigo.Map(ctx, slices.Values(make([]none, 60)), callAlone.Run)
		require.NoError(t, err)
		assert.NotContains(t, got, false)
		stats := p.Stats()
		assert.LessOrEqual(t, stats.Started, uint64(3))
		assert.EqualValues(t, 60, stats.Calls)
	}, proc.Limit(3))
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		for i := range 5 {
			n, err := callCount.Run(ctx, none{})
			require.NoError(t, err)
			assert.EqualValues(t, i+1, n)
		}
	})
}

// callStop stops a process, and returns when it has stopped.
func callStop(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	waitUntil(t, func() bool { return callState(pid) == "T" }, "process %d is stopped", pid)
}

// callState returns the state of a process: R, S, T, Z and so on; "" if there is none.
func callState(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(text, []byte(") "))
	if len(rest) == 0 {
		return ""
	}
	return string(rest[:1])
}

func TestAnIdleWorkerThatHasDiedIsReplacedUnseen(t *testing.T) {
	noneLeft(t)
	tests := map[string]func(t *testing.T, ctx context.Context, p *proc.Pool, pid int) <-chan callResult[int]{
		"before the call": func(t *testing.T, ctx context.Context, _ *proc.Pool, pid int) <-chan callResult[int] {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			waitUntil(t, func() bool { return isGone(pid) })
			return callGo(ctx, getPid, none{})
		},
		"at the same time": func(t *testing.T, ctx context.Context, _ *proc.Pool, pid int) <-chan callResult[int] {
			callStop(t, pid)
			c := callGo(ctx, getPid, none{})
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			return c
		},
		"before it has read the job": func(t *testing.T, ctx context.Context, p *proc.Pool, pid int) <-chan callResult[int] {
			callStop(t, pid)
			c := callGo(ctx, getPid, none{})
			waitUntil(t, func() bool { s := p.Stats(); return len(s.Workers) == 1 && s.Workers[0].Func == getPid.Name() })
			time.Sleep(rand.N(5 * time.Millisecond)) // it may be written by then, or not
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			return c
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				for range 10 {
					before := pid(ctx, t)
					got := <-test(t, ctx, p, before)
					require.NoError(t, got.err)
					assert.NotEqual(t, before, got.out)
				}
				waitUntil(t, func() bool { return p.Stats().Broken == 10 }, "each is counted")
				assert.EqualValues(t, 11, p.Stats().Started)
			})
		})
	}
}

// A callMarked is the argument of job N. It says in a file that workers map that it was read:
// a byte in memory is there at once, and stays when the process is killed.
type callMarked struct {
	N    int
	File string
}

const callMarks = 1024 // bytes of the file: those of reads, then those of beginnings

// callMapped has the files that this process has mapped.
var callMapped = map[string][]byte{}

func callMap(file string) []byte {
	if b := callMapped[file]; b != nil {
		return b
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, callMarks, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic(err)
	}
	callMapped[file] = b
	return b
}

func (m callMarked) GobEncode() ([]byte, error) { return fmt.Append(nil, m.N, " ", m.File), nil }

func (m *callMarked) GobDecode(data []byte) error {
	n, file, _ := strings.Cut(string(data), " ")
	m.N, _ = strconv.Atoi(n)
	m.File = file
	callMap(file)[m.N] = 1
	return nil
}

func callMarking(_ context.Context, in callMarked) (int, error) {
	callMap(in.File)[callMarks/2+in.N]++
	return os.Getpid(), nil
}

func TestKillsOfIdleWorkersThatRaceCallsAreNotSeen(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		file := callFile(t, "file")
		require.NoError(t, os.WriteFile(file, make([]byte, callMarks), 0o600))
		const n = 100
		errs := 0
		for i := range n {
			idle, err := callMark.Run(ctx, callMarked{n, file})
			require.NoError(t, err)
			isFirst := i%2 == 0 // it is killed before the call, so it cannot have read the job
			killed := make(chan error, 1)
			kill := func() { killed <- syscall.Kill(idle, syscall.SIGKILL) }
			if isFirst {
				kill()
			} else {
				time.AfterFunc(rand.N(300*time.Microsecond), kill)
			}
			_, err = callMark.Run(ctx, callMarked{i, file})
			require.NoError(t, <-killed)
			marks, readErr := os.ReadFile(file)
			require.NoError(t, readErr)
			wasRead, begun := marks[i] == 1, marks[callMarks/2+i]
			switch {
			case err == nil:
				assert.EqualValues(t, 1, begun, "no job is given to two workers")
			case isFirst:
				require.NoError(t, err, "a worker that was dead before the call: was it read? %v", wasRead)
			default:
				errs++
				var broken *proc.BrokenWorkerError
				require.ErrorAs(t, err, &broken)
				assert.Equal(t, idle, broken.Pid)
			}
			waitUntil(t, func() bool { return isGone(idle) }, "it may have died after the call")
		}
		t.Logf("%d of %d that were killed during the call had read the job", errs, n/2)
	})
}

func TestAJobIsNeverGivenToASecondWorker(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"SIGKILL", "exit 0", "exit 3", "closes its socket"} {
		t.Run(how, func(t *testing.T) {
			file := callFile(t, "file")
			withPool(t, func(ctx context.Context, _ *proc.Pool) {
				_ = pid(ctx, t) // so the worker is not new
				_, err := callEnd.Run(ctx, callHow{how, file})
				var broken *proc.BrokenWorkerError
				require.ErrorAs(t, err, &broken)
				assert.NotZero(t, pid(ctx, t), "the pool goes on")
			})
			assert.Len(t, read(file), 1)
		})
	}
}

func TestABrokenWorkerBreaksNoOtherCall(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file, release := callFile(t, "file"), callFile(t, "release")
		held := callGo(ctx, callWait, callHow{release, file})
		callBegun(t, file)
		for range 5 {
			_, err := callEnd.Run(ctx, callHow{How: "exit 3"})
			require.Error(t, err)
		}
		_, err := callEcho.Run(ctx, []byte("x"))
		require.NoError(t, err)
		assert.False(t, callHasEnded(held))
		write(release, "now")
		require.NoError(t, (<-held).err)
		waitUntil(t, func() bool { return p.Stats().Broken == 5 }, "all five are counted")
		assert.EqualValues(t, 7, p.Stats().Started)
	}, proc.Limit(2))
}

func TestRunReturnsWhenTheBrokenWorkerIsReaped(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		for _, how := range []string{"SIGKILL", "exit 0", "closes its socket", "panic on another goroutine"} {
			file := callFile(t, "file")
			_, err := callEnd.Run(ctx, callHow{how, file})
			require.Error(t, err)
			assert.True(t, isGone(callBegun(t, file)), how)
			assert.Empty(t, others(), how)
		}
	})
	file := callFile(t, "file")
	_, err := callEnd.Run(t.Context(), callHow{"exit 3", file})
	require.Error(t, err)
	assert.Empty(t, others(), "without a pool")
	_, err = getPid.Run(t.Context(), none{})
	require.NoError(t, err)
	assert.Empty(t, others(), "without a pool, after a result")
}

// P5: in the worker.

type callKey struct{}

// A callView is what a job sees.
type callView struct {
	Scope, Task, Path string
	Deadline          time.Time
	HasDeadline       bool
	Value             string
	Pid               int
}

// A callScopedIn says what callScoped is to do.
type callScopedIn struct{ How, File, Release string }

var (
	errCallTask = errors.New("a task of the job has failed")
	errCallBody = errors.New("the body of the job has failed")
)

func callScoped(ctx context.Context, in callScopedIn) (callView, error) {
	s := traigo.Current(ctx)
	view := callView{Scope: s.Name(), Path: s.Path(), Pid: os.Getpid()}
	view.Deadline, view.HasDeadline = ctx.Deadline()
	if v := ctx.Value(callKey{}); v != nil {
		view.Value = fmt.Sprint(v)
	}
	switch in.How {
	case "spawns":
		s.Spawn(func(ctx context.Context) error {
			for {
				if _, err := os.Stat(in.Release); err == nil {
					write(in.File, "task")
					return nil
				}
				if err := traigo.Sleep(ctx, 2*time.Millisecond); err != nil {
					return err
				}
			}
		})
		write(in.File, "body")
	case "task fails":
		s.Spawn(func(context.Context) error { return errCallTask }, traigo.Name("the task"))
	case "task fails, body waits":
		s.Spawn(func(context.Context) error { return errCallTask }, traigo.Name("the task"))
		<-ctx.Done()
		return view, context.Cause(ctx)
	case "body fails":
		return view, errCallBody
	case "fails when released":
		_, err := callWaiting(ctx, callHow{in.Release, in.File})
		return view, errors.Join(err, errCallBody)
	case "body fails, task is canceled":
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		return view, errCallBody
	case "both fail":
		s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errCallTask })
		return view, errCallBody
	case "ends itself quietly":
		s.Cancel(nil)
	case "ends itself":
		s.Cancel(errCallTask)
	case "background":
		s.Spawn(func(ctx context.Context) error {
			<-ctx.Done()
			write(in.File, "background")
			return ctx.Err()
		}, traigo.Awaited(false))
	}
	return view, nil
}

func TestAJobIsTheBodyOfAScopeNamedAsTheFunction(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		got, err := callScope.Run(ctx, callScopedIn{})
		require.NoError(t, err)
		assert.Equal(t, "call.scope", got.Scope)
		assert.Equal(t, "call.scope", got.Path)
	})
}

func TestWhatAJobSpawnsIsJoinedBeforeItAnswers(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		file, release := callFile(t, "file"), callFile(t, "release")
		c := callGo(ctx, callScope, callScopedIn{"spawns", file, release})
		waitUntil(t, func() bool { return len(read(file)) == 1 }, "the body has returned")
		for range 20 {
			runtime.Gosched()
			require.False(t, callHasEnded(c))
		}
		write(release, "now")
		got := <-c
		require.NoError(t, got.err)
		assert.Equal(t, "call.scope", got.out.Scope, "the result of the body")
		assert.Equal(t, []string{"body", "task"}, read(file))

		background := callFile(t, "background")
		_, err := callScope.Run(ctx, callScopedIn{How: "background", File: background})
		require.NoError(t, err)
		assert.Equal(t, []string{"background"}, read(background), "what nobody awaits is canceled and joined")
	})
}

func TestTheOutcomeOfTheScopeOfAJobIsItsAnswer(t *testing.T) {
	noneLeft(t)
	tests := []struct {
		how  string
		is   []error
		not  []error
		text string
	}{
		{"", nil, nil, ""},
		{"task fails", []error{errCallTask}, []error{errCallBody}, ""},
		{"task fails, body waits", []error{errCallTask}, []error{errCallBody}, ""},
		{"body fails", []error{errCallBody}, []error{errCallTask}, errCallBody.Error()},
		{"body fails, task is canceled", []error{errCallBody}, []error{errCallTask}, errCallBody.Error()},
		{"both fail", []error{errCallBody, errCallTask}, nil, ""},
		{"ends itself quietly", nil, nil, ""},
		{"ends itself", []error{errCallTask}, nil, ""},
	}
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for _, test := range tests {
			_, err := callScope.Run(ctx, callScopedIn{How: test.how})
			if test.is == nil {
				assert.NoError(t, err, test.how)
				continue
			}
			var remote *traigo.RemoteError
			require.ErrorAs(t, err, &remote, test.how)
			for _, is := range test.is {
				assert.ErrorIs(t, err, is, test.how)
			}
			for _, not := range test.not {
				assert.NotErrorIs(t, err, not, test.how)
			}
			if test.text != "" {
				assert.EqualError(t, err, test.text, "the body's own error alone, as it is: %s", test.how)
			} else if test.how != "ends itself" {
				assert.Contains(t, err.Error(), "call.scope", "says which scope: %s", test.how)
			}
		}
		assert.EqualValues(t, 1, p.Stats().Started, "no failure of a job costs its worker")
	})
}

func TestDeadlinesReachAJobAndValuesDoNot(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		ctx = context.WithValue(ctx, callKey{}, "secret")
		deadline := time.Now().Add(77 * time.Second)
		limited, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		got, err := callScope.Run(limited, callScopedIn{})
		require.NoError(t, err)
		assert.True(t, got.HasDeadline)
		assert.WithinDuration(t, deadline, got.Deadline, time.Millisecond)
		assert.Empty(t, got.Value)

		scoped, err := callScope.Async(traigo.Current(ctx), callScopedIn{}, traigo.Timeout(50*time.Second)).Await(ctx)
		require.NoError(t, err)
		assert.True(t, scoped.HasDeadline, "that of the task")
		assert.WithinDuration(t, time.Now().Add(50*time.Second), scoped.Deadline, 45*time.Second)

		free, err := callScope.Run(proc.With(context.WithoutCancel(ctx), callPoolOf(ctx)), callScopedIn{})
		require.NoError(t, err)
		assert.False(t, free.HasDeadline)
	})
}

// callPoolOf opens a pool of its own for a context without an end.
func callPoolOf(ctx context.Context) *proc.Pool { return proc.Open(traigo.Current(ctx)) }

// A callHeard is what a job heard of its cancellation.
type callHeard struct {
	Err, Cause, Where         string
	IsRemote, IsCause         bool
	IsCanceled, IsDeadline    bool
	HasCancellation           bool
	Kind                      traigo.CancelKind
	Scope, Task               string
	CauseInJoin, IsTimeoutErr bool
}

// callListening waits for its cancellation, and tells of it.
func callListening(ctx context.Context, file string) (callHeard, error) {
	callBegin(file)
	<-ctx.Done()
	cause := context.Cause(ctx)
	h := callHeard{Err: ctx.Err().Error(), Cause: cause.Error()}
	var remote *traigo.RemoteError
	if h.IsRemote = errors.As(cause, &remote); h.IsRemote {
		h.Where = remote.Where
	}
	h.IsCause = errors.Is(cause, errCallRegistered)
	h.IsCanceled = errors.Is(cause, context.Canceled)
	h.IsDeadline = errors.Is(cause, context.DeadlineExceeded)
	var c *traigo.Cancellation
	if h.HasCancellation = errors.As(cause, &c); h.HasCancellation {
		h.Kind, h.Scope, h.Task = c.Kind, c.Scope, c.Task
	}
	var timeout *traigo.TimeoutError
	h.IsTimeoutErr = errors.As(cause, &timeout)
	return h, nil
}

func TestTheCauseReachesTheJob(t *testing.T) {
	noneLeft(t)
	here := fmt.Sprint("process ", os.Getpid())
	// Each makes the call under a context that it cancels when the job has begun.
	tests := map[string]struct {
		call  func(ctx context.Context, begun func(), file string) (callHeard, error)
		check func(t *testing.T, got callHeard)
	}{
		"a registered error": {
			func(ctx context.Context, begun func(), file string) (callHeard, error) {
				ctx, cancel := context.WithCancelCause(ctx)
				go func() { begun(); cancel(errCallRegistered) }()
				return callListen.Run(ctx, file)
			},
			func(t *testing.T, got callHeard) {
				assert.True(t, got.IsCause)
				assert.Equal(t, errCallRegistered.Error(), got.Cause)
				assert.Equal(t, context.Canceled.Error(), got.Err)
			},
		},
		"no cause": {
			func(ctx context.Context, begun func(), file string) (callHeard, error) {
				ctx, cancel := context.WithCancel(ctx)
				go func() { begun(); cancel() }()
				return callListen.Run(ctx, file)
			},
			func(t *testing.T, got callHeard) {
				assert.True(t, got.IsCanceled)
				assert.Equal(t, context.Canceled.Error(), got.Err)
			},
		},
		"a deadline": {
			func(ctx context.Context, _ func(), file string) (callHeard, error) {
				ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				return callListen.Run(ctx, file)
			},
			func(t *testing.T, got callHeard) {
				assert.True(t, got.IsDeadline)
				assert.Equal(t, context.DeadlineExceeded.Error(), got.Err)
			},
		},
		"a scope that is canceled": {
			func(ctx context.Context, begun func(), file string) (got callHeard, err error) {
				_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					go func() { begun(); s.Cancel(errCallRegistered) }()
					got, err = callListen.Run(ctx, file)
					return nil
				}, traigo.Name("canceled"))
				return got, err
			},
			func(t *testing.T, got callHeard) {
				require.True(t, got.HasCancellation)
				assert.Equal(t, traigo.Requested, got.Kind)
				assert.Equal(t, "canceled", filepath.Base(got.Scope))
				assert.True(t, got.IsCause)
			},
		},
		"a task that fails": {
			func(ctx context.Context, begun func(), file string) (got callHeard, err error) {
				_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
					s.Spawn(func(context.Context) error { begun(); return errCallRegistered }, traigo.Name("culprit"))
					got, err = callListen.Run(ctx, file)
					return nil
				}, traigo.Name("failed"))
				return got, err
			},
			func(t *testing.T, got callHeard) {
				require.True(t, got.HasCancellation)
				assert.Equal(t, traigo.TaskFailed, got.Kind)
				assert.Equal(t, "failed", filepath.Base(got.Scope))
				assert.Equal(t, "culprit", filepath.Base(got.Task))
				assert.True(t, got.IsCause)
			},
		},
		"the timeout of a scope": {
			func(ctx context.Context, _ func(), file string) (got callHeard, err error) {
				_ = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
					got, err = callListen.Run(ctx, file)
					return nil
				}, traigo.Name("slow"), traigo.Timeout(300*time.Millisecond))
				return got, err
			},
			func(t *testing.T, got callHeard) {
				require.True(t, got.HasCancellation)
				assert.Equal(t, traigo.TimedOut, got.Kind)
				assert.Equal(t, "slow", filepath.Base(got.Scope))
				assert.True(t, got.IsDeadline)
				assert.True(t, got.IsTimeoutErr)
				assert.Equal(t, context.DeadlineExceeded.Error(), got.Err)
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				file := callFile(t, "file")
				begun := func() {
					for len(read(file)) == 0 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
				}
				got, err := test.call(ctx, begun, file)
				require.NoError(t, err, "an answer that comes in time counts")
				require.True(t, got.IsRemote, "%+v", got)
				assert.Equal(t, here, got.Where)
				test.check(t, got)
				assert.Equal(t, before, pid(ctx, t), "its worker is kept")
				assert.Zero(t, p.Stats().Killed)
			}, proc.KillAfter(time.Minute))
		})
	}
}

// P6: cancel.

func TestAJobThatDoesNotHearIsKilled(t *testing.T) {
	noneLeft(t)
	hows := []string{
		"spins", "spins on all processors", "sleeps in a system call", "reads a pipe", "is stopped", "waits for ever", "has children",
	}
	for _, how := range hows {
		for _, after := range []time.Duration{0, 30 * time.Millisecond} {
			t.Run(fmt.Sprint(how, ", killed after ", after), func(t *testing.T) {
				withPool(t, func(ctx context.Context, p *proc.Pool) {
					file := callFile(t, "file")
					before := pid(ctx, t)
					inner, cancel := context.WithCancelCause(ctx)
					c := callGo(inner, callStubborn, callHow{how, file})
					require.Equal(t, before, callBegun(t, file))
					if how == "is stopped" {
						waitUntil(t, func() bool { return callState(before) == "T" })
					}
					child := 0
					if how == "has children" {
						child = callBegun(t, file, 2)
						require.False(t, isGone(child))
					}
					canceled := time.Now()
					cancel(errCallCause)
					got := <-c
					assert.Same(t, errCallCause, got.err)
					assert.GreaterOrEqual(t, time.Since(canceled), after)
					assert.True(t, isGone(before), "it is reaped when Run returns")
					if child > 0 {
						waitUntil(t, func() bool { s := callState(child); return s == "" || s == "Z" }, "so is its group")
					}
					assert.NotEqual(t, before, pid(ctx, t))
					stats := p.Stats()
					assert.EqualValues(t, 1, stats.Killed)
					assert.EqualValues(t, 2, stats.Started)
					assert.Zero(t, stats.Broken)
				}, proc.KillAfter(after))
			})
		}
	}
}

func TestAKillWithoutAPool(t *testing.T) {
	noneLeft(t)
	file := callFile(t, "file")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := callGo(ctx, callSpin, file)
	pid := callBegun(t, file)
	cancel(errCallCause)
	assert.Same(t, errCallCause, (<-c).err)
	assert.True(t, isGone(pid))
	assert.Empty(t, others())
}

// isWriting reports whether a call of this process is writing its job.
func isWriting() bool {
	stacks := make([]byte, 1<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("proc.(*link).send("))
}

func TestAStoppedWorkerIsKilledWhileItsArgumentIsWritten(t *testing.T) {
	noneLeft(t)
	for _, after := range []time.Duration{0, 20 * time.Millisecond} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				for i := range 4 {
					stopped := pid(ctx, t)
					callStop(t, stopped)
					inner, cancel := context.WithCancelCause(ctx)
					c := callGo(inner, callEcho, make([]byte, 8<<20))
					waitUntil(t, func() bool { s := p.Stats(); return len(s.Workers) == 1 && s.Workers[0].Func == callEcho.Name() })
					if i > 0 { // while it is written; at first before
						waitUntil(t, func() bool { return isWriting() })
					}
					assert.False(t, callHasEnded(c))
					cancel(errCallCause)
					assert.Same(t, errCallCause, (<-c).err)
					if !isGone(stopped) { // nothing was sent to it yet: it is as good as before
						require.NoError(t, syscall.Kill(stopped, syscall.SIGCONT))
					}
				}
				assert.NotZero(t, p.Stats().Killed, "one to which the argument was being written")
				assert.Equal(t, p.Stats().Started, p.Stats().Killed+uint64(len(p.Stats().Workers)))
				got, err := callEcho.Run(ctx, make([]byte, 8<<20))
				require.NoError(t, err)
				assert.Len(t, got, 8<<20)
			}, proc.KillAfter(after))
		})
	}
}

func TestAWorkerThatHasNotStartedIsKilled(t *testing.T) {
	noneLeft(t)
	hang := proc.Command(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Environ(), "CALL_HANGS_AT_START=1") })
	for _, after := range []time.Duration{0, 30 * time.Millisecond} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				inner, cancel := context.WithCancelCause(ctx)
				c := callGo(inner, getPid, none{})
				waitUntil(t, func() bool { return len(others()) > 0 })
				assert.Equal(t, 1, p.Stats().Busy)
				cancel(errCallCause)
				assert.Same(t, errCallCause, (<-c).err)
				assert.Empty(t, others())
				stats := p.Stats()
				assert.Zero(t, stats.Busy)
				assert.EqualValues(t, 1, stats.Started, "started")
				assert.EqualValues(t, 1, stats.Killed, "killed because of a cancellation")
				assert.Zero(t, stats.Broken)
				assert.Zero(t, stats.Calls)
			}, hang, proc.KillAfter(after))
		})
	}
}

type callSayIn struct{ How, File string }

// callSaying waits for its cancellation, and answers in one of many ways.
func callSaying(ctx context.Context, in callSayIn) (string, error) {
	callBegin(in.File)
	<-ctx.Done()
	switch in.How {
	case "ctx.Err":
		return "x", ctx.Err()
	case "the cause":
		return "x", context.Cause(ctx)
	case "wrapped":
		return "x", fmt.Errorf("while I worked: %w", context.Cause(ctx))
	case "ctx.Err and the cause":
		return "x", errors.Join(ctx.Err(), context.Cause(ctx))
	case "a result":
		return "done", nil
	case "an error":
		return "half", errCallRegistered
	case "an error and ctx.Err":
		return "half", errors.Join(ctx.Err(), errCallRegistered)
	case "a panic":
		panic("at the end")
	case "an exit":
		os.Exit(0)
	}
	return "", nil
}

func TestAnAnswerAfterTheCancel(t *testing.T) {
	noneLeft(t)
	tests := []struct {
		how   string
		out   string
		err   error // nil: none
		cause bool
	}{
		{"ctx.Err", "", nil, true},
		{"the cause", "", nil, true},
		{"wrapped", "", nil, true},
		{"ctx.Err and the cause", "", nil, true},
		{"a result", "done", nil, false},
		{"an error", "half", errCallRegistered, false},
		{"an error and ctx.Err", "half", errCallRegistered, false},
	}
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		for _, test := range tests {
			file := callFile(t, "file")
			inner, cancel := context.WithCancelCause(ctx)
			c := callGo(inner, callSay, callSayIn{test.how, file})
			callBegun(t, file)
			cancel(errCallCause)
			got := <-c
			switch {
			case test.cause:
				assert.Same(t, errCallCause, got.err, test.how)
			case test.err != nil:
				assert.ErrorIs(t, got.err, test.err, test.how)
				var remote *traigo.RemoteError
				assert.ErrorAs(t, got.err, &remote, test.how)
			default:
				assert.NoError(t, got.err, test.how)
			}
			if !test.cause {
				assert.Equal(t, test.out, got.out, test.how)
			}
			assert.Equal(t, before, pid(ctx, t), "%s: its worker is kept", test.how)
		}
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(time.Minute))
}

func TestAPanicOrAnExitAfterTheCancelIsNotHidden(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		file := callFile(t, "file")
		inner, cancel := context.WithCancelCause(ctx)
		go func() {
			for len(read(file)) == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel(errCallCause)
		}()
		value := recovered(func() { _, _ = callSay.Run(inner, callSayIn{"a panic", file}) })
		require.IsType(t, (*traigo.PanicError)(nil), value)

		file = callFile(t, "file")
		inner, cancel = context.WithCancelCause(ctx)
		c := callGo(inner, callSay, callSayIn{"an exit", file})
		callBegun(t, file)
		cancel(errCallCause)
		var broken *proc.BrokenWorkerError
		assert.ErrorAs(t, (<-c).err, &broken, "it was not killed")
	}, proc.KillAfter(time.Minute))
}

func TestACancelAndItsTimerDoNotHitTheNextJob(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		for range 2 {
			file := callFile(t, "file")
			inner, cancel := context.WithCancelCause(ctx)
			c := callGo(inner, callSay, callSayIn{"a result", file})
			callBegun(t, file)
			cancel(errCallCause)
			require.NoError(t, (<-c).err)

			// The next job lasts longer than from a cancel to the kill.
			next, release := callFile(t, "next"), callFile(t, "release")
			time.AfterFunc(1200*time.Millisecond, func() { write(release, "now") })
			got, err := callWait.Run(ctx, callHow{release, next})
			require.NoError(t, err)
			assert.Equal(t, before, got)
		}
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(time.Second))
}

func TestACancelThatRacesTheAnswer(t *testing.T) {
	noneLeft(t)
	for _, after := range []time.Duration{0, 100 * time.Microsecond, time.Second} {
		withPool(t, func(ctx context.Context, p *proc.Pool) {
			for range 60 {
				inner, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(rand.N(300*time.Microsecond), func() { cancel(errCallCause) })
				if _, err := callCount.Run(inner, none{}); err != nil {
					require.Same(t, errCallCause, err)
				}
				_, err := callEcho.Run(ctx, []byte("the next call knows nothing of it"))
				require.NoError(t, err)
				cancel(nil)
			}
			stats := p.Stats()
			assert.Zero(t, stats.Busy)
			waitUntil(t, func() bool {
				s := p.Stats()
				return s.Started == s.Killed+s.Broken+s.Retired+uint64(len(s.Workers))
			}, "the counts agree: %+v", stats)
			assert.Zero(t, p.Stats().Broken)
		}, proc.KillAfter(after))
	}
}

func TestTheScopeCountsAKilledCallAsNoFailure(t *testing.T) {
	noneLeft(t)
	for _, cause := range []error{nil, errCallCause} {
		file := callFile(t, "file")
		err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
			proc.Open(s, proc.KillAfter(0))
			s.Spawn(func(ctx context.Context) error {
				_, err := callSpin.Run(ctx, file)
				return err
			})
			callBegun(t, file)
			s.Cancel(cause)
			return nil
		})
		if cause == nil {
			assert.NoError(t, err)
			continue
		}
		var outcome *traigo.Error
		require.ErrorAs(t, err, &outcome)
		assert.ErrorIs(t, outcome.Err, cause)
		assert.Empty(t, outcome.Others)
	}
}

func TestACanceledCallReturnsTheCauseOfItsContextItself(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for _, end := range []func(s *traigo.Scope, t *traigo.Task){
			func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(errCallCause) },
			func(s *traigo.Scope, _ *traigo.Task) { s.Cancel(nil) },
			func(_ *traigo.Scope, t *traigo.Task) { t.Cancel(errCallCause) },
			func(s *traigo.Scope, _ *traigo.Task) { s.SetTimeout(time.Nanosecond) },
		} {
			file := callFile(t, "file")
			s := traigo.Current(ctx).Fork()
			task := s.Spawn(func(ctx context.Context) error {
				_, err := callSpin.Run(ctx, file)
				assert.Same(t, context.Cause(ctx), err)
				return err
			})
			callBegun(t, file)
			end(s, task)
			_ = s.Wait()
			assert.NoError(t, ctx.Err())
		}
		assert.EqualValues(t, 4, p.Stats().Killed)
	}, proc.KillAfter(0))
}

func TestATaskThatIsCanceledAloneHasNotFailed(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file := callFile(t, "file")
		f := callSpin.Async(traigo.Current(ctx), file)
		callBegun(t, file)
		f.Task().Cancel(errCallCause)
		_, err := f.Await(ctx)
		require.ErrorIs(t, err, errCallCause)
		assert.False(t, f.Task().Failed())
		assert.EqualValues(t, 1, p.Stats().Killed)
	}, proc.KillAfter(0))
}

func TestAJobOutlivesADeadlineThatWasMoved(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file, release := callFile(t, "file"), callFile(t, "release")
		s := traigo.Current(ctx).Fork(traigo.Timeout(time.Second))
		f := callScope.Async(s, callScopedIn{"fails when released", file, release})
		waitUntil(t, func() bool { return len(read(file)) == 1 })
		s.SetTimeout(time.Minute)
		time.AfterFunc(1500*time.Millisecond, func() { write(release, "now") })
		_, err := f.Await(ctx)
		require.EqualError(t, err, errCallBody.Error(), "the old deadline has passed, and is none")
		s.Finalize()
		assert.Zero(t, p.Stats().Killed)
	})
}

func TestAShieldAroundACallKeepsItFromTheCancel(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		file, release := callFile(t, "file"), callFile(t, "release")
		inner, cancel := context.WithCancelCause(ctx)
		done := make(chan error, 1)
		go func() {
			done <- traigo.Shield(inner, time.Minute, func(ctx context.Context) error {
				_, err := callWait.Run(ctx, callHow{release, file})
				return err
			})
		}()
		callBegun(t, file)
		cancel(errCallCause)
		write(release, "now")
		require.NoError(t, <-done)
		assert.Zero(t, p.Stats().Killed)
	}, proc.KillAfter(0))
}

// P7: errors.

var (
	errCallRegistered = errors.New("sold out")
	errCallTwin       = errors.New("sold out") // has the same text
)

// A callError is registered, and wraps what it does not export.
type callError struct {
	Code  int
	Names []string
	cause error
}

func (e *callError) Error() string               { return fmt.Sprintf("code %d: %v", e.Code, e.cause) }
func (e *callError) Unwrap() error               { return e.cause }
func (e *callError) WithCause(cause error) error { return &callError{e.Code, e.Names, cause} }

// A callCodeError is registered, and no pointer.
type callCodeError struct{ Code int }

func (e callCodeError) Error() string { return fmt.Sprint("code ", e.Code) }

// A callUnknownError is not registered.
type callUnknownError struct{ Code int }

func (e *callUnknownError) Error() string { return fmt.Sprint("unknown ", e.Code) }

// A callStrangeError is registered but cannot always be encoded.
type callStrangeError struct{ Any any }

func (e *callStrangeError) Error() string { return "strange" }

// Errors with methods that panic, or that do not end.
type (
	callPanicsError struct{ on string }
	callLoopError   struct{}
	callManyErrors  []error // cannot be compared
)

func (e *callPanicsError) Error() string {
	if e.on == "Error" {
		panic("no text")
	}
	return "panics on " + e.on
}

func (e *callPanicsError) Unwrap() error {
	if e.on == "Unwrap" {
		panic("no Unwrap")
	}
	return nil
}

func (e *callPanicsError) Is(error) bool {
	if e.on == "Is" {
		panic("no Is")
	}
	return false
}

func (e *callLoopError) Error() string { return "loop" }
func (e *callLoopError) Unwrap() error { return e }
func (e callManyErrors) Error() string { return "many" }
func (e callManyErrors) Unwrap() []error {
	return e
}

var _ = func() bool {
	traigo.RegisterError(errCallRegistered, errCallTask, errCallBody)
	traigo.RegisterErrorType[*callError]()
	traigo.RegisterErrorType[callCodeError]()
	traigo.RegisterErrorType[*callStrangeError]()
	return true
}()

// A callFailure is an error that a job returns, and how it is to be seen here.
type callFailure struct {
	err   func() error
	check func(t *testing.T, err error)
}

func callIs(err error, text string) callFailure {
	return callFailure{func() error { return err }, func(t *testing.T, got error) {
		assert.ErrorIs(t, got, err)
		if text != "" {
			assert.EqualError(t, got, text)
		}
	}}
}

var callFailures map[string]callFailure

var _ = func() bool { // not where it is declared: the check of one is a function of the package
	deep := fmt.Errorf("outer: %w", &callError{4, []string{"a"}, fmt.Errorf("inner: %w", &callError{5, nil, io.EOF})})
	callFailures = map[string]callFailure{
		"registered":                   callIs(errCallRegistered, "sold out"),
		"EOF":                          callIs(io.EOF, "EOF"),
		"unexpected EOF":               callIs(io.ErrUnexpectedEOF, ""),
		"closed pipe":                  callIs(io.ErrClosedPipe, ""),
		"canceled":                     callIs(context.Canceled, ""),
		"deadline":                     callIs(context.DeadlineExceeded, ""),
		"not exist":                    callIs(fs.ErrNotExist, ""),
		"exist":                        callIs(fs.ErrExist, ""),
		"permission":                   callIs(fs.ErrPermission, ""),
		"closed":                       callIs(fs.ErrClosed, ""),
		"invalid":                      callIs(fs.ErrInvalid, ""),
		"os deadline":                  callIs(os.ErrDeadlineExceeded, ""),
		"process done":                 callIs(os.ErrProcessDone, ""),
		"unsupported":                  callIs(errors.ErrUnsupported, ""),
		"errno":                        callIs(syscall.ECONNREFUSED, ""),
		"refused":                      callIs(traigo.ErrRefused, ""),
		"goexit":                       callIs(traigo.ErrGoexit, ""),
		"not ready":                    callIs(traigo.ErrNotReady, ""),
		"too large":                    callIs(proc.ErrTooLarge, ""),
		"memory":                       callIs(proc.ErrMemory, ""),
		"not served":                   callIs(proc.ErrNotServed, ""),
		"a registered type of a value": callIs(callCodeError{3}, "code 3"),
		"wrapped": {
			func() error { return fmt.Errorf("shop: %w", errCallRegistered) },
			func(t *testing.T, err error) {
				assert.ErrorIs(t, err, errCallRegistered)
				assert.EqualError(t, err, "shop: sold out")
			},
		},
		"another of the same text": {
			func() error { return errCallTwin },
			func(t *testing.T, err error) {
				assert.NotErrorIs(t, err, errCallRegistered)
				assert.NotErrorIs(t, err, errCallTwin)
				assert.EqualError(t, err, "sold out")
			},
		},
		"a registered type": {
			func() error { return deep },
			func(t *testing.T, err error) {
				assert.EqualError(t, err, deep.Error())
				var got *callError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, 4, got.Code)
				assert.Equal(t, []string{"a"}, got.Names)
				require.ErrorIs(t, got, io.EOF, "it has got what it wrapped")
				var below *callError
				require.ErrorAs(t, got.cause, &below)
				assert.Equal(t, 5, below.Code)
				assert.ErrorIs(t, below.cause, io.EOF)
				assert.Equal(t, deep.Error(), "outer: "+got.Error())
			},
		},
		"an unknown type": {
			func() error { return fmt.Errorf("x: %w", &callUnknownError{6}) },
			func(t *testing.T, err error) {
				assert.EqualError(t, err, "x: unknown 6")
				var unknown *callUnknownError
				assert.NotErrorAs(t, err, &unknown)
			},
		},
		"joined": {
			func() error { return errors.Join(errCallRegistered, io.EOF, &callError{7, nil, nil}) },
			func(t *testing.T, err error) {
				assert.ErrorIs(t, err, errCallRegistered)
				assert.ErrorIs(t, err, io.EOF)
				var got *callError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, 7, got.Code)
			},
		},
		"a file that does not exist": {
			func() error { _, err := os.Open("/no/such/file"); return fmt.Errorf("open: %w", err) },
			func(t *testing.T, err error) {
				assert.ErrorIs(t, err, fs.ErrNotExist)
				assert.ErrorIs(t, err, syscall.ENOENT)
				var got *fs.PathError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, "open", got.Op)
				assert.Equal(t, "/no/such/file", got.Path)
				assert.Equal(t, syscall.ENOENT, got.Err)
				assert.EqualError(t, err, "open: open /no/such/file: no such file or directory")
			},
		},
		"a cancellation": {
			func() error {
				return fmt.Errorf("x: %w", &traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "a/b", Task: "a/b/c", Err: errCallRegistered})
			},
			func(t *testing.T, err error) {
				var got *traigo.Cancellation
				require.ErrorAs(t, err, &got)
				assert.Equal(t, traigo.TaskFailed, got.Kind)
				assert.Equal(t, "a/b", got.Scope)
				assert.Equal(t, "a/b/c", got.Task)
				assert.ErrorIs(t, got, errCallRegistered)
				assert.ErrorIs(t, err, errCallRegistered)
				assert.ErrorIs(t, err, context.Canceled)
			},
		},
		"a timeout": {
			func() error { return &traigo.TimeoutError{Scope: "a/b", After: time.Minute} },
			func(t *testing.T, err error) {
				var got *traigo.TimeoutError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, "a/b", got.Scope)
				assert.Equal(t, time.Minute, got.After)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			},
		},
		"a type that cannot be encoded": {
			func() error { return &callStrangeError{functionAlien{"d"}} },
			func(t *testing.T, err error) { assert.EqualError(t, err, "strange") },
		},
		"Error panics": {
			func() error { return fmt.Errorf("x: %w", errors.Join(&callPanicsError{"Error"}, io.EOF)) },
			func(t *testing.T, err error) { assert.ErrorIs(t, err, io.EOF) },
		},
		"Error panics at the top": {
			func() error { return &callPanicsError{"Error"} },
			func(t *testing.T, err error) { assert.Contains(t, fmt.Sprintf("%+v", err), "callPanicsError") },
		},
		"Unwrap panics": {
			func() error { return &callPanicsError{"Unwrap"} },
			func(t *testing.T, err error) { assert.EqualError(t, err, "panics on Unwrap") },
		},
		"Is panics": {
			func() error { return &callPanicsError{"Is"} },
			func(t *testing.T, err error) { assert.EqualError(t, err, "panics on Is") },
		},
		"a typed nil": {
			func() error { var e *callUnknownError; return e },
			func(t *testing.T, err error) { assert.Contains(t, fmt.Sprintf("%+v", err), "callUnknownError") },
		},
		"an error in itself": {
			func() error { return &callLoopError{} },
			func(t *testing.T, err error) { assert.EqualError(t, err, "loop") },
		},
		"not comparable": {
			func() error { return callManyErrors{io.EOF, errCallRegistered} },
			func(t *testing.T, err error) {
				assert.ErrorIs(t, err, io.EOF)
				assert.ErrorIs(t, err, errCallRegistered)
			},
		},
		"thousands of errors": {
			func() error {
				errs := []error{errCallRegistered}
				for i := range 5000 {
					errs = append(errs, fmt.Errorf("error %d", i))
				}
				return errors.Join(errs...)
			},
			func(t *testing.T, err error) {
				assert.ErrorIs(t, err, errCallRegistered)
				assert.LessOrEqual(t, callCountErrors(err), 200, "at most 100, and the values of those that are registered")
			},
		},
		"a long text": {
			func() error { return errors.New(strings.Repeat("é", 1<<20)) },
			func(t *testing.T, err error) {
				assert.LessOrEqual(t, len(err.Error()), 64<<10)
				assert.Greater(t, len(err.Error()), 60<<10)
			},
		},
		"many long texts": {
			func() error {
				errs := []error{errCallRegistered}
				for range 60 {
					errs = append(errs, errors.New(strings.Repeat("\"\n\x01", 25<<10)))
				}
				return errors.Join(errs...)
			},
			func(t *testing.T, err error) { assert.ErrorIs(t, err, errCallRegistered) },
		},
		"a text that is no UTF-8": {
			func() error { return errors.New("a\xffb\x00c") },
			func(t *testing.T, err error) { assert.Contains(t, err.Error(), "b\x00c") },
		},
	}
	return true
}()

func callCountErrors(err error) int {
	n := 1
	switch x := any(err).(type) {
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			n += callCountErrors(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			n += callCountErrors(inner)
		}
	}
	return n
}

func TestErrorsOfAllKindsCross(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for how, test := range callFailures {
			t.Run(how, func(t *testing.T) {
				before := pid(ctx, t)
				for range 2 {
					out, err := callFail.Run(ctx, how)
					var remote *traigo.RemoteError
					require.ErrorAs(t, err, &remote)
					assert.Equal(t, fmt.Sprint("process ", before), remote.Where)
					assert.Equal(t, "besides", out, "what the function has returned besides")
					detail := fmt.Sprintf("%+v", err)
					assert.Contains(t, detail, remote.Type)
					assert.Contains(t, detail, remote.Where)
					assert.NotPanics(t, func() { test.check(t, err) })
				}
				assert.Equal(t, before, pid(ctx, t), "the worker lives on")
			})
		}
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

// P8: panics and other ends.

// A callPanicError is an error that a job panics with.
type callPanicError struct{ Code int }

func (e *callPanicError) Error() string { return fmt.Sprint("panic value ", e.Code) }

var _ = func() bool { traigo.RegisterErrorType[*callPanicError](); return true }()

func callField(in *callHow) (string, bool) { return in.How, in.How == "" }

//go:noinline
func callPanicHere(value any) { panic(value) }

func callPanicking(ctx context.Context, how string) (none, error) {
	switch how {
	case "text":
		callPanicHere("on purpose")
	case "registered error":
		callPanicHere(errCallRegistered)
	case "error of a registered type":
		callPanicHere(fmt.Errorf("wrapped: %w", &callPanicError{8}))
	case "nil pointer":
		_, _ = callField(nil)
	case "value that panics":
		callPanicHere(&callPanicsError{"Error"})
	case "nil":
		callPanicHere(nil)
	case "task":
		traigo.Current(ctx).Spawn(func(context.Context) error { callPanicHere("on purpose"); return nil }, traigo.Name("culprit"))
	case "scope below":
		return none{}, traigo.Run(ctx, func(context.Context, *traigo.Scope) error { callPanicHere("on purpose"); return nil })
	case "Goexit":
		runtime.Goexit()
	case "Goexit in a task":
		traigo.Current(ctx).Spawn(func(context.Context) error { runtime.Goexit(); return nil })
	}
	return none{}, nil
}

func TestAPanicOfAJobIsAPanicOfTheCall(t *testing.T) {
	noneLeft(t)
	tests := map[string]struct {
		task  string // what the task's path ends with
		check func(t *testing.T, err error)
	}{
		"text":              {"", func(t *testing.T, err error) { assert.Contains(t, err.Error(), "on purpose") }},
		"registered error":  {"", func(t *testing.T, err error) { assert.ErrorIs(t, err, errCallRegistered) }},
		"value that panics": {"", func(*testing.T, error) {}},
		"nil":               {"", func(t *testing.T, err error) { assert.Contains(t, err.Error(), "nil") }},
		"task":              {"/culprit", func(t *testing.T, err error) { assert.Contains(t, err.Error(), "on purpose") }},
		"scope below":       {"", func(t *testing.T, err error) { assert.Contains(t, err.Error(), "on purpose") }},
		"error of a registered type": {"", func(t *testing.T, err error) {
			var got *callPanicError
			require.ErrorAs(t, err, &got)
			assert.Equal(t, 8, got.Code)
		}},
	}
	for how, test := range tests {
		t.Run(how, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				value := recovered(func() { _, _ = callPanic.Run(ctx, how) })
				require.IsType(t, (*traigo.PanicError)(nil), value)
				panicked := value.(*traigo.PanicError)
				text := panicked.Error()
				assert.Contains(t, panicked.Task, "call.panic", "the function's name")
				assert.True(t, strings.HasSuffix(panicked.Task, test.task), "%q", panicked.Task)
				assert.Contains(t, text, "call.panic", "the function's name")
				assert.Equal(t, 1, strings.Count(text, "callPanicHere"), "the worker's stack, once:\n%s", text)
				test.check(t, panicked)
				assert.NotEqual(t, before, pid(ctx, t), "that worker is not used again")
				waitUntil(t, func() bool { return isGone(before) })
				assert.Zero(t, p.Stats().Broken)
			})
		})
	}
}

func TestANilPointerInAJobIsAPanicOfTheCall(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		value := recovered(func() { _, _ = callPanic.Run(ctx, "nil pointer") })
		require.IsType(t, (*traigo.PanicError)(nil), value)
		text := value.(*traigo.PanicError).Error()
		assert.Contains(t, text, "nil pointer dereference")
		assert.Contains(t, text, "callPanicking")
	})
}

func TestAPanicOfAJobIsRaisedByTheScopeOfItsTask(t *testing.T) {
	noneLeft(t)
	value := recovered(func() {
		_ = traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			proc.Open(s)
			s.Spawn(func(ctx context.Context) error {
				_, err := callPanic.Run(ctx, "text")
				return err
			}, traigo.Name("caller"))
			return nil
		}, traigo.Name("outer"))
	})
	require.IsType(t, (*traigo.PanicError)(nil), value)
	text := value.(*traigo.PanicError).Error()
	assert.Contains(t, text, "call.panic")
	assert.Contains(t, text, "on purpose")
	assert.Equal(t, 1, strings.Count(text, "callPanicHere"), "the worker's stack, once:\n%s", text)
	assert.Equal(t, 1, strings.Count(text, "[running"), "no other stack:\n%s", text)
}

func TestPanicAsErrorHoldsForPanicsOfJobs(t *testing.T) {
	noneLeft(t)
	err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
		proc.Open(s)
		s.Spawn(func(ctx context.Context) error {
			_, err := callPanic.Run(ctx, "registered error")
			return err
		}, traigo.Name("caller"))
		return nil
	}, traigo.PanicAsError())
	var panicked *traigo.PanicError
	require.ErrorAs(t, err, &panicked)
	assert.Contains(t, panicked.Task, "call.panic")
	assert.ErrorIs(t, err, errCallRegistered)
	assert.NotContains(t, err.Error(), "callPanicHere", "one line")
	assert.Equal(t, 1, strings.Count(fmt.Sprintf("%+v", err), "callPanicHere"), "%+v", err)
}

func TestGoexitOfAJobIsErrGoexit(t *testing.T) {
	noneLeft(t)
	for _, how := range []string{"Goexit", "Goexit in a task"} {
		withPool(t, func(ctx context.Context, p *proc.Pool) {
			_, err := callPanic.Run(ctx, how)
			require.ErrorIs(t, err, traigo.ErrGoexit, how)
			assert.NotZero(t, pid(ctx, t), "the pool goes on")
			assert.Zero(t, p.Stats().Broken)
		})
	}
}

// callEnding ends its process.
func callEnding(_ context.Context, in callHow) (none, error) {
	callBegin(in.File)
	switch in.How {
	case "exit 0":
		os.Exit(0)
	case "exit 3":
		os.Exit(3)
	case "panic on another goroutine":
		go callPanicHere("on another goroutine")
	case "fatal error":
		var mu sync.Mutex
		mu.Unlock()
	case "SIGKILL":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "SIGSEGV":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "SIGQUIT":
		_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
	case "SIGABRT":
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	case "closes its socket":
		for fd := 3; fd < 100; fd++ {
			var at syscall.Stat_t
			if syscall.Fstat(fd, &at) == nil && at.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
				_ = syscall.Close(fd)
			}
		}
	case "exit with a lot on standard error":
		fmt.Fprint(os.Stderr, strings.Repeat("many words\n", 30_000), "the last words\n")
		os.Exit(4)
	}
	select {}
}

func TestWhateverElseEndsAWorkerIsABrokenWorkerErrorOfItsJob(t *testing.T) {
	noneLeft(t)
	tests := []struct {
		how   string
		check func(t *testing.T, e *proc.BrokenWorkerError)
	}{
		{"exit 0", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.True(t, e.State.Success())
			assert.Contains(t, e.Error(), "exit status 0")
		}},
		{"exit 3", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.Equal(t, 3, e.State.ExitCode())
			assert.Contains(t, e.Error(), "exit status 3")
		}},
		{"panic on another goroutine", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.Equal(t, 2, e.State.ExitCode())
			assert.Contains(t, e.Error(), "panic: on another goroutine")
			assert.Contains(t, e.Stderr, "callPanicHere")
			assert.NotContains(t, e.Error(), "callPanicHere")
			assert.Contains(t, fmt.Sprintf("%+v", e), "callPanicHere")
		}},
		{"fatal error", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.Equal(t, 2, e.State.ExitCode())
			assert.Contains(t, e.Error(), "fatal error: sync: unlock of unlocked mutex")
		}},
		{"SIGKILL", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.Equal(t, syscall.SIGKILL, e.State.Sys().(syscall.WaitStatus).Signal())
			assert.Contains(t, e.Error(), "signal: killed")
		}},
		{"SIGSEGV", func(t *testing.T, e *proc.BrokenWorkerError) { assert.False(t, e.State.Success()) }},
		{"SIGABRT", func(t *testing.T, e *proc.BrokenWorkerError) { assert.False(t, e.State.Success()) }},
		{"SIGQUIT", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.False(t, e.State.Success())
			assert.Contains(t, e.Stderr, "callEnding", "a dump of its stacks")
		}},
		{"closes its socket", func(*testing.T, *proc.BrokenWorkerError) {}},
		{"exit with a lot on standard error", func(t *testing.T, e *proc.BrokenWorkerError) {
			assert.Equal(t, 4, e.State.ExitCode())
			assert.LessOrEqual(t, len(e.Stderr), 64<<10)
			assert.Greater(t, len(e.Stderr), 32<<10)
			assert.True(t, strings.HasSuffix(e.Stderr, "many words\nthe last words\n"), "the end of it")
		}},
	}
	for _, test := range tests {
		for _, isNew := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, new worker %v", test.how, isNew), func(t *testing.T) {
				withPool(t, func(ctx context.Context, p *proc.Pool) {
					if !isNew {
						_ = pid(ctx, t)
					}
					file := callFile(t, "file")
					_, err := callEnd.Run(ctx, callHow{test.how, file})
					var broken *proc.BrokenWorkerError
					require.ErrorAs(t, err, &broken)
					assert.Equal(t, "call.end", broken.Func)
					assert.Equal(t, callBegun(t, file), broken.Pid)
					require.NotNil(t, broken.State)
					assert.Equal(t, broken.Pid, broken.State.Pid())
					assert.NoError(t, broken.Err)
					assert.Contains(t, broken.Error(), "call.end")
					assert.Contains(t, broken.Error(), strconv.Itoa(broken.Pid))
					assert.NotContains(t, broken.Error(), "\n")
					test.check(t, broken)
					assert.NotEqual(t, broken.Pid, pid(ctx, t), "the pool goes on")
					waitUntil(t, func() bool { return p.Stats().Broken == 1 }, "it is counted")
					assert.EqualValues(t, 2, p.Stats().Started)
					assert.Zero(t, p.Stats().Killed)
				})
			})
		}
	}
}

func TestAWorkerThatDiesIdleIsNobodysError(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		idle := pid(ctx, t)
		require.NoError(t, syscall.Kill(idle, syscall.SIGKILL))
		waitUntil(t, func() bool { return p.Stats().Broken == 1 })
		assert.NoError(t, ctx.Err())
		assert.Zero(t, p.Stats().Idle)
		assert.NotEqual(t, idle, pid(ctx, t))
	})
}

// Calls in the joins, in jobs, and many at once.

func TestTheJoinsTakeFunctionsInWorkers(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		words := []string{"a", "b", "c", "d", "e", "f"}
		got, err := traigo.Map(ctx, slices.Values(words), functionEcho.Run)
		require.NoError(t, err)
		assert.Equal(t, words, got)

		var some []string
		for out, err := range traigo.AsCompleted(ctx, slices.Values(words), functionEcho.Run) {
			require.NoError(t, err)
			some = append(some, out)
		}
		assert.ElementsMatch(t, words, some)

		some = nil
		for out, err := range traigo.Ordered(ctx, slices.Values(words), functionEcho.Run) {
			require.NoError(t, err)
			some = append(some, out)
		}
		assert.Equal(t, words, some)

		echo := func(word string) func(context.Context) (string, error) {
			return func(ctx context.Context) (string, error) { return functionEcho.Run(ctx, word) }
		}
		fail := func(ctx context.Context) (string, error) {
			_, err := functionFail.Run(ctx, "no")
			return "", err
		}
		spin := func(ctx context.Context) (string, error) {
			_, err := callSpin.Run(ctx, "")
			return "", err
		}
		got, err = traigo.All(ctx, echo("x"), echo("y"))
		require.NoError(t, err)
		assert.Equal(t, []string{"x", "y"}, got)

		one, err := traigo.Race(ctx, spin, fail, echo("z"))
		require.NoError(t, err)
		assert.Equal(t, "z", one)

		_, err = traigo.All(ctx, spin, fail)
		require.ErrorContains(t, err, "no")

		settled := traigo.Settle(ctx, fail, echo("w"))
		require.EqualError(t, settled[0].Err, "no")
		assert.Equal(t, "w", settled[1].Value)

		assert.Contains(t, words, sourceFirst(t, traigo.AsCompleted(ctx, slices.Values(words), functionEcho.Run)))
		waitUntil(t, func() bool { return p.Stats().Busy == 0 })
		assert.NotZero(t, p.Stats().Killed, "the losers")
	}, proc.Limit(3), proc.KillAfter(0))
}

// callNesting calls a function of another worker.
func callNesting(ctx context.Context, in callHow) ([]int, error) {
	switch in.How {
	case "lone":
		inner, err := getPid.Run(ctx, none{})
		return []int{os.Getpid(), inner}, err
	case "pool":
		s := traigo.Current(ctx)
		proc.Open(s, proc.Limit(2))
		got, err := traigo.Map(ctx, slices.Values(make([]none, 10)), getPid.Run)
		return append(got, os.Getpid()), err
	case "spin":
		_, err := callSpin.Run(ctx, in.File)
		return nil, err
	case "fail":
		_, err := callFail.Run(ctx, "a registered type")
		return nil, err
	case "exit":
		_, err := callEnd.Run(ctx, callHow{How: "exit 3"})
		return nil, err
	case "panic":
		_, err := callPanic.Run(ctx, "text")
		return nil, err
	}
	return nil, nil
}

func TestAJobCanCallOtherFunctions(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		before := pid(ctx, t)
		got, err := callNest.Run(ctx, callHow{How: "lone"})
		require.NoError(t, err)
		assert.Equal(t, before, got[0])
		assert.NotEqual(t, before, got[1])
		assert.NotEqual(t, os.Getpid(), got[1])
		assert.True(t, isGone(got[1]))

		got, err = callNest.Run(ctx, callHow{How: "pool"})
		require.NoError(t, err)
		slices.Sort(got)
		assert.LessOrEqual(t, len(slices.Compact(got)), 3)
		waitUntil(t, func() bool { return len(others()) == 1 }, "the pool of the job has ended with it")

		_, err = callNest.Run(ctx, callHow{How: "fail"})
		require.Error(t, err)
		callFailures["a registered type"].check(t, err)

		_, err = callNest.Run(ctx, callHow{How: "exit"})
		require.ErrorContains(t, err, "exit status 3")
		assert.Equal(t, before, pid(ctx, t), "the death of the inner worker is an error of the job")
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestAPanicCrossesTwoWorkers(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		value := recovered(func() { _, _ = callNest.Run(ctx, callHow{How: "panic"}) })
		require.IsType(t, (*traigo.PanicError)(nil), value)
		text := value.(*traigo.PanicError).Error()
		assert.Contains(t, text, "on purpose")
		assert.Contains(t, text, "call.nest")
		assert.Contains(t, text, "call.panic")
		assert.Equal(t, 1, strings.Count(text, "callPanicHere"), "the stack of the inner worker, once:\n%s", text)
		assert.NotZero(t, pid(ctx, t))
	})
}

func TestACancelReachesTheWorkersOfAJob(t *testing.T) {
	noneLeft(t)
	for _, after := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint("killed after ", after), func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				file := callFile(t, "file")
				inner, cancel := context.WithCancelCause(ctx)
				c := callGo(inner, callNest, callHow{"spin", file})
				below := callBegun(t, file)
				cancel(errCallCause)
				assert.Same(t, errCallCause, (<-c).err)
				waitUntil(t, func() bool { return isGone(below) })
				if after == 0 {
					assert.True(t, isGone(before))
				} else {
					assert.Equal(t, before, pid(ctx, t), "it has answered, with nothing but the cancellation")
					assert.Zero(t, p.Stats().Killed)
				}
			}, proc.KillAfter(after))
		})
	}
}

// callOpen is how many descriptors and goroutines this process has.
func callOpen(t *testing.T) (fds, goroutines int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries), runtime.NumGoroutine()
}

// callNoLeak has the test fail if it leaves descriptors or goroutines behind.
func callNoLeak(t *testing.T) {
	t.Helper()
	withPool(t, func(ctx context.Context, _ *proc.Pool) { _ = pid(ctx, t) }) // so that the runtime has opened its own
	waitUntil(t, func() bool { return len(others()) == 0 })
	runtime.GC()
	fds, goroutines := callOpen(t)
	t.Cleanup(func() {
		var nowFDs, now int
		if !assert.Eventually(t, func() bool {
			nowFDs, now = callOpen(t)
			return nowFDs <= fds && now <= goroutines+1 // that of Eventually
		}, 30*time.Second, 10*time.Millisecond) {
			stacks := make([]byte, 1<<20)
			t.Errorf("%d descriptors of %d, %d goroutines of %d:\n%s", nowFDs, fds, now, goroutines, stacks[:runtime.Stack(stacks, true)])
		}
	})
}

func TestFiftyCallsAtOnceWithRandomCancelsLeaveNothing(t *testing.T) {
	noneLeft(t)
	callNoLeak(t)
	for _, pooled := range []bool{true, false} {
		withPool(t, func(ctx context.Context, p *proc.Pool) {
			if !pooled {
				ctx = context.WithoutCancel(t.Context())
			}
			var wg sync.WaitGroup
			for i := range 50 {
				inner, cancel := context.WithCancelCause(ctx)
				stop := time.AfterFunc(rand.N(400*time.Millisecond), func() { cancel(errCallCause) })
				mine := func(err error) { assert.True(t, err == nil || errors.Is(err, errCallCause), "%v", err) }
				wg.Go(func() {
					defer stop.Stop()
					defer cancel(nil)
					switch i % 7 {
					case 0:
						_, err := callSpin.Run(inner, "")
						assert.Same(t, errCallCause, err)
					case 1:
						_, err := callEcho.Run(inner, make([]byte, 1<<20))
						mine(err)
					case 2:
						_, err := callEnd.Run(inner, callHow{How: "exit 3"})
						var broken *proc.BrokenWorkerError
						assert.True(t, errors.Is(err, errCallCause) || errors.As(err, &broken), "%v", err)
					case 3:
						value := recovered(func() {
							_, err := callPanic.Run(inner, "text")
							assert.Same(t, errCallCause, err)
						})
						if value != nil {
							assert.IsType(t, (*traigo.PanicError)(nil), value)
						}
					case 4:
						_, err := callStubborn.Run(inner, callHow{How: "is stopped"})
						assert.Same(t, errCallCause, err)
					case 5:
						for _, err := range sourceCount.Run(inner, sourceIn{N: 1000, Size: 1000}) {
							mine(err)
						}
					case 6:
						_, err := callNest.Run(inner, callHow{How: "lone"})
						mine(err)
					}
				})
			}
			wg.Wait()
			waitUntil(t, func() bool { return p.Stats().Busy == 0 })
			if pooled {
				_ = pid(ctx, t)
			}
		}, proc.Limit(8), proc.KillAfter(10*time.Millisecond))
		waitUntil(t, func() bool { return len(others()) == 0 }, "pooled %v", pooled)
	}
}

func TestManyKillsLeaveNothing(t *testing.T) {
	noneLeft(t)
	callNoLeak(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 40 {
			file := callFile(t, "file")
			inner, cancel := context.WithCancelCause(ctx)
			c := callGo(inner, callSpin, file)
			callBegun(t, file)
			cancel(errCallCause)
			require.Same(t, errCallCause, (<-c).err)
		}
		assert.EqualValues(t, 40, p.Stats().Killed)
		assert.Empty(t, others())
	}, proc.KillAfter(0))
}
