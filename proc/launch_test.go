//go:build linux

package proc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/proc"
)

// Processes of this program that speak another protocol: Launch, Handle and Child (P18a).
//
//	obedient   a kind that does what it reads, line by line, and answers with a line
//	servant    a Child of that kind, as a test talks with it

const obedient = "launch: obedient, and a kind with spaces"

// Handle is to be called before Serve, and so are the wrong calls of it.
var (
	_ = func() bool {
		proc.Handle(obedient, obeyLines)
		proc.Handle("launch: echo", func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
		proc.Handle("launch: nothing", func(net.Conn) {})
		proc.Handle("launch: last words", func(conn net.Conn) { _, _ = io.WriteString(conn, "last words") })
		proc.Handle("launch: last words and a panic", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "last words")
			panic("on purpose")
		})
		return true
	}()

	misusesOfHandle = []any{
		misuse(func() { proc.Handle("", obeyLines) }),
		misuse(func() { proc.Handle("launch: nil", nil) }),
		misuse(func() { proc.Handle("launch: twice", obeyLines); proc.Handle("launch: twice", obeyLines) }),
	}
)

// misuse returns the value that a function panics with.
func misuse(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func TestMisuseOfHandleAndLaunchPanics(t *testing.T) {
	after := misuse(func() { proc.Handle("launch: too late", obeyLines) })
	noContext := misuse(func() { _, _ = proc.Launch(nil, obedient) }) //nolint:staticcheck // that is the misuse
	noOption := misuse(func() { _, _ = proc.Launch(t.Context(), obedient, nil) })
	for i, value := range append(misusesOfHandle, after, noContext, noOption) {
		text, ok := value.(string)
		assert.True(t, ok && strings.HasPrefix(text, "traigo: "), "%d: %v", i, value)
	}
}

// obeyLines is the handler of obedient. At the end of file it returns, unless it was told
// something else.
func obeyLines(conn net.Conn) {
	atEnd := func() {}
	in := bufio.NewReader(conn)
	reply := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\n", args...) }
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			atEnd()
			return
		}
		word, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch n, _ := strconv.Atoi(arg); word {
		case "who":
			reply("%d %d %d %q", os.Getpid(), os.Getppid(), syscall.Getpgrp(), os.Args)
		case "child": // a grandchild
			cmd := exec.Command("sleep", "600")
			if err := cmd.Start(); err != nil {
				reply("%v", err)
				return
			}
			reply("%d", cmd.Process.Pid)
		case "exit":
			os.Exit(n)
		case "panic":
			panic("on purpose")
		case "return":
			return
		case "lines": // on standard error, and it ends
			for i := range n {
				fmt.Fprintf(os.Stderr, "line %d\n", i)
			}
			return
		case "hangup":
			_ = conn.Close()
			select {}
		case "stay": // whatever comes
			atEnd = func() {
				_, _ = os.Stderr.WriteString("end of file\n")
				select {}
			}
			reply("ok")
		case "tidy": // something must be done at the end, which needs some time
			atEnd = func() {
				time.Sleep(50 * time.Millisecond)
				_ = os.WriteFile(arg, []byte("tidy"), 0o600)
			}
			reply("ok")
		case "memory":
			reply("%d", len(fill(n<<20)))
		case "env":
			reply("%s", os.Getenv(arg))
		case "environ":
			reply("%s", strings.Join(ownEnviron(os.Environ()), " "))
		case "file": // at a descriptor
			text, err := io.ReadAll(os.NewFile(uintptr(n), "file"))
			reply("%s %v", text, err)
		case "listen": // for a signal
			c := make(chan os.Signal, 1)
			signal.Notify(c, syscall.Signal(n))
			reply("ok")
			reply("%v", <-c)
		case "launch": // a process below this one
			child, err := proc.Launch(context.Background(), obedient)
			if err != nil {
				reply("%v", err)
				return
			}
			reply("%d", child.Pid())
		default:
			reply("what is %q?", line)
		}
	}
}

// fill returns memory that is resident.
func fill(n int) []byte {
	all := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		all[i] = 1
	}
	return all
}

// A servant is a Child that obeys.
type servant struct {
	*proc.Child
	t  *testing.T
	in *bufio.Reader
}

