package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// serve is the program that the examples record.
func serve(ctx context.Context, s *traigo.Scope) error {
	listening := s.Spawn(func(context.Context) error { return nil }, traigo.Name("listen"))
	if err := listening.Wait(ctx); err != nil {
		return err
	}
	return s.Spawn(func(context.Context) error {
		return errors.New("too many open files")
	}, traigo.Name("accept"), traigo.Bubble(false)).Wait(ctx)
}

func Example() {
	dir, _ := os.MkdirTemp("", "record")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "run.jsonl")

	rec, err := record.Create(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = traigo.Run(context.Background(), serve, traigo.Name("server"), traigo.Observe(rec))
	fmt.Println(err)
	fmt.Println(rec.Close())

	log, _ := os.Open(path)
	defer log.Close()
	h, _ := record.Read(log)
	for _, s := range h.Scopes {
		fmt.Println(s.Path(), s.State, s.Cause.Kind)
		for _, t := range s.Tasks {
			fmt.Printf("%s: %s %q\n", t.Path(), t.State, t.Err)
		}
	}
	// Output:
	// scope "server": too many open files
	// <nil>
	// server closed body failed
	// server/listen: ok ""
	// server/accept: failed "too many open files"
}

// The usual frame in a program: the error of Close says if lines are missing.
func ExampleCreate() {
	dir, _ := os.MkdirTemp("", "record")
	defer os.RemoveAll(dir)

	app := serve
	recorded := func(ctx context.Context, path string) error {
		rec, err := record.Create(path) // "run.jsonl", say
		if err != nil {
			return err
		}
		err = traigo.Run(ctx, app, traigo.Observe(rec))
		return errors.Join(err, rec.Close())
	}
	fmt.Println(recorded(context.Background(), filepath.Join(dir, "run.jsonl")))
	// Output:
	// scope "serve": too many open files
}

func ExampleNew() {
	var out bytes.Buffer
	rec := record.New(&out)
	_ = traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil },
		traigo.Name("nothing"), traigo.Observe(rec))
	_ = rec.Close()

	_, lines, _ := strings.Cut(out.String(), "\n") // without the first line, which describes the process
	lines = regexp.MustCompile(`"(t|id)":\d+`).ReplaceAllString(lines, `"$1":…`)
	fmt.Print(lines)
	// Output:
	// {"t":…,"k":"scope","id":…,"n":"nothing"}
	// {"t":…,"k":"finalize","id":…}
	// {"t":…,"k":"cancel","id":…,"why":"completed"}
	// {"t":…,"k":"close","id":…}
	// {"t":…,"k":"bye"}
}

// For a server that runs for months: the last five files are kept.
func ExampleMaxSize() {
	dir, _ := os.MkdirTemp("", "record")
	defer os.RemoveAll(dir)

	rec, err := record.Create(filepath.Join(dir, "server.jsonl"),
		record.MaxSize(64<<20), record.MaxAge(24*time.Hour), record.Keep(4))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rec.Close())
	// Output:
	// <nil>
}

func ExampleRead() {
	// The program was killed while it wrote the third event.
	log := `{"traigo":1,"t0":"2026-11-21T01:02:03Z","run":"6f1c9a0e","pid":71,"go":"go1.26"}
{"t":1000,"k":"scope","id":3,"n":"server"}
{"t":2100,"k":"spawn","s":3,"id":1,"n":"accept","f":"bw"}
{"t":2300,"k":"sta`
	h, err := record.Read(strings.NewReader(log))
	fmt.Println(err, h.Truncated, h.Closed)
	task := h.Scopes[0].Tasks[0]
	fmt.Println(task.Path(), task.State, task.Unfinished())
	// Output:
	// <nil> true false
	// server/accept queued true
}

func ExamplePrintTree() {
	var out bytes.Buffer
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		return s.Spawn(func(context.Context) error { return nil }, traigo.Name("listen")).Wait(ctx)
	}, traigo.Name("server"), traigo.Observe(record.PrintTree(&out)))

	fmt.Print(regexp.MustCompile(`(?m)^[0-9.]+[µm]?s `).ReplaceAllString(out.String(), "")) // without the times
	// Output:
	// scope opened: server
	// server (open)
	// task spawned: server/listen
	// server (open)
	// └─ • listen (queued)
	// task started: server/listen
	// server (open)
	// └─ • listen (running)
	// task ended: server/listen, ok
	// server (open)
	// scope finalized: server
	// server (finalizing)
	// scope canceled: server, scope "server" canceled: completed
	// server (canceling)
	// scope closed: server
}

// A process that starts another one tells it by whom it was started, in its environment for
// instance, and that process says so in its recording.
func ExampleStartedBy() {
	dir, _ := os.MkdirTemp("", "record")
	defer os.RemoveAll(dir)

	rec, _ := record.Create(filepath.Join(dir, "server.jsonl"))
	start := func(ctx context.Context) error {
		s, t := traigo.Current(ctx), traigo.CurrentTask(ctx)
		by := record.Starter{Run: record.RunOf(s), PID: os.Getpid(), Scope: s.ID(), Task: t.ID()}
		return worker(filepath.Join(dir, "server.worker.jsonl"), by) // in a process of its own
	}
	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(start, traigo.Name("start worker"))
		return nil
	}, traigo.Name("server"), traigo.Observe(rec))
	_ = rec.Close()

	h, err := record.ReadDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range h.Scopes {
		fmt.Println(s.Path(), s.BeginsProcess())
	}
	// Output:
	// server true
	// server/worker true
}

// worker is the main function of the other process.
func worker(path string, by record.Starter) error {
	rec, err := record.Create(path, record.StartedBy(by))
	if err != nil {
		return err
	}
	err = traigo.Run(context.Background(), func(context.Context, *traigo.Scope) error { return nil },
		traigo.Name("worker"), traigo.Observe(rec))
	return errors.Join(err, rec.Close())
}
