package traigo

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
)

// An EventKind is the kind of an [Event].
type EventKind uint8

const (
	ScopeOpened    EventKind = iota
	ScopeFinalized           // the scope is finalizing
	ScopeCanceled            // the scope was canceled; Err is the [*Cancellation]; its contexts are about to be done
	ScopeClosed              // the scope is closed; Err is the outcome
	TaskSpawned              // the task was accepted
	TaskStarted              // the function of the task is about to be called
	TaskReady                // the function of a task of [Scope.Start] has called ready
	TaskEnded                // the function of the task has returned; Err is the result
	TaskStuck                // the task was given up after its CancelTimeout; Err is the [*StuckError]
	TaskAbandoned            // the task, or the body if Task is nil, has abandoned a call of [Blocking]
)

var eventKindNames = [...]string{
	"scope opened", "scope finalized", "scope canceled", "scope closed",
	"task spawned", "task started", "task ready", "task ended",
	"task stuck", "task abandoned",
}

// String returns the kind in words, such as "task ended".
func (k EventKind) String() string { return nameOf(eventKindNames[:], k, "EventKind") }

// MarshalText returns the words, as [EventKind.String] does.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the inverse of MarshalText. It returns an error for unknown words.
func (k *EventKind) UnmarshalText(text []byte) error {
	return named(eventKindNames[:], k, text, "EventKind")
}

// An Event is a change of a scope or a task.
type Event struct {
	Kind  EventKind
	Time  time.Time
	Scope *Scope
	Task  *Task // nil for events of scopes, and for a call of Blocking that a body has abandoned
	Err   error // as documented at the kinds; nil for the others
}

// An Observer is called for every [Event] of a scope and of all scopes below it: see
// [Observe].
//
// Observe is called synchronously, on the goroutine that makes the change, with no lock
// held; it should be fast. It may be called by many goroutines at once. The events of one
// scope come in the order of its states, and those of one task in the order of its
// states. All of them come before Run or Wait returns and before Done is closed, with one
// exception: the [TaskEnded] of a task that was given up comes when its function returns.
//
// Observe may call methods of the scope that do not wait; their effects are applied after
// it has returned. A panic of Observe is logged and otherwise ignored. If Observe calls
// runtime.Goexit, directly or by t.FailNow of package testing, the program crashes.
//
// The idea is from Trio's Instrument.
type Observer interface{ Observe(Event) }

// emit logs an event and calls the observers. mu must not be held.
func (s *Scope) emit(kind EventKind, t *Task, err error) {
	if !s.watched {
		return
	}
	if s.logsSteps {
		s.log(slog.LevelDebug, kind.String(), t, err)
	}
	e := Event{Kind: kind, Time: now().date(), Scope: s, Task: t, Err: err}
	for _, o := range s.settings.observers {
		s.observe(o, &e)
	}
}

func (s *Scope) observe(o Observer, e *Event) {
	returned := false
	defer s.returnedOrPanicked("an observer", &returned)
	o.Observe(*e)
	returned = true
}

// emitEnding logs a timeout and emits ScopeCanceled.
func (s *Scope) emitEnding() {
	e := s.ending()
	if e.kind == TimedOut {
		s.log(slog.LevelInfo, "scope timed out", nil, e.err)
	}
	if s.watched {
		s.emit(ScopeCanceled, nil, e.cancellation())
	}
}

// logTaskCanceled logs that a single task was canceled. There is no event for it.
func (s *Scope) logTaskCanceled(t *Task, e *ending) {
	if e.kind == TimedOut {
		s.log(slog.LevelInfo, "task timed out", t, e.err)
	} else if s.logsSteps {
		s.log(slog.LevelDebug, "task canceled", t, e.Cause())
	}
}

// takesDebug asks the logger whether it takes records at DEBUG. It is called once, when the
// scope opens, so that the steps of a scope whose logger does not take them cost nothing.
func (s *Scope) takesDebug() (is bool) {
	returned := false
	defer s.returnedOrPanicked("a logger", &returned)
	is = s.settings.logger.Enabled(context.Background(), slog.LevelDebug)
	returned = true
	return is
}

// log writes a record with the paths of s and t to the logger of s or, if it has none and
// level is at least WARN, to slog.Default(). s and t may be nil. mu must not be held.
func (s *Scope) log(level slog.Level, message string, t *Task, err error, more ...slog.Attr) {
	returned := false
	defer func() {
		switch value := recover(); {
		case value != nil && s != nil && s.settings.logger != nil && s.settings.logger != slog.Default():
			(*Scope)(nil).logRecovered("the Logger of scope "+strconv.Quote(s.Path()), nil, value) // it cannot be told itself
		case value == nil && !returned:
			exitForGoexit("a logger")
		}
	}()
	s.write(level, message, t, err, more)
	returned = true
}

