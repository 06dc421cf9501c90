package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// What the tests share, by what it is for. What only one file needs is in that file.
//
//	errBoom, errOuter, errLate   errors: of a failure, of something outside the scope, of a failure after the end
//	closed                       whether a channel is closed
//
//	succeed, fail                task functions: return at once
//	untilCanceled                runs until it is canceled
//	lasting, failing             run for a time, canceled or not, and succeed or fail
//	cleaning                     runs until it is canceled, and for a time after that
//	deaf, deafTo, newRelease     ignores its cancellation until the test releases it
//	panicking, panicOnPurpose    panics
//	answer, noAnswer             functions for Async: a result, an error
//	emptyBody                    a body that does nothing
//	forkThatEnds                 opens a fork with one task, and returns when it has closed
//
//	outcome                      an error as the outcome of a scope: an *Error that nothing wraps
//	as                           the first error of a type in an error's tree
//	cancellation                 the *Cancellation of one kind in an error's tree
//	stuckTasks                   all tasks named by a *StuckError in an error's tree (stuck_test.go)
//	uncomparable                 an error that == panics for
//	visited                      how many errors a walk over an error's tree meets
//
//	raised                       the value that a function panics with
//	requireMisuse                a function panics as a wrong call of this package does
//	requirePanic                 a function panics as the waiter for a panicked task does
//
//	newRecords, defaultLog       record what is logged: to a Logger, to slog.Default()
//	requireOneWarning            one WARN is logged, after 10 s
//	discard                      a ScopeOption: log nothing
//	mentions                     whether a text contains all of some words
//
//	seeing                       an Observer made from a function
//	story                        an Observer that records events
//	trace                        an Observer that checks each event against the state table (observe_test.go)
//
//	itemJoins, onItemJoins       the joins over an iterator, and a test of all of them (items_test.go)
//	streams, onStreams           AsCompleted and Ordered, and a test of both (stream_test.go)
//	upTo, naturals               iterators: of n items, and one without an end (items_test.go, join_test.go)
//	index                        the last part of the name of an item (items_test.go)
//
//	customContext                a context type that package context does not know
//	program                      a random tree of scopes and tasks (stress_test.go)
//	heap                         bytes in use after a garbage collection
//	requireTime                  a function takes exactly this long in a bubble (join_test.go)

var (
	errBoom  = errors.New("boom")
	errOuter = errors.New("outer")
	errLate  = errors.New("late")
)

// closed reports whether ch is closed now.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Functions for tasks.

func succeed(context.Context) error { return nil }

func fail(context.Context) error { return errBoom }

// untilCanceled runs until it is canceled, and returns what its context says.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// lasting succeeds after d, canceled or not.
func lasting(d time.Duration) func(context.Context) error { return failing(d, nil) }

// failing fails after d, canceled or not.
func failing(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return err
	}
}

// cleaning runs until it is canceled, and returns err when another d has passed.
func cleaning(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(d)
		return err
	}
}

// newRelease returns a channel for deaf, and the function that closes it. Defer that
// function: a task that still runs at the end of a bubble hides why the test failed.
func newRelease() (release <-chan struct{}, free func()) {
	ch := make(chan struct{})
	return ch, sync.OnceFunc(func() { close(ch) })
}

// deaf ignores its cancellation, and succeeds when release is closed.
func deaf(release <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		deafTo(release)
		return nil
	}
}

// deafTo is a function of its own so that tests can look for it in stacks.
//
//go:noinline
func deafTo(release <-chan struct{}) { <-release }

func panicking(value any) func(context.Context) error {
	return func(context.Context) error {
		panicOnPurpose(value)
		return nil
	}
}

// panicOnPurpose is a function of its own so that tests can look for it in stacks.
//
//go:noinline
func panicOnPurpose(value any) { panic(value) }

func answer(context.Context) (int, error) { return 42, nil }

func noAnswer(context.Context) (int, error) { return 0, errBoom }

// Bodies and scopes.

func emptyBody(context.Context, *traigo.Scope) error { return nil }

// forkThatEnds opens a fork with one task, and returns when it has closed.
func forkThatEnds(s *traigo.Scope, name string, task func(context.Context) error) *traigo.Scope {
	child := s.Fork(traigo.Name(name))
	child.Spawn(task)
	child.Finalize()
	<-child.Done()
	return child
}

// Errors. In a task, where a test must not end the goroutine, use errors.AsType.

// outcome returns err as the outcome of a scope, which nothing wraps.
func outcome(t *testing.T, err error) *traigo.Error {
	t.Helper()
	found := as[*traigo.Error](t, err)
	require.Same(t, err, found, "an outcome is never wrapped")
	return found
}

// as returns the first error of type E in err's tree, which begins with err itself. That
// it is err itself is checked with require.Same.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	found, ok := errors.AsType[E](err)
	require.Truef(t, ok, "no %T in: %v", found, err)
	return found
}

