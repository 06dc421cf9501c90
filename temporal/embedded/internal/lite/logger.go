package lite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	"go.temporal.io/server/common/log/tag"
)

// A logger is where the server's services write. Of what they warn of while they start and
// stop nothing concerns the user, so it goes to slog's default at level Debug; what ends the
// program in a server that has one for itself ends the goroutine here, and is the error of
// what guard runs.
type logger struct {
	mu    sync.Mutex
	fatal error
}

func (l *logger) Debug(string, ...tag.Tag) {}
func (l *logger) Info(string, ...tag.Tag)  {}

func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.write("WARN", msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.write("ERROR", msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write("DPANIC", msg, tags) }

func (l *logger) Panic(msg string, tags ...tag.Tag) { panic(failure(msg, tags)) }

func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	l.mu.Lock()
	if l.fatal == nil {
		l.fatal = failure(msg, tags)
	}
	l.mu.Unlock()
	l.write("FATAL", msg, tags)
	runtime.Goexit()
}

func (l *logger) write(as, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if !slog.Default().Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("server", as)}
	for _, t := range tags {
		attrs = append(attrs, slog.Any(t.Key(), t.Value()))
	}
	slog.LogAttrs(ctx, slog.LevelDebug, "temporal server: "+msg, attrs...)
}

// guard runs fn, on a goroutine of its own because that may be ended by Fatal.
func (l *logger) guard(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it ended its goroutine")
		defer func() {
			p := recover()
			l.mu.Lock()
			defer l.mu.Unlock()
			switch {
			case l.fatal != nil:
				err = l.fatal
			case p != nil:
				err = fmt.Errorf("it panicked: %v", p)
			}
			done <- err
		}()
		err = fn()
	}()
	return <-done
}

// failure is the error that a message with its tags is.
func failure(msg string, tags []tag.Tag) error {
	var text strings.Builder
	var cause error
	for _, t := range tags {
		zap, ok := t.(tag.ZapTag)
		if err, isErr := zap.Field().Interface.(error); ok && isErr {
			cause = err
			continue
		}
		fmt.Fprintf(&text, ", %s %v", t.Key(), t.Value())
	}
	if cause == nil {
		return fmt.Errorf("%s%s", msg, &text)
	}
	return fmt.Errorf("%s%s: %w", msg, &text, cause)
}

// quiet is the log of a client that only asks whether the server is there.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