func launch(t *testing.T, opts ...proc.Option) *servant {
	t.Helper()
	return launchUnder(t.Context(), t, opts...)
}

func launchUnder(ctx context.Context, t *testing.T, opts ...proc.Option) *servant {
	t.Helper()
	c, err := proc.Launch(ctx, obedient, opts...)
	require.NoError(t, err)
	require.NoError(t, c.Conn().SetDeadline(time.Now().Add(2*soon)))
	t.Cleanup(func() { c.Signal(syscall.SIGKILL) })
	return &servant{c, t, bufio.NewReader(c.Conn())}
}

func (s *servant) tell(line string) {
	s.t.Helper()
	_, err := io.WriteString(s.Conn(), line+"\n")
	require.NoError(s.t, err)
}

func (s *servant) hear() string {
	s.t.Helper()
	line, err := s.in.ReadString('\n')
	require.NoError(s.t, err)
	return strings.TrimSpace(line)
}

func (s *servant) ask(line string) string {
	s.t.Helper()
	s.tell(line)
	return s.hear()
}

func (s *servant) askPid(line string) int {
	s.t.Helper()
	pid, err := strconv.Atoi(s.ask(line))
	require.NoError(s.t, err)
	return pid
}

// close closes the connection: that is how a Child is asked to end.
func (s *servant) close() {
	s.t.Helper()
	require.NoError(s.t, s.Conn().Close())
}

// ended waits for the end and returns how it was.
func (s *servant) ended() error {
	s.t.Helper()
	select {
	case <-s.Exited():
	case <-time.After(2 * soon):
		require.Fail(s.t, "the child does not end", "%s", describe(s.Pid()))
	}
	assert.ErrorIs(s.t, send(s.Pid(), 0), syscall.ESRCH, "it was reaped")
	return s.Err()
}

// requireRuns fails if the child has ended.
func (s *servant) requireRuns() {
	s.t.Helper()
	select {
	case <-s.Exited():
		require.Fail(s.t, "the child has ended", "%+v", s.Err())
	default:
		require.NoError(s.t, s.Err())
		require.True(s.t, isAlive(s.Pid()))
	}
}

// brokenBy returns the error of a child that has ended otherwise than with 0.
func brokenBy(t *testing.T, err error) *proc.BrokenWorkerError {
	t.Helper()
	var broken *proc.BrokenWorkerError
	require.ErrorAs(t, err, &broken)
	require.NotNil(t, broken.State)
	return broken
}

func TestLaunchedProcessServesItsKind(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	assert.Equal(t, fmt.Sprintf("%d %d %d %q", s.Pid(), os.Getpid(), s.Pid(), os.Args[:1]), s.ask("who"))
	s.requireRuns()
	assert.Equal(t, "unix", s.Conn().LocalAddr().Network())
	s.close()
	assert.NoError(t, s.ended(), "the handler has returned: 0")
}

func TestConnectionCarriesWhatIsWritten(t *testing.T) {
	noneLeft(t)
	c, err := proc.Launch(t.Context(), "launch: echo")
	require.NoError(t, err)
	conn := c.Conn()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*soon)))
	sent := fill(3 << 20)
	for i := range sent {
		sent[i] = byte(i * 7)
	}
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, len(sent))
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	assert.Equal(t, sent, got, "all of it, and nothing of proc's own before it")
	require.NoError(t, conn.SetReadDeadline(time.Now()))
	_, err = conn.Read(got)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, conn.Close())
	<-c.Exited()
	assert.NoError(t, c.Err())
}

func TestEndOfAHandlerIsAnEndOfFile(t *testing.T) {
	noneLeft(t)
	for range 5 {
		c, err := proc.Launch(t.Context(), "launch: nothing")
		require.NoError(t, err)
		text, err := io.ReadAll(c.Conn())
		require.NoError(t, err)
		assert.Empty(t, text)
		<-c.Exited()
		assert.NoError(t, c.Err())
		_ = c.Conn().Close()
	}
}

