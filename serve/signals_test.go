//go:build unix

package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// programVariable names the program that the test binary is to be, in a process that a test
// has started.
const programVariable = "TRAIGO_SERVE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(programVariable); name != "" {
		programs[name]()
		fmt.Println("main has returned")
		os.Exit(0)
	}
	// The first call starts a goroutine of package signal, which the tests do not count.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2)
	os.Exit(m.Run())
}

// A process is a program that a test has started.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr bytes.Buffer
}

// start runs one of the programs, and returns when that has written "ready".
func start(t *testing.T, program string) *process {
	t.Helper()
	require.Contains(t, programs, program)
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), exe)}
	p.cmd.Env = append(os.Environ(), programVariable+"="+program, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewReader(stdout)
	require.NoError(t, p.cmd.Start())
	guard := time.AfterFunc(2*patience, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() { guard.Stop(); _ = p.cmd.Process.Kill() })
	p.hears("ready")
	return p
}

// hears waits for a line.
func (p *process) hears(want string) {
	p.t.Helper()
	for {
		line, err := p.out.ReadString('\n')
		require.NoError(p.t, err, "while waiting for %q; standard error: %s", want, &p.stderr)
		if strings.TrimSpace(line) == want {
			return
		}
	}
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// end waits for the end of the process. It returns what it has written since, its exit status, and
// the signal that has ended it, or -1.
func (p *process) end() (out string, status int, by syscall.Signal) {
	p.t.Helper()
	rest, err := io.ReadAll(p.out)
	require.NoError(p.t, err)
	_ = p.cmd.Wait()
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(p.t, ok)
	if state.Signaled() {
		return string(rest), -1, state.Signal()
	}
	return string(rest), state.ExitStatus(), -1
}

func failingBody(context.Context, *traigo.Scope) error {
	fmt.Println("ready")
	return errBoom
}

type body = func(ctx context.Context, s *traigo.Scope) error

// spawning is a body that spawns a task.
func spawning(name string, fn func(ctx context.Context) error) body {
	return func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(fn, traigo.Name(name))
		fmt.Println("ready")
		return nil
	}
}

func untilStopping(ctx context.Context) error {
	<-traigo.Stopping(ctx)
	fmt.Println("stopping")
	return nil
}

func untilCanceled(ctx context.Context) error {
	go func() { <-traigo.Stopping(ctx); fmt.Println("stopping") }()
	<-ctx.Done()
	return ctx.Err()
}

func deafForEver(ctx context.Context) error {
	go func() { <-traigo.Stopping(ctx); fmt.Println("stopping") }()
	<-ctx.Done()
	fmt.Println("canceled")
	select {}
}

