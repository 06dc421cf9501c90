package supervise_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

var (
	errBoom  = errors.New("boom")
	errBang  = errors.New("bang")
	errOuter = errors.New("outer")
)

// book keeps the records that are logged at level WARN or above, a line for each, without
// the time.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) logger() supervise.LoggerOption {
	return supervise.Logger(slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
}

// saying returns the lines with a message of package traigo's that begin with these
// attributes.
func (b *book) saying(message, attrs string) (lines []string) {
	for _, line := range b.lines() {
		if strings.Contains(line, ` msg="traigo: `+message+`" `+attrs) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (b *book) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.TrimSpace(b.buf.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// diary is a list of events in the order in which they happened.
type diary struct {
	mu    sync.Mutex
	notes []string
}

func (d *diary) note(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, text)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.notes...)
}

// opened is an observer that records the paths of the scopes that are opened.
type opened struct{ diary }

func (o *opened) Observe(e traigo.Event) {
	if e.Kind == traigo.ScopeOpened {
		o.note(e.Scope.Path())
	}
}

// quiet drops the records that a test would log.
func quiet() supervise.LoggerOption { return supervise.Logger(slog.New(slog.DiscardHandler)) }

// every is a backoff with a constant delay.
func every(d time.Duration) supervise.Option {
	return supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(d) })
}

// spawned runs fn as the task "job" of a scope "app", and returns the outcome.
func spawned(ctx context.Context, fn func(context.Context) error, opts ...traigo.ScopeOption) error {
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(fn, traigo.Name("job"))
		return nil
	}, append(opts, traigo.Name("app"), traigo.Logger(slog.New(slog.DiscardHandler)))...)
}

func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// raised returns the value with which f panics. It fails the test if f does not.
func raised(t *testing.T, f func()) (value any) {
	t.Helper()
	defer func() {
		value = recover()
		require.NotNil(t, value, "no panic")
	}()
	f()
	return nil
}

// failing returns a function and the number of its calls. The function returns errs one
// after the other, and then nil.
func failing(errs ...error) (func(context.Context) error, *atomic.Int32) {
	var calls atomic.Int32
	return func(context.Context) error {
		if n := int(calls.Add(1)); n <= len(errs) {
			return errs[n-1]
		}
		return nil
	}, &calls
}

// always returns a function that returns err.
func always(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// after returns a function that sleeps for d, ignores its context, and returns err.
func after(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return err }
}

func unwrapped(err error) []error {
	var e *traigo.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Unwrap()
}
