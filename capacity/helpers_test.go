package capacity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/capacity"
)

var (
	errBoom  = errors.New("boom")
	errOuter = errors.New("outer")
)

// A call is an Acquire that runs on a goroutine of its own.
type call struct {
	cancel   context.CancelCauseFunc
	returned chan struct{}

	// Written before returned is closed.
	release func()
	err     error
}

// acquire calls Acquire, and returns when that has returned or waits. It is for tests in
// bubbles.
func acquire(t *testing.T, l *capacity.Limiter, n int) *call {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return acquireWith(ctx, cancel, l, n)
}

func acquireWith(ctx context.Context, cancel context.CancelCauseFunc, l *capacity.Limiter, n int) *call {
	c := &call{cancel: cancel, returned: make(chan struct{})}
	go func() {
		defer close(c.returned)
		c.release, c.err = l.Acquire(ctx, n)
	}()
	synctest.Wait()
	return c
}

// waits reports whether the call has not returned.
func (c *call) waits() bool {
	synctest.Wait()
	select {
	case <-c.returned:
		return false
	default:
		return true
	}
}

// holds reports whether the call has got its units.
func (c *call) holds() bool { return !c.waits() && c.err == nil }

// taken takes units that are free, and fails the test if they are not.
func taken(t *testing.T, l *capacity.Limiter, n int) (release func()) {
	t.Helper()
	release, ok := l.TryAcquire(n)
	require.True(t, ok, "%+v", l.Stats())
	return release
}

// A gauge tells how many units were in use at most.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int) {
	now := g.now.Add(int64(n))
	for most := g.most.Load(); most < now && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
}

func (g *gauge) during(n int, f func()) {
	g.add(n)
	defer g.add(-n)
	f()
}

// requireTime checks how long f takes.
func requireTime(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	require.Equal(t, d, time.Since(start))
}

// raised returns the value with which f panics; nil if it does not.
func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// assertMisuse checks that f panics as a wrong call of this package does.
func assertMisuse(t *testing.T, says string, f func()) {
	t.Helper()
	text := fmt.Sprint(raised(f))
	assert.True(t, strings.HasPrefix(text, "traigo: capacity."), "%s", text)
	assert.Contains(t, text, says)
}

// A book keeps what is logged, a line for each record, without the time.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.FieldsFunc(b.buf.String(), func(r rune) bool { return r == '\n' })
}

// defaultLog makes a book of what is logged to slog's default logger until the test ends.
func defaultLog(t *testing.T) *book {
	t.Helper()
	b := new(book)
	setDefaultLog(t, slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	return b
}

func setDefaultLog(t *testing.T, h slog.Handler) {
	t.Helper()
	before, out, flags := slog.Default(), log.Writer(), log.Flags()
	t.Cleanup(func() {
		slog.SetDefault(before)
		// SetDefault has redirected package log, and does not undo that.
		log.SetOutput(out)
		log.SetFlags(flags)
	})
	slog.SetDefault(slog.New(h))
}

// A handler calls a function for each record.
type handler func()

func (h handler) Enabled(context.Context, slog.Level) bool  { return true }
func (h handler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h handler) WithGroup(string) slog.Handler             { return h }
