package temporal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
	"github.com/traigo/traigo/temporal"
)

// The tests run a server in a process of its own: the binary that TRAIGO_TEMPORAL_SERVER names or,
// without that, one that is built from ../embedded. Workers and owners are processes of the test
// binary, which TRAIGO_TEST_ROLE makes one of the roles.

// roles are what a process of the test binary can be: functions that return when it is to end.
var roles = map[string]func(ctx context.Context) error{}

// role adds one. It is called in package variables.
func role(name string, fn func(ctx context.Context) error) string {
	roles[name] = fn
	return name
}

func TestMain(m *testing.M) {
	proc.Serve()
	if name := os.Getenv("TRAIGO_TEST_ROLE"); name != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		go func() { // the end of the test is the end of its processes
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(3)
		}()
		err := roles[name](ctx)
		stop()
		if err != nil {
			say("error %v", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(withServer(m.Run))
}

func withServer(run func() int) int {
	binary := os.Getenv("TRAIGO_TEMPORAL_SERVER")
	if binary == "" {
		dir, err := os.MkdirTemp("", "traigo-temporal")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "server")
		fmt.Fprintln(os.Stderr, "building the embedded server: the first time, up to a quarter of an hour")
		build := exec.Command("go", "build", "-o", binary, "./internal/server")
		build.Dir = "embedded"
		if out, err := build.CombinedOutput(); err != nil {
			log.Fatalf("the server cannot be built: %v\n%s", err, out)
		}
		os.Setenv("TRAIGO_TEMPORAL_SERVER", binary)
	}
	server, err := startServer("")
	if err != nil {
		log.Fatal(err)
	}
	defer server.stop()
	os.Setenv("TEMPORAL_ADDRESS", server.address)
	return run()
}

// A server is a server in a process of its own.
type server struct {
	address string
	cmd     *exec.Cmd
	stdin   io.Closer
}

// startServer starts a server, at an address if it is to be a certain one.
func startServer(address string) (*server, error) {
	var args []string
	if address != "" {
		args = []string{address}
	}
	s := &server{cmd: exec.Command(os.Getenv("TRAIGO_TEMPORAL_SERVER"), args...)}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdin, s.cmd.Stderr = stdin, os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait()
		return nil, fmt.Errorf("the server has not told its address: %w", err)
	}
	s.address = strings.TrimSpace(line)
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return s, nil
}

// stop stops it, as a user would.
func (s *server) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
}

// kill kills it.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// say writes a line for the test that has started this process.
func say(format string, args ...any) { _, _ = fmt.Printf(format+"\n", args...) }

// A process is a process of the test binary, in one of the roles.
type process struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	lines  []string
	exited chan struct{}
}

// start starts a process. env is NAME=value. It is killed at the end of the test.
func start(t *testing.T, role string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), exited: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "TRAIGO_TEST_ROLE="+role), env...)
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.cmd.Stderr = &lineWriter{to: func(line string) { t.Log(role, p.pid(), line) }}
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.exited)
		in := bufio.NewScanner(stdout)
		in.Buffer(nil, 16<<20)
		for in.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, in.Text())
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		<-p.exited
		_ = stdin.Close()
	})
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends it a signal: SIGKILL, SIGSTOP, SIGCONT; SIGTERM ends the context of its role.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// said returns the lines that it has said and that begin with prefix.
func (p *process) said(prefix string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, line := range p.lines {
		if strings.HasPrefix(line, prefix) {
			all = append(all, line)
		}
	}
	return all
}

// patience is the time within which anything happens, on a machine that has much else to do.
const patience = 2 * time.Minute

// await waits until it has said a line that begins with prefix, and returns the first one.
func (p *process) await(t *testing.T, prefix string) string {
	t.Helper()
	var line string
	eventually(t, func() bool {
		if all := p.said(prefix); len(all) > 0 {
			line = all[0]
			return true
		}
		select {
		case <-p.exited:
			return len(p.said(prefix)) > 0
		default:
			return false
		}
	}, "the process has not said %q, but %q", prefix, p.said(""))
	return line
}

// eventually polls until ok.
func eventually(t *testing.T, ok func() bool, format string, args ...any) {
	t.Helper()
	require.Eventually(t, ok, patience, 10*time.Millisecond, append([]any{format}, args...)...)
}

type lineWriter struct {
	mu   sync.Mutex
	rest string
	to   func(line string)
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.Split(w.rest+string(b), "\n")
	w.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		w.to(line)
	}
	return len(b), nil
}

// functions are those that every worker of the tests has. Test files add theirs in package
// variables, by register.
var functions []temporal.WorkOption

func register[In, Out any](f *temporal.Function[In, Out]) *temporal.Function[In, Out] {
	functions = append(functions, f)
	return f
}

// worker is a worker of the queue TRAIGO_TEST_QUEUE, with all functions, until SIGTERM.
var worker = role("worker", func(ctx context.Context) error {
	e, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	with := slices.Clone(functions)
	if os.Getenv("TRAIGO_TEST_SLOTS") == "1" {
		with = append(with, temporal.Slots(1))
	}
	say("worker %d", os.Getpid())
	return temporal.Work(ctx, e, os.Getenv("TRAIGO_TEST_QUEUE"), with...)
})

// startWorker starts a worker process for a queue.
func startWorker(t *testing.T, queue string, env ...string) *process {
	t.Helper()
	p := start(t, worker, append([]string{"TRAIGO_TEST_QUEUE=" + queue}, env...)...)
	p.await(t, "worker ")
	return p
}

// queueOf returns a queue that no other test has.
func queueOf(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
}

// connect connects the test itself to the server.
func connect(t *testing.T) *temporal.Engine {
	t.Helper()
	e, err := temporal.Connect(t.Context())
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// logged makes slog.Default write to what is returned, for the rest of the test.
func logged(t *testing.T) *records {
	t.Helper()
	r := &records{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lineWriter{to: r.add}, &slog.HandlerOptions{Level: slog.LevelInfo})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return r
}

type records struct {
	mu    sync.Mutex
	lines []string
}

func (r *records) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// having returns the records that contain all of the texts.
func (r *records) having(texts ...string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			all = append(all, line)
		}
	}
	return all
}

// double is the simplest function.
var double = register(temporal.Func("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }))

// until says "began KEY", waits for its context, and says "ended KEY CAUSE".
var until = register(temporal.Func("until", func(ctx context.Context, key string) (string, error) {
	say("began %s attempt %d", key, temporal.Current(ctx).Number)
	<-ctx.Done()
	say("ended %s %v", key, context.Cause(ctx))
	return "", context.Cause(ctx)
}))

func TestRun(t *testing.T) {
	queue := queueOf(t)
	startWorker(t, queue)
	e := connect(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		n, err := double.Run(ctx, r, 21)
		require.NoError(t, err)
		require.Equal(t, 42, n)
		return nil
	})
	require.NoError(t, err)
}