// write is log without protection.
//
//nolint:contextcheck // a record carries its scope and task; callers such as Spawn have no ctx, and need none
func (s *Scope) write(level slog.Level, message string, t *Task, err error, more []slog.Attr) {
	var logger *slog.Logger
	if s != nil {
		logger = s.settings.logger
	}
	if logger == nil {
		if level < slog.LevelWarn {
			return
		}
		logger = slog.Default()
	}
	ctx := context.Background()
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 3)
	if s != nil {
		attrs = append(attrs, slog.String("scope", s.Path()))
	}
	if t != nil {
		attrs = append(attrs, slog.String("task", t.Path()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	logger.LogAttrs(ctx, level, "traigo: "+message, append(attrs, more...)...)
}

// returnedOrPanicked must be deferred by the caller of a user's function. It logs a panic
// of the function, and ends the program if the function called runtime.Goexit: *returned
// is still false then.
func (s *Scope) returnedOrPanicked(what string, returned *bool) {
	value := recover()
	switch {
	case value != nil:
		s.logRecovered(what, nil, value)
	case !*returned:
		exitForGoexit(what)
	}
}

// logRecovered logs a recovered panic. It must be called by the deferred function that
// has recovered it, so that the stack of the panic is still there.
func (s *Scope) logRecovered(what string, t *Task, value any) {
	s.log(slog.LevelError, what+" panicked", t, nil, panicAttrs(newPanicError("", value))...)
}

// panicAttrs returns the value and the stack of a panic as two attributes.
func panicAttrs(p *PanicError) []slog.Attr {
	if p.Recovered == nil {
		return nil
	}
	return []slog.Attr{slog.Any("panic", p.Recovered.Value), slog.String("stack", stackdump.Fold(string(p.Recovered.Stack)))}
}

// exitForGoexit ends the program, because a callback has called runtime.Goexit. The
// goroutine was applying effects of a scope, which nothing else would complete. It panics
// on a new goroutine, so that no deferred function here can recover. It does not return.
func exitForGoexit(what string) {
	go panic("traigo: " + what + " has called runtime.Goexit (t.FailNow does so), and the goroutine of the scope that called it is lost")
	select {}
}

// A Wrapper is called in place of the function of a task or the body of a Run, which it
// calls as next: see [Wrap]. It can add a span, labels or a time measurement. It runs on
// the goroutine of the task or of the caller of Run. ctx is the context of the task or
// scope; [Current] and [CurrentTask] return them. A Wrapper must call next exactly once,
// before it returns, with ctx or a context that adds only values to ctx. What it returns
// is the error of the task or body. If it does not call next, calls it twice, or returns
// before next has returned, the task or body fails with an error that says so.
//
// If the function panics or calls runtime.Goexit, next does not return. Code that must
// run in any case must be deferred.
//
// The idea is that of HTTP middleware.
type Wrapper func(ctx context.Context, next func(context.Context) error) error

var (
	errNotCalled   = errors.New("traigo: a Wrapper has not called next: the function did not run")
	errCalledTwice = errors.New("traigo: a Wrapper has called next a second time: the function runs once")
	errLeftEarly   = errors.New("traigo: a Wrapper has returned before next did: the function still runs")
)

// wrap calls fn inside the wrappers. wrappers[0] is the outermost.
func wrap(ctx context.Context, wrappers []Wrapper, fn func(context.Context) error) error {
	if len(wrappers) == 0 {
		return fn(ctx)
	}
	var calls wrappedCall
	err := wrappers[0](ctx, func(ctx context.Context) error {
		mustHaveContext("next of a Wrapper", ctx)
		if !calls.begin() {
			return errCalledTwice
		}
		defer calls.returned.Store(true)
		return wrap(ctx, wrappers[1:], fn)
	})
	if mistake := calls.end(); mistake != nil {
		return errors.Join(mistake, err)
	}
	return err
}

// A wrappedCall counts the calls of the next function of one call of a Wrapper. A wrong
// Wrapper may call next on another goroutine, or after it has returned; only the first
// call before that runs the function.
type wrappedCall struct {
	begun    atomic.Int32
	returned atomic.Bool
}

const wrapperLeft = 1 << 20

func (c *wrappedCall) begin() bool { return c.begun.Add(1) == 1 }

// end is called when the Wrapper has returned, and returns its mistake, if any. Calls of
// next after end do not run the function.
func (c *wrappedCall) end() error {
	switch n := c.begun.Add(wrapperLeft) - wrapperLeft; {
	case n == 0:
		return errNotCalled
	case n > 1:
		return errCalledTwice
	case !c.returned.Load():
		return errLeftEarly
	default:
		return nil
	}
}