// programs are the functions main of processes that tests start.
var programs = map[string]func(){
	"nothing": func() { serve.Main(func(context.Context, *traigo.Scope) error { fmt.Println("ready"); return nil }) },
	"error": func() {
		serve.Main(failingBody)
	},
	"lines": func() {
		serve.Main(func(context.Context, *traigo.Scope) error {
			fmt.Println("ready")
			return errors.Join(errors.New("one\ntwo"), errors.New("\r\nthree"))
		})
	},
	"failing task": func() {
		serve.Main(spawning("mail", func(context.Context) error { return errBoom }), traigo.Name("program"))
	},
	"panic": func() {
		serve.Main(spawning("mail", func(context.Context) error { handlerThatPanics(errBoom); return nil }), traigo.Logger(quiet()))
	},
	"stopping":   func() { serve.Main(spawning("work", untilStopping)) },
	"canceled":   func() { serve.Main(spawning("work", untilCanceled), serve.Grace(20*time.Millisecond)) },
	"long grace": func() { serve.Main(spawning("work", untilCanceled), serve.Grace(time.Hour)) },
	"no grace": func() {
		serve.Main(spawning("work", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), serve.Grace(0))
	},
	"deaf": func() { serve.Main(spawning("work", deafForEver), serve.Grace(time.Hour)) },
	"stuck": func() {
		serve.Main(spawning("work", deafForEver), serve.Grace(0), traigo.CancelTimeout(20*time.Millisecond), traigo.Logger(quiet()))
	},
	"failing at stopping": func() {
		serve.Main(spawning("work", func(ctx context.Context) error {
			<-traigo.Stopping(ctx)
			return errBoom
		}))
	},
	"failing at cancellation": func() {
		serve.Main(spawning("work", func(ctx context.Context) error {
			<-ctx.Done()
			return errBoom
		}), serve.Grace(0))
	},
	"failing with a signal's error": func() {
		serve.Main(func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return fmt.Errorf("another process: %w", &serve.SignalError{Signal: syscall.SIGTERM})
			})
			s.Spawn(func(context.Context) error { return errBoom })
			fmt.Println("ready")
			return nil
		})
	},
	"Goexit": func() {
		serve.Main(func(context.Context, *traigo.Scope) error {
			fmt.Println("ready")
			runtime.Goexit()
			return nil
		})
	},
	"server": func() {
		serve.Main(func(_ context.Context, s *traigo.Scope) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			serve.HTTP(s, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Println("request")
				<-traigo.Stopping(r.Context())
				hello(w, r)
			})}, l)
			fmt.Println("ready")
			fmt.Println(l.Addr())
			return nil
		})
	},
	"signals of a scope of New": func() {
		s := traigo.New(context.Background(), traigo.Name("program"))
		serve.Signals(s, 20*time.Millisecond, syscall.SIGUSR1)
		s.Spawn(untilCanceled)
		fmt.Println("ready")
		err := s.Wait()
		var bySignal *serve.SignalError
		fmt.Println(errors.As(err, &bySignal), bySignal.Signal, err)
	},
	"stopped after the end": func() {
		s := traigo.New(context.Background())
		serve.Signals(s, time.Hour)
		if err := s.Wait(); err != nil {
			panic(err)
		}
		// The goroutine of Signals ends after the scope: without it, the signal ends the process.
		for {
			fmt.Println("ready")
			time.Sleep(time.Millisecond)
		}
	},
}

func TestMainExits(t *testing.T) {
	for _, row := range []struct {
		name    string
		program string
		signals []os.Signal // each one after the last
		status  int
		stderr  string // "": nothing
	}{
		{"nothing to do", "nothing", nil, 0, ""},
		{"an error", "error", nil, 1, `scope "failingBody": boom`},
		{"an error of several lines", "lines", nil, 1, `: one; two; three`},
		{"a task that fails", "failing task", nil, 1, `scope "program": task "mail": boom`},
		{"a later error that was a signal elsewhere", "failing with a signal's error", nil, 1, "boom; also: "},
		{"Goexit", "Goexit", nil, 1, "Goexit"},
		{"SIGTERM", "stopping", []os.Signal{syscall.SIGTERM}, 0, ""},
		{"SIGINT", "stopping", []os.Signal{syscall.SIGINT}, 0, ""},
		{"the grace period is over, after SIGTERM", "canceled", []os.Signal{syscall.SIGTERM}, 143, `signal: terminated: the grace period of 20ms is over`},
		{"the grace period is over, after SIGINT", "canceled", []os.Signal{syscall.SIGINT}, 130, `signal: interrupt: the grace period of 20ms is over`},
		{"a second signal", "long grace", []os.Signal{syscall.SIGTERM, syscall.SIGINT}, 130, "a second signal: interrupt"},
		{"twice the same signal", "long grace", []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, 143, "a second signal: terminated"},
		{"no grace period", "no grace", []os.Signal{syscall.SIGTERM}, 143, "signal: terminated"},
		{"a task that does not end", "stuck", []os.Signal{syscall.SIGTERM}, 143, "did not end after cancel"},
		{"a failure in the shutdown", "failing at stopping", []os.Signal{syscall.SIGTERM}, 1, `task "work": boom`},
		{"a failure after the cancellation", "failing at cancellation", []os.Signal{syscall.SIGTERM}, 143, `also: task "work": boom`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := start(t, row.program)
			for i, sig := range row.signals {
				if i > 0 {
					p.hears("stopping")
				}
				p.signal(sig)
			}
			out, status, by := p.end()
			assert.Equal(t, row.status, status, "signal: %v", by)
			stderr := p.stderr.String()
			if row.stderr == "" {
				assert.Empty(t, stderr)
			} else {
				assert.Contains(t, stderr, row.stderr)
				assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line:\n%s", stderr)
				assert.True(t, strings.HasSuffix(stderr, "\n"))
			}
			assert.Equal(t, row.status == 0, strings.HasSuffix(out, "main has returned\n"), out)
		})
	}
}