// cancellation returns the first *Cancellation of this kind in err's tree, nil if there
// is none. That of a scope below wraps its parent's, which is of another kind.
func cancellation(err error, kind traigo.CancelKind) *traigo.Cancellation {
	for c, ok := errors.AsType[*traigo.Cancellation](err); ok; c, ok = errors.AsType[*traigo.Cancellation](c.Err) {
		if c.Kind == kind {
			return c
		}
	}
	return nil
}

// uncomparable is an error that == panics for.
type uncomparable []string

func (e uncomparable) Error() string { return fmt.Sprint([]string(e)) }

// Panics.

// raised returns the value that f panics with, nil if it does not panic.
func raised(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// requireMisuse checks that f panics as a wrong call of this package does, with a
// message that has these words in it.
func requireMisuse(t *testing.T, f func(), words ...string) {
	t.Helper()
	value := raised(f)
	require.NotNil(t, value, "did not panic")
	text, ok := strings.CutPrefix(fmt.Sprint(value), "traigo: ")
	require.Truef(t, ok && mentions(text, words...), "panicked with: %v", value)
}

// requirePanic checks that f panics with the panic of the task of this name, whose
// text has the path of the task once, and the stack of its panic once.
func requirePanic(t *testing.T, task string, f func()) *traigo.PanicError {
	t.Helper()
	value := raised(f)
	require.IsType(t, (*traigo.PanicError)(nil), value)
	panicked := value.(*traigo.PanicError)
	assert.Equal(t, task, path.Base(panicked.Task), "the path of the task")
	assert.NotEqual(t, task, panicked.Task, "the path of the task")
	text := panicked.Error()
	assert.Equal(t, 1, strings.Count(text, "panicOnPurpose"), "the original stack, once:\n%s", text)
	assert.Equal(t, 1, strings.Count(text, "[running"), "no other stack:\n%s", text)
	assert.Equal(t, 1, strings.Count(text, `"`+panicked.Task+`"`), "the path, once:\n%s", text)
	return panicked
}

// Logs.

// records is a slog.Handler that keeps every record, of all levels.
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

// at returns the records of this level that mention these words.
func (b *records) at(level slog.Level, words ...string) (found []logRecord) {
	for _, r := range b.from(level) {
		if r.Level == level && mentions(r.Text, words...) {
			found = append(found, r)
		}
	}
	return found
}

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

// defaultLog records what is logged to slog.Default() until the test ends.
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

// requireOneWarning checks that exactly one WARN is logged, after 10 s, and that it has
// this text in it. It is for bubbles.
func requireOneWarning(t *testing.T, book *records, text string) {
	t.Helper()
	time.Sleep(10*time.Second - time.Nanosecond)
	synctest.Wait()
	assert.Empty(t, book.from(slog.LevelWarn), "too early")
	time.Sleep(time.Hour)
	synctest.Wait()
	warned := book.from(slog.LevelWarn)
	require.Len(t, warned, 1, "once")
	assert.Equal(t, slog.LevelWarn, warned[0].Level)
	assert.Contains(t, warned[0].Text, text)
}

// discard keeps out of the output of the tests what a test makes the scope log.
func discard() traigo.ScopeOption { return traigo.Logger(slog.New(slog.DiscardHandler)) }

// mentions reports whether text has all words in it.
func mentions(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// Observers.

// seeing is an Observer made from a function.
type seeing func(e traigo.Event)

func (see seeing) Observe(e traigo.Event) { see(e) }

// story is an Observer that records events.
type story struct {
	mu  sync.Mutex
	all []traigo.Event
}

func (st *story) Observe(e traigo.Event) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.all = append(st.all, e)
}

// events returns the events of these kinds, or all.
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

// ofScope lists the events of the scope itself, without those of its tasks.
func (st *story) ofScope(s *traigo.Scope) (kinds []traigo.EventKind) {
	for _, e := range st.events() {
		if e.Scope == s && e.Task == nil {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// ended lists the errors of the task's TaskEnded events.
func (st *story) ended(task *traigo.Task) (errs []error) {
	for _, e := range st.events(traigo.TaskEnded) {
		if e.Task == task {
			errs = append(errs, e.Err)
		}
	}
	return errs
}

// Contexts and memory.

// customContext is a context type that package context does not know. It ends when the
// test calls end, and says that it has the deadline that the test gives it.
type customContext struct {
	context.Context //nolint:containedctx // it is one
	deadline        time.Time
	done            chan struct{}
	mu              sync.Mutex
	err             error
}

func (c *customContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *customContext) Done() <-chan struct{} { return c.done }

func (c *customContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *customContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	close(c.done)
}

// heap returns the bytes in use after a garbage collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// visited returns how many errors a walk over the tree of err meets, one for each way to it.
func visited(err error) int {
	n := 1
	switch x := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			n += visited(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			n += visited(inner)
		}
	}
	return n
}
