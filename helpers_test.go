package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

// lasting is a task that takes d, whatever happens.
func lasting(d time.Duration) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

// failing is a task that fails after d, whatever happens.
func failing(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return err
	}
}

// cleaning is a task that, once canceled, takes d to end, with err.
func cleaning(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(d)
		return err
	}
}

// deafTo ignores everything but release. It has a name to be found in stacks.
//
//go:noinline
func deafTo(release <-chan struct{}) { <-release }

// newRelease returns what deafTo waits for, and what ends it, at the latest by
// a defer: a task that is left in a bubble would hide why the test failed.
func newRelease() (release <-chan struct{}, free func()) {
	ch := make(chan struct{})
	return ch, sync.OnceFunc(func() { close(ch) })
}

func deaf(release <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		deafTo(release)
		return nil
	}
}

// panicOnPurpose has a name to be found in stacks.
//
//go:noinline
func panicOnPurpose(value any) { panic(value) }

func panicking(value any) func(context.Context) error {
	return func(context.Context) error {
		panicOnPurpose(value)
		return nil
	}
}

// raised returns the value with which f panics, nil if it does not.
func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// as returns the first error of type E in err's tree, or ends the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	found, ok := errors.AsType[E](err)
	require.Truef(t, ok, "no %T in: %v", found, err)
	return found
}

// records is a slog.Handler that keeps what it is given, at every level. Other
// than a logbook it keeps the attributes apart.
type records struct {
	list  *recordList
	attrs []slog.Attr
}

type recordList struct {
	mu  sync.Mutex
	all []logRecord
}

type logRecord struct {
	Level slog.Level
	Text  string            // the message and the values of all attributes
	Attrs map[string]string // groups are flattened
}

func newRecords() *records { return &records{list: new(recordList)} }

func (b *records) logger() *slog.Logger { return slog.New(b) }

func (*records) Enabled(context.Context, slog.Level) bool { return true }

func (b *records) WithGroup(string) slog.Handler { return b }

func (b *records) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &records{b.list, append(append([]slog.Attr(nil), b.attrs...), attrs...)}
}

func (b *records) Handle(_ context.Context, r slog.Record) error {
	record := logRecord{Level: r.Level, Text: r.Message, Attrs: map[string]string{}}
	var add func(slog.Attr) bool
	add = func(a slog.Attr) bool {
		value := a.Value.Resolve()
		if value.Kind() == slog.KindGroup {
			for _, inner := range value.Group() {
				add(inner)
			}
			return true
		}
		record.Attrs[a.Key] = value.String()
		record.Text += " " + value.String()
		return true
	}
	for _, a := range b.attrs {
		add(a)
	}
	r.Attrs(add)
	b.list.mu.Lock()
	defer b.list.mu.Unlock()
	b.list.all = append(b.list.all, record)
	return nil
}

// from returns the records of this level and above.
func (b *records) from(level slog.Level) (found []logRecord) {
	b.list.mu.Lock()
	defer b.list.mu.Unlock()
	for _, r := range b.list.all {
		if r.Level >= level {
			found = append(found, r)
		}
	}
	return found
}

// at returns the records of this level.
func (b *records) at(level slog.Level) (found []logRecord) {
	for _, r := range b.from(level) {
		if r.Level == level {
			found = append(found, r)
		}
	}
	return found
}

// defaultLog makes records slog's default until the test ends.
func defaultLog(t *testing.T) *records {
	t.Helper()
	before, out, flags := slog.Default(), log.Writer(), log.Flags()
	t.Cleanup(func() {
		slog.SetDefault(before)
		// SetDefault has redirected package log, and does not undo that.
		log.SetOutput(out)
		log.SetFlags(flags)
	})
	b := newRecords()
	slog.SetDefault(b.logger())
	return b
}

// mentions says whether text has all words in it.
func mentions(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// requireMisuse checks that f panics as a wrong call of this package does.
func requireMisuse(t *testing.T, f func()) {
	t.Helper()
	value := raised(f)
	require.NotNil(t, value, "did not panic")
	require.Truef(t, strings.HasPrefix(fmt.Sprint(value), "traigo:"), "panicked with: %v", value)
}