// Whoever reads later than a process ends does not lose what it has said.
func TestLastWordsOfAChildAreThereAfterItsEnd(t *testing.T) {
	noneLeft(t)
	for _, row := range []struct{ kind, end string }{
		{"launch: last words", ""},
		{"launch: last words and a panic", "exit status 2"},
	} {
		t.Run(row.kind, func(t *testing.T) {
			c, err := proc.Launch(t.Context(), row.kind, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = io.Discard }))
			require.NoError(t, err)
			<-c.Exited()
			text, err := io.ReadAll(c.Conn())
			require.NoError(t, err)
			assert.Equal(t, "last words", string(text))
			if row.end == "" {
				require.NoError(t, c.Err())
			} else {
				assert.Equal(t, row.end, brokenBy(t, c.Err()).State.String())
			}
			_ = c.Conn().Close()
		})
	}
}

func TestErrOfAChildSaysHowItHasEnded(t *testing.T) {
	noneLeft(t)
	for _, row := range []struct {
		line string
		code int
		text string
	}{
		{"return", 0, ""},
		{"exit 0", 0, ""},
		{"exit 3", 3, "exit status 3"},
		{"panic", 2, "panic: on purpose"},
	} {
		t.Run(row.line, func(t *testing.T) {
			got := new(output)
			s := launch(t, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
			require.NoError(t, s.Err(), "it runs")
			s.tell(row.line)
			_, err := s.in.ReadString('\n')
			require.ErrorIs(t, err, io.EOF)
			err = s.ended()
			if row.code == 0 {
				require.NoError(t, err)
				return
			}
			broken := brokenBy(t, err)
			assert.Equal(t, s.Pid(), broken.Pid)
			assert.Equal(t, row.code, broken.State.ExitCode())
			assert.Contains(t, err.Error(), row.text)
			assert.Equal(t, got.String(), broken.Stderr)
		})
	}
}

func TestStandardErrorOfAChildIsCompleteWhenExitedIsClosed(t *testing.T) {
	noneLeft(t)
	for range 5 {
		got := new(output)
		s := launch(t, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
		s.tell("lines 5000")
		require.NoError(t, s.ended())
		assert.Equal(t, 5000, strings.Count(got.String(), "\n"))
	}
}

func TestKindThatNobodyHandlesIsAnError(t *testing.T) {
	noneLeft(t)
	for _, kind := range []string{"launch: nobody", "", "worker "} {
		t.Run(kind, func(t *testing.T) {
			got := new(output)
			c, err := proc.Launch(t.Context(), kind, proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
			assert.Nil(t, c)
			_ = brokenBy(t, err)
			assert.NotErrorIs(t, err, proc.ErrNotServed, "Serve was called")
			assert.Contains(t, fmt.Sprintf("%+v", err), fmt.Sprintf("%q", kind), "it says which one")
		})
	}
}

func TestProgramThatDoesNotStartIsAnError(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "nothing")
	c, err := proc.Launch(t.Context(), obedient, proc.Command(func(cmd *exec.Cmd) { cmd.Path = file }))
	assert.Nil(t, c)
	var broken *proc.BrokenWorkerError
	require.ErrorAs(t, err, &broken)
	assert.Nil(t, broken.State)
	assert.Zero(t, broken.Pid)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Contains(t, err.Error(), file)
}

// Whoever is asked to end by the end of file has a grace for it.
func TestChildHasAGraceAfterTheConnectionIsClosed(t *testing.T) {
	noneLeft(t)
	file := filepath.Join(t.TempDir(), "tidy")
	s := launch(t, proc.Grace(time.Hour))
	require.Equal(t, "ok", s.ask("tidy "+file))
	s.close()
	require.NoError(t, s.ended())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "tidy", string(text))
}

func TestChildThatStaysIsKilledAfterItsGrace(t *testing.T) {
	noneLeft(t)
	got := new(output)
	s := launch(t, proc.Grace(300*time.Millisecond), proc.Command(func(cmd *exec.Cmd) { cmd.Stderr = got }))
	require.Equal(t, "ok", s.ask("stay"))
	child := s.askPid("child")
	began := time.Now()
	s.close()
	require.Eventually(t, func() bool { return got.String() != "" || !isAlive(s.Pid()) }, soon, time.Millisecond)
	broken := brokenBy(t, s.ended())
	assert.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	assert.Equal(t, "signal: killed", broken.State.String())
	requireDead(t, child, "the grandchild lives")
}

func TestGraceOfZeroKillsAtOnce(t *testing.T) {
	noneLeft(t)
	s := launch(t, proc.Grace(0))
	require.Equal(t, "ok", s.ask("stay"))
	s.close()
	assert.Equal(t, "signal: killed", brokenBy(t, s.ended()).State.String())
}

func TestClosingTheConnectionAgainDoesNoHarm(t *testing.T) {
	noneLeft(t)
	s := launch(t, proc.Grace(time.Hour))
	s.close()
	_ = s.Conn().Close()
	require.NoError(t, s.ended())
	_ = s.Conn().Close()
	s.Signal(syscall.SIGKILL)
	assert.NoError(t, s.Err())
}

// A process that is stopped cannot hear the end of file.
func TestStoppedChildIsKilledAfterItsGrace(t *testing.T) {
	noneLeft(t)
	s := launch(t, proc.Grace(50*time.Millisecond))
	s.Signal(syscall.SIGSTOP)
	requireStopped(t, s.Pid())
	s.close()
	assert.Equal(t, "signal: killed", brokenBy(t, s.ended()).State.String())
}

func TestChildIsKilledAfterItsContext(t *testing.T) {
	noneLeft(t)
	for _, after := range []time.Duration{0, 300 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := launchUnder(ctx, t, proc.KillAfter(after), proc.Grace(time.Hour))
			child := s.askPid("child")
			began := time.Now()
			cancel()
			if after > 0 {
				assert.NotEmpty(t, s.ask("who"), "there is time for a last word")
			}
			broken := brokenBy(t, s.ended())
			assert.GreaterOrEqual(t, time.Since(began), after)
			assert.Equal(t, "signal: killed", broken.State.String())
			requireDead(t, child, "the grandchild lives")
			_, err := s.in.ReadByte()
			assert.Error(t, err)
		})
	}
}

