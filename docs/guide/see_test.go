package guide_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
	"github.com/traigo/traigo/record"
)

// backup waits for itself: a program that has something to show.
func backup(ctx context.Context, s *traigo.Scope) error {
	s.Spawn(untilCanceled, traigo.Name("heartbeat"), traigo.Awaited(false))
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(untilCanceled, traigo.Name("index"))
		s.Spawn(func(context.Context) error { return errReset }, traigo.Name("upload"))
		return nil
	}, traigo.Name("photos"))
}

func Example_seeTree() {
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		_, err := s.Start(ctx, uploadPhotos, traigo.Name("upload"))
		fmt.Print(sameTimes(s.Snapshot().String()))
		s.Cancel(nil)
		return err
	}, traigo.Name("backup"))
	// Output:
	// backup (open, 1ms)
	// └─ • upload (running, 1ms, ready)
	//    └─ photos (open, 1ms)
	//       └─ • index (running, 1ms, not awaited)
}

func uploadPhotos(ctx context.Context, ready func()) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			ready()
			return untilCanceled(ctx)
		}, traigo.Name("index"), traigo.Awaited(false))
		return untilCanceled(ctx)
	}, traigo.Name("photos"))
}

func Example_seeRecord() {
	path := filepath.Join(tempDir(), "run.jsonl")
	defer os.RemoveAll(filepath.Dir(path))
	backupRecorded := func(ctx context.Context) error {
		rec, err := record.Create(path) // "run.jsonl", say
		if err != nil {
			return err
		}
		err = traigo.Run(ctx, backup, traigo.Observe(rec))
		return errors.Join(err, rec.Close())
	}
	fmt.Println(backupRecorded(ctx))

	log, err := os.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	history, err := record.Read(log)
	if err != nil {
		fmt.Println(err)
		return
	}
	var tree strings.Builder
	_ = history.WriteTree(&tree)
	_, text, _ := strings.Cut(tree.String(), "\n") // without the first line, which describes the process
	fmt.Print(strings.Replace(sameTimes(text), " (1 ms after it began)", "", 1))
	// Output:
	// scope "backup/photos": task "upload": connection reset
	// ✗ backup/photos failed at 1 ms: task upload returned “connection reset”. That ended backup as well, and 2 tasks were canceled because of it.
	//
	// backup  1 ms  body failed ← photos/upload
	// ├─ ○ heartbeat  1 ms  canceled
	// └─ photos  1 ms  task failed ← upload, 2 tasks canceled because of it
	//    ├─ ○ index  1 ms  canceled
	//    └─ ✗ upload  1 ms  failed: connection reset
}

func tempDir() string {
	dir, err := os.MkdirTemp("", "guide")
	if err != nil {
		panic(err)
	}
	return dir
}

// The page answers while the program stops, after a signal.
func TestSeeProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	cmd := exec.CommandContext(t.Context(), build(t, programOf(t, "see.md", 0)), "127.0.0.1:0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	first, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	url := strings.TrimSpace(strings.TrimPrefix(first, "scopes: "))

	pageWith := func(text string) string {
		for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
			http.DefaultClient.CloseIdleConnections() // as curl, which connects anew
			page, err := get(url)
			require.NoError(t, err)
			if strings.Contains(page, text) && !strings.Contains(page, "shutdown:") { // a task that ends at once
				return page
			}
		}
		require.FailNow(t, "the page does not show it", text)
		return ""
	}
	pageWith("upload (running")
	assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	page := sameTimes(pageWith("main (finalizing"))
	text := fmt.Sprintf("$ ./app 127.0.0.1:6060 &\n%s$ kill %%1\n$ curl %s\n%s", first, url, page)
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	shows(t, `
$ ./app 127.0.0.1:6060 &
scopes: http://127.0.0.1:6060
$ kill %1
$ curl http://127.0.0.1:6060
2 scopes, 1 task

main (finalizing, 1ms)
└─ app (finalizing, 1ms)
   └─ • upload (running, 1ms, chan receive at main.go:36)
`, strings.ReplaceAll(text, port, "6060"))

	assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.Error(t, cmd.Wait())
	assert.Equal(t, 128+int(syscall.SIGTERM), cmd.ProcessState.ExitCode())
	assert.Equal(t, "scope \"main\": a second signal: terminated\n", stderr.String())
}

func accept(ctx context.Context, ready func()) error {
	ready()
	return untilCanceled(ctx)
}

func Example_seeLog() {
	l := slog.New(diag.LogHandler(handler))
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			l.InfoContext(ctx, "connected", "peer", "db1")
			return nil
		}, traigo.Name("dial"))
		return nil
	}, traigo.Name("app"))
	// Output:
	// level=INFO msg=connected peer=db1 scope=app task=app/dial
}

var handler = newHandler(slog.LevelInfo)

func Example_seeSteps() {
	debug := slog.New(newHandler(slog.LevelDebug))
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		return s.Spawn(func(context.Context) error { return nil }, traigo.Name("dial")).Wait(ctx)
	}, traigo.Name("app"), traigo.Logger(debug))
	// Output:
	// level=DEBUG msg="traigo: scope opened" scope=app
	// level=DEBUG msg="traigo: task spawned" scope=app task=app/dial
	// level=DEBUG msg="traigo: task started" scope=app task=app/dial
	// level=DEBUG msg="traigo: task ended" scope=app task=app/dial
	// level=DEBUG msg="traigo: scope finalized" scope=app
	// level=DEBUG msg="traigo: scope canceled" scope=app err="scope \"app\" canceled: completed"
	// level=DEBUG msg="traigo: scope closed" scope=app
}

func Example_seeLabels() {
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		if _, err := s.Start(ctx, accept); err != nil {
			return err
		}
		var profile bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
		for line := range strings.Lines(profile.String()) {
			if strings.Contains(line, `"traigo.task":"accept"`) {
				fmt.Print(line)
			}
		}
		s.Cancel(nil)
		return nil
	}, traigo.Name("server"), traigo.Wrap(diag.PprofLabels))
	// Output:
	// # labels: {"traigo.scope":"server", "traigo.task":"accept"}
}
