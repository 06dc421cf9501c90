package diag_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"runtime/trace"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/diag"
)

// A profile shows these labels with each sample, and a crash with each goroutine if
// GODEBUG=tracebacklabels=1 is set.
func ExamplePprofLabels() {
	_ = traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			pprof.ForLabels(ctx, func(key, value string) bool {
				fmt.Printf("%s=%q\n", key, value)
				return true
			})
			return nil
		}, traigo.Name("read"))
		return nil
	}, traigo.Name("server"), traigo.Wrap(diag.PprofLabels))
	// Output:
	// traigo.scope="server"
	// traigo.task="read"
}

// A flight recorder keeps the last seconds of a program as a trace. Here it is written
// when something has failed, to be opened with go tool trace.
func ExampleRuntimeTrace() {
	recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{})
	if err := recorder.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer recorder.Stop()

	err := traigo.Run(context.Background(), func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(func(context.Context) error {
			return errors.New("disk full")
		}, traigo.Name("write"))
		return nil
	}, traigo.Name("save"), traigo.Wrap(diag.RuntimeTrace))

	if err != nil {
		var file bytes.Buffer // instead of a file
		_, _ = recorder.WriteTo(&file)
		fmt.Println(err)
		fmt.Println("in the trace:", bytes.Contains(file.Bytes(), []byte(`task "save/write": disk full`)))
	}
	// Output:
	// scope "save": task "write": disk full
	// in the trace: true
}

func ExampleLogHandler() {
	text := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // this example has the same output each time
			}
			return a
		},
	})
	logger := slog.New(diag.LogHandler(text))

	logger.Info("listening")
	_ = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		logger.InfoContext(ctx, "accepted")
		s.Spawn(func(ctx context.Context) error {
			logger.WithGroup("http").InfoContext(ctx, "request", "method", "GET")
			return nil
		}, traigo.Name("read"))
		return nil
	}, traigo.Name("server"))
	// Output:
	// level=INFO msg=listening
	// level=INFO msg=accepted scope=server
	// level=INFO msg=request scope=server task=server/read http.method=GET
}
