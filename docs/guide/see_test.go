package guide_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
	"github.com/traigo/traigo/live"
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
	fmt.Print(sameTimes(text))
	// Output:
	// scope "backup/photos": task "upload": connection reset
	// First to fail: backup/photos, after 1ms: task failed ← upload: connection reset
	//
	// backup  1ms  body failed: scope "backup/photos": task "upload": connection reset
	// ├─ ○ heartbeat  1ms  canceled
	// └─ photos  1ms  task failed ← upload: connection reset
	//    ├─ ○ index  1ms  canceled
	//    └─ ✗ upload  1ms  failed: connection reset
}

func tempDir() string {
	dir, err := os.MkdirTemp("", "guide")
	if err != nil {
		panic(err)
	}
	return dir
}

func Example_seeLive() {
	server := traigo.New(ctx, traigo.Name("server"))
	_, _ = server.Start(ctx, accept)

	mux := http.NewServeMux()
	live.Register(mux, server) // at /debug/scopes/

	site := httptest.NewServer(mux)
	resp, err := http.Get(site.URL + "/debug/scopes/")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	site.Close()
	fmt.Print(sameTimes(string(text)))
	_ = server.Close()
	// Output:
	// 1 scope, 1 task
	//
	// server (open, 1ms)
	// └─ • accept (running, 1ms, ready)
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
