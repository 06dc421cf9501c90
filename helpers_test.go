package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

var (
	errBoom  = errors.New("boom")
	errOuter = errors.New("outer")
	errLate  = errors.New("late")
)

// untilCanceled is the shortest well-behaved task: it runs until it is told to end.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func succeed(context.Context) error { return nil }

func fail(context.Context) error { return errBoom }

// closed reports whether ch is closed now.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// itself is err as a T; what err wraps does not count.
func itself[T error](t *testing.T, err error) T {
	t.Helper()
	e, ok := any(err).(T)
	require.True(t, ok, "%T: %v", err, err)
	return e
}

// outcome is err in the shape of every failed scope's outcome.
func outcome(t *testing.T, err error) *traigo.Error {
	t.Helper()
	return itself[*traigo.Error](t, err)
}

// cancellation finds the *Cancellation of a kind in err: that of a scope below
// may wrap its parent's.
func cancellation(err error, kind traigo.CancelKind) *traigo.Cancellation {
	for c, ok := errors.AsType[*traigo.Cancellation](err); ok; c, ok = errors.AsType[*traigo.Cancellation](c.Err) {
		if c.Kind == kind {
			return c
		}
	}
	return nil
}

// story is an Observer that remembers.
type story struct {
	mu  sync.Mutex
	all []traigo.Event
}

func (st *story) Observe(e traigo.Event) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.all = append(st.all, e)
}

// events returns those of some kinds, or all.
func (st *story) events(kinds ...traigo.EventKind) (events []traigo.Event) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, e := range st.all {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			events = append(events, e)
		}
	}
	return events
}

// ofScope lists what happened to the scope itself, its tasks left out.
func (st *story) ofScope(s *traigo.Scope) []traigo.EventKind {
	st.mu.Lock()
	defer st.mu.Unlock()
	var kinds []traigo.EventKind
	for _, e := range st.all {
		if e.Scope == s && e.Task == nil {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// ended lists the errors the task's ends were observed with.
func (st *story) ended(task *traigo.Task) []error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var errs []error
	for _, e := range st.all {
		if e.Task == task && e.Kind == traigo.TaskEnded {
			errs = append(errs, e.Err)
		}
	}
	return errs
}

// logbook is a slog.Handler that remembers, as text.
type logbook struct {
	mu    sync.Mutex
	lines map[slog.Level][]string
}

func (b *logbook) logger() traigo.ScopeOption { return traigo.Logger(slog.New(b)) }

func (*logbook) Enabled(context.Context, slog.Level) bool { return true }

func (b *logbook) WithAttrs([]slog.Attr) slog.Handler { return b }

func (b *logbook) WithGroup(string) slog.Handler { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&line, " %s=%v", a.Key, a.Value)
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines == nil {
		b.lines = map[slog.Level][]string{}
	}
	b.lines[r.Level] = append(b.lines[r.Level], line.String())
	return nil
}

// count says how many records of the level mention text.
func (b *logbook) count(level slog.Level, text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, line := range b.lines[level] {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// discard keeps what a test provokes out of its output.
func discard() traigo.ScopeOption { return traigo.Logger(slog.New(slog.DiscardHandler)) }