func TestThirdSignalEndsTheProcess(t *testing.T) {
	p := start(t, "deaf")
	p.signal(syscall.SIGTERM)
	p.hears("stopping")
	p.signal(syscall.SIGTERM)
	p.hears("canceled")
	// The signals have their usual effect when Signals has returned, which may be a moment
	// after the cancellation.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, by := p.end()
		assert.Equal(t, syscall.SIGTERM, by)
	}()
	until(t, "the end of the process", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}

func TestPanicUnderMainIsACrash(t *testing.T) {
	p := start(t, "panic")
	_, status, _ := p.end()
	assert.Equal(t, 2, status)
	text := p.stderr.String()
	assert.Contains(t, text, "panic: ")
	assert.Contains(t, text, `mail" panicked: boom`)
	assert.Equal(t, 1, strings.Count(text, "handlerThatPanics("), text)
}

func TestServerUnderMain(t *testing.T) {
	p := start(t, "server")
	addr, err := p.out.ReadString('\n')
	require.NoError(t, err)
	addr = strings.TrimSpace(addr)
	answers := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr)
		if err != nil {
			answers <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answers <- string(text)
	}()
	p.hears("request")
	p.signal(syscall.SIGTERM)
	assert.Equal(t, "hello", received(t, answers, "the response"))
	_, status, _ := p.end()
	assert.Equal(t, 0, status)
	assert.Empty(t, p.stderr.String())
}

func TestSignalsEndAScopeOfNew(t *testing.T) {
	p := start(t, "signals of a scope of New")
	p.signal(syscall.SIGUSR1)
	out, status, _ := p.end()
	assert.Equal(t, 0, status)
	assert.Contains(t, out, `true user defined signal 1 scope "program": signal: user defined signal 1: the grace period of 20ms is over`)
}

func TestSignalsHaveTheirUsualEffectAfterTheEnd(t *testing.T) {
	p := start(t, "stopped after the end")
	until(t, "the end of the process", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		return errors.Is(p.cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone) || isZombie(p.cmd.Process.Pid)
	})
	_, _, by := p.end()
	assert.Equal(t, syscall.SIGTERM, by)
}

// isZombie reports whether a process has ended and has not been waited for.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// caught keeps a signal from ending the process of the tests, whatever Signals does.
func caught(t *testing.T, sig os.Signal) {
	t.Helper()
	ch := make(chan os.Signal, 10)
	signal.Notify(ch, sig)
	t.Cleanup(func() { signal.Stop(ch) })
}

// raise sends a signal to this process, and returns when it has been delivered: not to what a
// later test, or a later round, has opened.
func raise(t *testing.T, sig syscall.Signal) {
	t.Helper()
	delivered := make(chan os.Signal, 1)
	signal.Notify(delivered, sig)
	defer signal.Stop(delivered)
	require.NoError(t, syscall.Kill(syscall.Getpid(), sig))
	received(t, delivered, "the signal")
}

// signaled is a scope under Signals with SIGUSR1.
func signaled(t *testing.T, grace time.Duration, opts ...traigo.ScopeOption) *traigo.Scope {
	t.Helper()
	noGoroutineIsLeft(t)
	caught(t, syscall.SIGUSR1)
	s := traigo.New(t.Context(), append([]traigo.ScopeOption{traigo.Name("program")}, opts...)...)
	serve.Signals(s, grace, syscall.SIGUSR1)
	return s
}