// Which of the two ends comes first is what counts.
func TestChildThatEndsWithinKillAfterIsNotKilled(t *testing.T) {
	noneLeft(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := launchUnder(ctx, t, proc.KillAfter(time.Hour), proc.Grace(time.Hour))
	cancel()
	assert.NotEmpty(t, s.ask("who"))
	s.close()
	assert.NoError(t, s.ended())
}

func TestChildThatHasEndedHasNothingToDoWithItsContext(t *testing.T) {
	noneLeft(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := launchUnder(ctx, t, proc.KillAfter(0))
	s.close()
	require.NoError(t, s.ended())
	cancel()
	assert.NoError(t, s.Err())
}

func TestLaunchWithAnEndedContextStartsNothing(t *testing.T) {
	noneLeft(t)
	cause := errors.New("on purpose")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	commands := 0
	c, err := proc.Launch(ctx, obedient, proc.Command(func(*exec.Cmd) { commands++ }))
	assert.Nil(t, c)
	assert.Equal(t, cause, err)
	assert.Zero(t, commands)
}

// The process has not come to Serve when the context ends.
func TestLaunchThatIsCanceledLeavesNothing(t *testing.T) {
	file := victimFile(t)
	for _, env := range []string{"VICTIM_INIT=block", "VICTIM_LOST=block"} {
		t.Run(env, func(t *testing.T) {
			noneLeft(t)
			cause := errors.New("on purpose")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			out, write, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _ = out.Close() }()
			go func() {
				_, err := bufio.NewReader(out).ReadString('\n') // it is there
				assert.NoError(t, err)
				cancel(cause)
			}()
			c, err := proc.Launch(ctx, "reader", proc.Command(func(cmd *exec.Cmd) {
				cmd.Path, cmd.Stdout = file, write
				cmd.Env = append(cmd.Environ(), env)
			}))
			_ = write.Close()
			assert.Nil(t, c)
			assert.Equal(t, cause, err)
			assert.Empty(t, running(file), "it was reaped")
		})
	}
}

func TestLaunchedProcessThatDoesNotServeIsAnError(t *testing.T) {
	file := victimFile(t)
	c, err := proc.Launch(t.Context(), "reader", proc.Command(func(cmd *exec.Cmd) {
		cmd.Path, cmd.Stdout = file, io.Discard
		cmd.Env = append(cmd.Environ(), "VICTIM_LOST=exit 0")
	}))
	assert.Nil(t, c)
	_ = brokenBy(t, err)
	require.ErrorIs(t, err, proc.ErrNotServed)
	requireGone(t, file)
}

// Path is another program that serves the kind.
func TestLaunchedProgramMayBeAnother(t *testing.T) {
	file := victimFile(t)
	out, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = out.Close() }()
	c, err := proc.Launch(t.Context(), "reader", proc.Command(func(cmd *exec.Cmd) { cmd.Path, cmd.Stdout = file, write }))
	_ = write.Close()
	require.NoError(t, err)
	assert.Equal(t, []int{c.Pid()}, running(file))
	_, err = io.WriteString(c.Conn(), `{"Name":"a","Do":"return"}`+"\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("up %d a\n", c.Pid()), line)
	require.NoError(t, c.Conn().Close())
	<-c.Exited()
	require.NoError(t, c.Err())
	requireGone(t, file)
}

func TestSignalReachesTheGroup(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	child := s.askPid("child")
	s.Signal(syscall.SIGSTOP)
	requireStopped(t, s.Pid())
	requireStopped(t, child)
	s.Signal(syscall.SIGCONT)
	require.NotEmpty(t, s.ask("who"))
	s.Signal(syscall.SIGTERM) // which the child pays no attention to, and what it has started does
	requireDead(t, child, "the grandchild lives")
	s.requireRuns()
	s.close()
	require.NoError(t, s.ended())
}

func TestHandlerMayListenForSignals(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT} {
		require.Equal(t, "ok", s.ask(fmt.Sprintf("listen %d", sig)))
		s.Signal(sig)
		assert.Equal(t, sig.String(), s.hear())
	}
	s.close()
	assert.NoError(t, s.ended())
}

