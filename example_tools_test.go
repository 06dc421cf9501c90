package traigo_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	rtrace "runtime/trace"

	"github.com/traigo/traigo"
)

// Profiles, and dumps under GODEBUG=tracebacklabels=1, say whose a goroutine is. The
// same is in the context, for what else wants to know it.
func ExamplePprofLabels() {
	show := func(ctx context.Context) {
		pprof.ForLabels(ctx, func(key, value string) bool {
			fmt.Printf("%s: %s\n", key, value)
			return true
		})
	}
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("tenant", "acme"))
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		show(ctx)
		return s.Spawn(func(ctx context.Context) error {
			show(ctx)
			return nil
		}, traigo.Name("query")).Wait(ctx)
	}, traigo.Name("request"), traigo.PprofLabels())
	// Output:
	// tenant: acme
	// traigo.scope: request
	// tenant: acme
	// traigo.scope: request
	// traigo.task: query
}

// An execution trace has the scopes for tasks and their tasks for regions: go tool
// trace shows where their time went.
func ExampleRuntimeTrace() {
	var recorded bytes.Buffer // or a file, /debug/pprof/trace, a flight recorder
	if err := rtrace.Start(&recorded); err != nil {
		fmt.Println(err)
		return
	}
	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			rtrace.Log(ctx, "cache", "not in there")
			return nil
		}, traigo.Name("look up"))
		return nil
	}, traigo.Name("request 17"), traigo.RuntimeTrace())
	rtrace.Stop()

	for _, text := range []string{"request 17", "look up", "not in there"} {
		fmt.Println(bytes.Contains(recorded.Bytes(), []byte(text)))
	}
	// Output:
	// true
	// true
	// true
}

// A program's own logs say in which scope and task they were made, if they are given
// the context.
func ExampleLogHandler() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	text := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	logger := slog.New(traigo.LogHandler(text))

	ctx := context.Background()
	logger.InfoContext(ctx, "listening")
	_ = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		logger.InfoContext(ctx, "accepted")
		return s.Spawn(func(ctx context.Context) error {
			logger.WithGroup("http").InfoContext(ctx, "request", "method", "GET")
			return nil
		}, traigo.Name("read")).Wait(ctx)
	}, traigo.Name("server"))
	// Output:
	// level=INFO msg=listening
	// level=INFO msg=accepted scope=server
	// level=INFO msg=request scope=server task=server/read http.method=GET
}