func TestFirstSignalBeginsAShutdown(t *testing.T) {
	s := signaled(t, time.Hour)
	s.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx)
		assert.NoError(t, ctx.Err())
		return nil
	})
	raise(t, syscall.SIGUSR1)
	received(t, s.Done(), "the end of the scope")
	require.NoError(t, s.Err())
}

// The shutdown is a task, so that a record says why it began. It takes no slot.
func TestShutdownByASignalIsATask(t *testing.T) {
	seen := observing(traigo.TaskEnded)
	s := signaled(t, time.Hour, traigo.Limit(1), traigo.Observe(seen), traigo.Name("requests"))
	s.Spawn(untilStoppingQuietly)
	raise(t, syscall.SIGUSR1)
	received(t, s.Done(), "the end of the scope")
	require.NoError(t, s.Err())
	var names []string
	for _, e := range seen.ofRequests() {
		names = append(names, e.Task.Name())
	}
	assert.ElementsMatch(t, []string{"shutdown: user defined signal 1", "untilStoppingQuietly"}, names)
}

func untilStoppingQuietly(ctx context.Context) error {
	<-traigo.Stopping(ctx)
	return nil
}

func TestSecondSignalCancels(t *testing.T) {
	s := signaled(t, time.Hour)
	causes := make(chan error, 1)
	s.Spawn(func(ctx context.Context) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	raise(t, syscall.SIGUSR1)
	received(t, traigo.Stopping(s.Context()), "the shutdown")
	raise(t, syscall.SIGUSR1)
	err, ok := errors.AsType[*serve.SignalError](received(t, causes, "the cause"))
	require.True(t, ok)
	assert.Equal(t, &serve.SignalError{Signal: syscall.SIGUSR1, Second: true}, err)
	require.ErrorIs(t, s.Wait(), err)
}

func TestEndOfTheGracePeriodCancels(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Millisecond} {
		t.Run(grace.String(), func(t *testing.T) {
			s := signaled(t, grace)
			s.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			raise(t, syscall.SIGUSR1)
			received(t, s.Done(), "the end of the scope")
			err, ok := errors.AsType[*serve.SignalError](s.Err())
			require.True(t, ok, s.Err())
			assert.Equal(t, &serve.SignalError{Signal: syscall.SIGUSR1, Grace: grace}, err)
		})
	}
}

// Without a grace period the outcome does not depend on whether tasks hear of a shutdown first.
func TestWithoutAGracePeriodTheSignalIsTheOutcome(t *testing.T) {
	for range 50 {
		s := signaled(t, 0)
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return nil })
		raise(t, syscall.SIGUSR1)
		received(t, s.Done(), "the end of the scope")
		var bySignal *serve.SignalError
		require.ErrorAs(t, s.Err(), &bySignal)
	}
}

func TestSignalsEndsWithItsScope(t *testing.T) {
	t.Run("of New", func(t *testing.T) {
		s := signaled(t, time.Hour)
		require.NoError(t, s.Wait())
	})
	t.Run("of Run", func(t *testing.T) {
		noGoroutineIsLeft(t)
		require.NoError(t, traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			serve.Signals(s, time.Hour)
			return nil
		}))
	})
	t.Run("that has ended", func(t *testing.T) {
		noGoroutineIsLeft(t)
		s := traigo.New(t.Context())
		require.NoError(t, s.Wait())
		serve.Signals(s, time.Hour)
	})
}

func TestSignalsEndARunFromItsBody(t *testing.T) {
	noGoroutineIsLeft(t)
	caught(t, syscall.SIGUSR1)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		serve.Signals(s, 10*time.Millisecond, syscall.SIGUSR1)
		raise(t, syscall.SIGUSR1)
		<-traigo.Stopping(ctx)
		<-ctx.Done()
		return ctx.Err()
	})
	var bySignal *serve.SignalError
	require.ErrorAs(t, err, &bySignal)
}