func TestSignalAfterTheEndDoesNothing(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	s.tell("exit 3")
	err := s.ended()
	require.Error(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, 0} {
		s.Signal(sig)
	}
	assert.Equal(t, err, s.Err())
}

func TestSignalEndsAChild(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	child := s.askPid("child")
	s.Signal(syscall.SIGKILL)
	assert.Equal(t, "signal: killed", brokenBy(t, s.ended()).State.String())
	requireDead(t, child, "the grandchild lives")
}

// It is dead for its parent when it has ended, not when its connection is closed.
func TestChildMayCloseItsConnectionAndLive(t *testing.T) {
	noneLeft(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := launchUnder(ctx, t, proc.KillAfter(0))
	s.tell("hangup")
	_, err := s.in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	s.requireRuns()
	cancel()
	assert.Equal(t, "signal: killed", brokenBy(t, s.ended()).State.String())
}

func TestGrandchildrenGoWithTheirChild(t *testing.T) {
	noneLeft(t)
	for _, line := range []string{"return", "exit 0", "exit 3"} {
		t.Run(line, func(t *testing.T) {
			s := launch(t)
			child := s.askPid("child")
			s.tell(line)
			_ = s.ended()
			requireDead(t, child, "the grandchild lives")
		})
	}
}

func TestChildrenOfAChildGoWithIt(t *testing.T) {
	noneLeft(t)
	s := launch(t)
	below := s.askPid("launch")
	assert.True(t, isAlive(below))
	s.close()
	require.NoError(t, s.ended())
	requireDead(t, below, "the process below lives")
}

func TestMemoryOfAChildIsLimitedAsLongAsItLives(t *testing.T) {
	noneLeft(t)
	s := launch(t, proc.Memory(256<<20))
	require.Equal(t, strconv.Itoa(1<<20), s.ask("memory 1"))
	s.requireRuns()
	s.tell("memory 1024")
	broken := brokenBy(t, s.ended())
	require.ErrorIs(t, broken, proc.ErrMemory)
	assert.Equal(t, "signal: killed", broken.State.String())
}

func TestCommandOfAChildIsShown(t *testing.T) {
	noneLeft(t)
	more, write, err := os.Pipe()
	require.NoError(t, err)
	_, err = write.WriteString("text")
	require.NoError(t, err)
	require.NoError(t, write.Close())
	got := new(output)
	s := launch(t,
		proc.Command(func(cmd *exec.Cmd) {
			assert.Len(t, cmd.Args, 1)
			assert.Len(t, cmd.ExtraFiles, 1)
			cmd.Env = append(cmd.Environ(), "LAUNCH_TEST=first")
			cmd.Stderr = got
		}),
		proc.Command(func(cmd *exec.Cmd) { // each is called, in order
			assert.Contains(t, cmd.Env, "LAUNCH_TEST=first")
			cmd.Env = append(cmd.Env, "LAUNCH_TEST=second")
			cmd.ExtraFiles = append(cmd.ExtraFiles, more)
		}))
	require.NoError(t, more.Close())
	assert.Equal(t, "second", s.ask("env LAUNCH_TEST"))
	assert.Equal(t, "text <nil>", s.ask("file 4"))
	s.tell("lines 1")
	require.NoError(t, s.ended())
	assert.Equal(t, "line 0\n", got.String())
}

func TestCommandThatTakesWhatIsNeededPanics(t *testing.T) {
	noneLeft(t)
	for name, f := range map[string]func(*exec.Cmd){
		"Args":       func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-v") },
		"ExtraFiles": func(cmd *exec.Cmd) { cmd.ExtraFiles = nil },
		"the first":  func(cmd *exec.Cmd) { cmd.ExtraFiles = append([]*os.File{os.Stdin}, cmd.ExtraFiles...) },
	} {
		t.Run(name, func(t *testing.T) {
			value := misuse(func() { _, _ = proc.Launch(t.Context(), obedient, proc.Command(f)) })
			text, ok := value.(string)
			assert.True(t, ok && strings.HasPrefix(text, "traigo: "), "%v", value)
		})
	}
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

// A panic of the function itself goes to the caller, and nothing is left open.
func TestCommandThatPanicsLeavesNothing(t *testing.T) {
	noneLeft(t)
	before := openFiles(t)
	for range 20 {
		value := misuse(func() {
			_, _ = proc.Launch(t.Context(), obedient, proc.Command(func(*exec.Cmd) { panic("on purpose") }))
		})
		assert.Equal(t, "on purpose", value)
	}
	assert.LessOrEqual(t, openFiles(t), before)
}

func TestProgramThatDoesNotStartLeavesNoFileOpen(t *testing.T) {
	noneLeft(t)
	before := openFiles(t)
	for range 20 {
		_, err := proc.Launch(t.Context(), obedient, proc.Command(func(cmd *exec.Cmd) { cmd.Path = "/nothing" }))
		require.Error(t, err)
	}
	assert.LessOrEqual(t, openFiles(t), before)
}

func TestEnvironmentOfAChildIsThatOfItsCommand(t *testing.T) {
	noneLeft(t)
	s := launch(t, proc.Command(func(cmd *exec.Cmd) { cmd.Env = []string{"LAUNCH_TEST=alone"} }))
	assert.Equal(t, "LAUNCH_TEST=alone", s.ask("environ"), "and not more than that")
	s.close()
	require.NoError(t, s.ended())
}

func TestManyChildrenAtOnceAreAllThere(t *testing.T) {
	noneLeft(t)
	n := 20
	if testing.Short() {
		n = 6
	}
	pids := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c, err := proc.Launch(t.Context(), obedient, proc.Grace(time.Hour))
			if !assert.NoError(t, err) {
				return
			}
			_, err = io.WriteString(c.Conn(), "who\n")
			assert.NoError(t, err)
			line, err := bufio.NewReader(c.Conn()).ReadString('\n')
			assert.NoError(t, err)
			assert.True(t, strings.HasPrefix(line, fmt.Sprint(c.Pid(), " ")), line)
			assert.NoError(t, c.Conn().Close())
			<-c.Exited()
			assert.NoError(t, c.Err(), "the end of file came, though others were started")
			pids[i] = c.Pid()
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for _, pid := range pids {
		seen[pid] = true
	}
	assert.Len(t, seen, n)
}
