package traigo

import (
	"context"
	"log/slog"
	"strconv"
	"time"
)

// An EventKind says what an [Event] tells.
type EventKind uint8

const (
	ScopeOpened    EventKind = iota
	ScopeFinalized           // it ends when nothing awaited is left
	ScopeCanceled            // it has ended, by Err: its contexts are about to be done
	ScopeClosed              // everything in it has ended; Err is the outcome
	TaskSpawned              // accepted; its function is going to run
	TaskStarted              // its function is about to be called
	TaskReady                // of Start: its function has called ready
	TaskEnded                // its function has returned Err
	TaskStuck                // given up: it has not ended after its CancelTimeout
	TaskAbandoned            // it has stopped waiting for a call of Blocking
)

var eventKindNames = [...]string{
	"scope opened", "scope finalized", "scope canceled", "scope closed",
	"task spawned", "task started", "task ready", "task ended",
	"task stuck", "task abandoned",
}

// String returns the kind in words, such as "task ended".
func (k EventKind) String() string { return nameOf(eventKindNames[:], k, "EventKind") }

// MarshalText makes an EventKind its words in JSON.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the words back.
func (k *EventKind) UnmarshalText(text []byte) error {
	return named(eventKindNames[:], k, text, "EventKind")
}

// An Event is one step in the life of a scope or a task.
type Event struct {
	Kind  EventKind
	Time  time.Time
	Scope *Scope
	Task  *Task // nil for events of scopes
	Err   error // see the kinds
}

// An Observer is told every [Event] of a scope, and of all scopes below it, as it
// happens: see [Observe].
//
// Observe is called on the goroutine that makes the step, with no lock held,
// and the step waits for it: it should be quick. Events of different scopes and
// tasks come at the same time, from many goroutines. The events of one scope come in
// the order of its states, those of one task in the order of its life, and all
// of them before Run or Wait returns and Done is closed. The end of a task that was given
// up is the exception: it comes when the task ends.
//
// An observer may call methods of the scope: their effects are applied when
// it has returned. Its panic is logged and does no other harm. It must not call
// runtime.Goexit, as t.FailNow of package testing does: that ends the program.
//
// The idea is Trio's Instrument.
type Observer interface{ Observe(Event) }

// emit tells the logger and the observers of an event.
func (s *Scope) emit(kind EventKind, t *Task, err error) {
	if !s.watched {
		return
	}
	s.log(slog.LevelDebug, kind.String(), t, err)
	e := Event{Kind: kind, Time: time.Now(), Scope: s, Task: t, Err: err}
	for _, o := range s.settings.observers {
		s.observe(o, e)
	}
}

func (s *Scope) observe(o Observer, e Event) {
	returned := false
	defer s.returnedOrPanicked("an observer", &returned)
	o.Observe(e)
	returned = true
}

// emitEnding tells the logger and the observers why the scope has ended.
func (s *Scope) emitEnding() {
	e := s.ending()
	if e.kind == TimedOut {
		s.log(slog.LevelInfo, "scope timed out", nil, e.err)
	}
	if s.watched {
		s.emit(ScopeCanceled, nil, e.cancellation())
	}
}

// logTaskCanceled logs that a task has been canceled alone. There is no event for that: the
// end of the task will be one.
func (s *Scope) logTaskCanceled(t *Task, e *ending) {
	if e.kind == TimedOut {
		s.log(slog.LevelInfo, "task timed out", t, e.err)
	} else if s.settings.logger != nil {
		s.log(slog.LevelDebug, "task canceled", t, e.Cause())
	}
}

// log writes a record with the paths of the scope and the task: to the scope's
// logger, or, from WARN on, to the default one. s may be nil.
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

// returnedOrPanicked is deferred around a function of the user's that must not call
// runtime.Goexit, and whose panic must harm nobody else.
func (s *Scope) returnedOrPanicked(what string, returned *bool) {
	value := recover()
	switch {
	case value != nil:
		s.logRecovered(what, nil, value)
	case !*returned:
		exitForGoexit(what)
	}
}

// logRecovered logs a panic that is raised nowhere. It is called while the stack of the
// panic is still there.
func (s *Scope) logRecovered(what string, t *Task, value any) {
	s.log(slog.LevelError, what+" panicked", t, nil, panicAttrs(newPanicError("", value))...)
}

// panicAttrs are the value and the stack of a panic, apart from each other.
func panicAttrs(p *PanicError) []slog.Attr {
	if p.Recovered == nil {
		return nil
	}
	return []slog.Attr{slog.Any("panic", p.Recovered.Value), slog.String("stack", string(p.Recovered.Stack))}
}

// exitForGoexit ends the program: a callback that is called in the middle of a step of a
// scope has called runtime.Goexit, as t.FailNow of package testing does. The goroutine
// that would have finished the step is lost. A panic on a goroutine of its own ends the
// program whatever is deferred here.
func exitForGoexit(what string) {
	go panic("traigo: " + what + " has called runtime.Goexit (t.FailNow does so), and the goroutine of the scope that called it is lost")
	select {}
}