func TestSignalsEndAChildAlone(t *testing.T) {
	noGoroutineIsLeft(t)
	caught(t, syscall.SIGUSR1)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		child := s.Fork(traigo.Name("child"))
		serve.Signals(child, 0, syscall.SIGUSR1)
		child.Spawn(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		raise(t, syscall.SIGUSR1)
		var bySignal *serve.SignalError
		assert.ErrorAs(t, child.Wait(), &bySignal)
		assert.NoError(t, ctx.Err())
		assert.False(t, isClosed(traigo.Stopping(ctx)))
		return nil
	}))
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// The goroutine of Signals does not count as somebody who has asked for the outcome, and does
// not panic with it.
func TestSignalsReceiveNoOutcome(t *testing.T) {
	t.Run("a failure is logged", func(t *testing.T) {
		logged := &lines{}
		logger := traigo.Logger(slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelError})))
		parent := traigo.New(t.Context(), logger)
		noGoroutineIsLeft(t)
		caught(t, syscall.SIGUSR1)
		s := traigo.New(parent.Context(), traigo.Name("program"))
		serve.Signals(s, time.Hour, syscall.SIGUSR1)
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); return errBoom }, traigo.Name("work"))
		raise(t, syscall.SIGUSR1)
		received(t, s.Done(), "the end of the scope")
		require.NoError(t, parent.Wait())
		assert.Contains(t, logged.String(), "boom")
	})
	t.Run("a panic is raised where it is waited for", func(t *testing.T) {
		s := signaled(t, time.Hour, traigo.Logger(quiet()))
		s.Spawn(func(ctx context.Context) error { <-traigo.Stopping(ctx); panic(errBoom) })
		raise(t, syscall.SIGUSR1)
		received(t, s.Done(), "the end of the scope")
		panicked, ok := raised(func() { _ = s.Wait() }).(*traigo.PanicError)
		require.True(t, ok)
		require.ErrorIs(t, panicked, errBoom)
	})
	t.Run("a panic before the signal", func(t *testing.T) {
		for range 50 {
			s := signaled(t, time.Hour, traigo.Logger(quiet()))
			s.Spawn(func(context.Context) error { panic(errBoom) })
			raise(t, syscall.SIGUSR1)
			received(t, s.Done(), "the end of the scope")
			require.NotNil(t, raised(func() { _ = s.Wait() }))
		}
	})
}

func TestSignalsAndMainRefuseWrongArguments(t *testing.T) {
	s := traigo.New(t.Context())
	defer s.Close()
	requireMisuse(t, func() { serve.Signals(nil, 0) }, "serve.Signals", "nil *Scope")
	requireMisuse(t, func() { serve.Signals(s, -1) }, "serve.Signals", "negative")
	requireMisuse(t, func() { serve.Signals(s, 0, syscall.SIGUSR1, nil) }, "serve.Signals", "nil os.Signal")
	requireMisuse(t, func() { serve.Main(nil) }, "serve.Main", "nil function")
	requireMisuse(t, func() { serve.Main(func(context.Context, *traigo.Scope) error { return nil }, nil) }, "option")
	requireMisuse(t, func() { serve.Grace(-time.Second) }, "serve.Grace", "negative")
}

func TestGraceIsAnOptionWithoutEffectElsewhere(t *testing.T) {
	err := traigo.Run(t.Context(), func(context.Context, *traigo.Scope) error { return errBoom }, serve.Grace(time.Second))
	require.ErrorIs(t, err, errBoom)
}

func TestTextsOfASignalError(t *testing.T) {
	assert.EqualError(t, &serve.SignalError{Signal: syscall.SIGTERM, Second: true}, "a second signal: terminated")
	assert.EqualError(t, &serve.SignalError{Signal: os.Interrupt, Grace: 8 * time.Second}, "signal: interrupt: the grace period of 8s is over")
}
