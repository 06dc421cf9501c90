package traigo

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"
)

// A ScopeOption sets up a scope: see [Run], [New] and [Scope.Fork].
type ScopeOption interface{ applyScope(*Scope) }

// A TaskOption sets up a task: see [Scope.Spawn], [Scope.Start] and [Async].
type TaskOption interface{ applyTask(*Task) }

// An Option fits scopes and tasks.
type Option interface {
	ScopeOption
	TaskOption
}

// settings are what a scope hands down to the scopes below it. They are shared
// while nothing differs, and never written once a scope uses them.
type settings struct {
	logger        *slog.Logger
	observers     []Observer
	cancelTimeout time.Duration
	panicAsError  bool
	wrappers      []Wrapper // those of the scopes further out come first
}

var noSettings = &settings{}

// change gives s settings of its own, once, while it is being opened.
func (s *Scope) change(f func(*settings)) {
	mine := *s.settings
	f(&mine)
	s.settings = &mine
}

// A nameOption is a name as text, or the code of a function to name after.
type nameOption struct {
	text string
	pc   uintptr
}

// Name names the scope or task. Without it a task, and the scope of Run, are
// named after their function, other scopes "scope#ID". Tasks that are spawned in a
// loop have the same function, and so the same name: give them others.
func Name(name string) Option { return &nameOption{text: name} }

// NameOf names the scope or task after fn, as it would be named if fn were its
// function. It is for functions that wrap another: the name of the wrapper says
// nothing. The name is worked out when somebody asks for it. It panics if fn is
// not a function, or nil.
func NameOf(fn any) Option {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func || v.IsNil() {
		panic(fmt.Sprintf("traigo: NameOf(%T): pass the function to name the scope or task after", fn))
	}
	return &nameOption{pc: v.Pointer()}
}

func (o *nameOption) applyScope(s *Scope) { s.name = o }
func (o *nameOption) applyTask(t *Task)   { t.name = o }

// String returns the name, "" for the default one.
func (o *nameOption) String() string {
	switch {
	case o == nil:
		return ""
	case o.pc != 0:
		return funcName(o.pc)
	default:
		return o.text
	}
}

type timeoutOption time.Duration

// Timeout ends the scope, or cancels the task, when d has passed since it was
// opened or spawned; 0 means no timeout. The outcome is a [*TimeoutError]. It
// panics if d is negative.
func Timeout(d time.Duration) Option {
	mustNotBeNegative("Timeout", d)
	return timeoutOption(d)
}

func (o timeoutOption) applyScope(s *Scope) { s.ownExtLocked().timeout = time.Duration(o) } // begin sets the clock

func (o timeoutOption) applyTask(t *Task) { t.ownExt().timeout = time.Duration(o) }

type cancelTimeoutOption time.Duration

// CancelTimeout says how long the scope waits for a task that has been
// canceled: one that has not ended d later is given up and named in a
// [*StuckError]. The first CancelTimeout from the task up through its scopes
// applies; with none, or with 0, the scope waits for ever. It panics if d is
// negative.
func CancelTimeout(d time.Duration) Option {
	mustNotBeNegative("CancelTimeout", d)
	return cancelTimeoutOption(d)
}

func (o cancelTimeoutOption) applyScope(s *Scope) {
	s.change(func(set *settings) { set.cancelTimeout = time.Duration(o) })
}

func (o cancelTimeoutOption) applyTask(t *Task) {
	x := t.ownExt()
	x.cancelTimeout, x.hasCancelTimeout = time.Duration(o), true
}

type loggerOption struct{ logger *slog.Logger }

// Logger logs the life of the scope, and of all below it, to l: each step at
// DEBUG, timeouts at INFO, errors that the outcome does not contain at WARN,
// lost ones at ERROR. It replaces the parent's. Without a logger, WARN and
// above go to slog.Default().
func Logger(l *slog.Logger) ScopeOption {
	if l == nil {
		panic("traigo: Logger: nil *slog.Logger; leave the option out to log to slog.Default()")
	}
	return loggerOption{l}
}

func (o loggerOption) applyScope(s *Scope) {
	s.change(func(set *settings) { set.logger = o.logger })
}

type observeOption struct{ observer Observer }

// Observe shows o every [Event] of the scope and of all below it, beside the
// observers of its parents.
func Observe(o Observer) ScopeOption {
	if o == nil {
		panic("traigo: Observe: nil Observer; leave the option out to have none")
	}
	return observeOption{o}
}

func (o observeOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// A copy: the parent's other children append to the same array.
		set.observers = append(slices.Clip(set.observers), o.observer)
	})
}

type wrapOption struct{ wrapper Wrapper }

// Wrap calls w around the function of each task, and around the body of each Run,
// in the scope and in all below it: inside the wrappers of its parents, and inside
// those that are given before it.
func Wrap(w Wrapper) ScopeOption {
	mustHaveFunc("Wrap", w != nil, "the function to call around tasks and bodies")
	return wrapOption{w}
}

func (o wrapOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// A copy: the parent's other children append to the same array.
		set.wrappers = append(slices.Clip(set.wrappers), o.wrapper)
	})
}

type limitOption int

// Limit lets at most n awaited tasks of the scope run at once. Spawn then blocks until
// there is a slot or the scope is canceled; slots are given out in the order of the
// calls. A task with Awaited(false), a heartbeat beside the work say, takes no slot. A
// task that spawns into its own full scope waits for itself: use TrySpawn there, or a
// fork. The limit is not inherited: forks have limits of their own. It panics if n is
// less than 1.
//
// For a limit that several scopes share, or that a task holds for a part of its work,
// there is package capacity.
func Limit(n int) ScopeOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: Limit(%d): a limit is at least 1; leave the option out for none", n))
	}
	return limitOption(n)
}

func (o limitOption) applyScope(s *Scope) { s.ownExtLocked().limit = int(o) }

type admitBeforeOption struct{ ctx context.Context }

// AdmitBefore bounds the time for which Spawn blocks in a scope with a [Limit]: if it has
// to wait for a slot, it waits no longer than ctx is alive. Then the task is refused: its
// error, which Err, Wait and Await return, wraps [ErrRefused] and the cause of ctx. A
// task that finds a slot at once is accepted, whatever ctx says.
func AdmitBefore(ctx context.Context) TaskOption {
	mustHaveContext("AdmitBefore", ctx)
	return admitBeforeOption{ctx}
}

func (o admitBeforeOption) applyTask(t *Task) { t.ownExt().admitBefore = o.ctx }

type panicAsErrorOption struct{}

// PanicAsError makes a panic of a task or of the body, here and below, an
// ordinary failure: a [*PanicError] in the outcome instead of a panic of
// whoever waits.
func PanicAsError() ScopeOption { return panicAsErrorOption{} }

func (panicAsErrorOption) applyScope(s *Scope) {
	s.change(func(set *settings) { set.panicAsError = true })
}

type flagOption struct {
	flag flags
	on   bool
}

func (o flagOption) applyTask(t *Task) {
	t.flags &^= o.flag
	if o.on {
		t.flags |= o.flag
	}
	if o.flag == bubbles {
		t.flags |= bubbleGiven
	}
}

// One value each, so that a flag costs no allocation.
var (
	bubbleOn, bubbleOff   TaskOption = flagOption{bubbles, true}, flagOption{bubbles, false}
	masterOn, masterOff   TaskOption = flagOption{master, true}, flagOption{master, false}
	awaitedOn, awaitedOff TaskOption = flagOption{awaited, true}, flagOption{awaited, false}
	dedicatedOn           TaskOption = flagOption{dedicated, true}
)

func either(b bool, yes, no TaskOption) TaskOption {
	if b {
		return yes
	}
	return no
}

// Bubble says whether a failure of the task cancels its scope and becomes the
// scope's outcome. True is the default of Spawn and Start; tasks of Async and
// those with OnDone bubble only if it is given.
func Bubble(b bool) TaskOption { return either(b, bubbleOn, bubbleOff) }

// Master says whether the end of the task, however it comes, ends the scope:
// with the task's error if it failed and bubbles, quietly otherwise. The
// default is false.
func Master(b bool) TaskOption { return either(b, masterOn, masterOff) }

// Awaited says whether the task keeps a finalizing scope alive. One that does
// not is canceled, and joined, when all that do have ended. The default is true.
func Awaited(b bool) TaskOption { return either(b, awaitedOn, awaitedOff) }

// Dedicated gives the task a goroutine that no other task uses. Short tasks
// otherwise share goroutines: code that calls runtime.LockOSThread, or that
// leaves something else behind on its goroutine, needs this.
func Dedicated() TaskOption { return dedicatedOn }

type onDoneOption func(error)

// OnDone calls f with the task's error, nil if it has none, once the task has
// ended and before its scope closes. The error is f's: it does not bubble,
// unless Bubble(true) is given as well. A task that is refused does not call it:
// the one that Spawn returns says why.
func OnDone(f func(err error)) TaskOption {
	mustHaveFunc("OnDone", f != nil, "the function that is to have the error")
	return onDoneOption(f)
}

func (o onDoneOption) applyTask(t *Task) { t.ownExt().onDone = o }

type valuesOption struct{ ctx context.Context }

// Values lets the task's context find values in ctx as well, before those of
// the scope: request ids, spans, pprof labels. The cancellation and the
// deadline of ctx are not taken.
func Values(ctx context.Context) TaskOption {
	mustHaveContext("Values", ctx)
	return valuesOption{context.WithoutCancel(ctx)}
}

func (o valuesOption) applyTask(t *Task) { t.ownExt().values = o.ctx }

// Misuse panics at the call, with a message that says what to do instead: it is
// a mistake of the program, and no outcome would be the right place for it.

// check is the first line of every method of a scope.
func (s *Scope) check(method string) {
	if s == nil {
		panic("traigo: " + method + " on a nil *Scope: there is no current scope here; open one with Run or New")
	}
	if s.id == 0 {
		panic("traigo: " + method + " on a zero Scope; open one with Run, New or Fork")
	}
}

// check is the first line of every method of a task.
func (t *Task) check(method string) {
	if t == nil {
		panic("traigo: " + method + " on a nil *Task: there is no current task here; Scope.Spawn returns one")
	}
	if t.scope == nil {
		panic("traigo: " + method + " on a zero Task; Scope.Spawn returns one")
	}
}

func mustHaveContext(call string, ctx context.Context) {
	if ctx == nil {
		panic("traigo: " + call + ": nil context; pass context.Background() if there is none")
	}
}

// mustHaveFunc is told whether the function is there, since a nil one of some
// type is not nil as an any.
func mustHaveFunc(call string, there bool, what string) {
	if !there {
		panic("traigo: " + call + ": nil function; pass " + what)
	}
}

func mustHaveOption(call string, there bool) {
	if !there {
		panic("traigo: " + call + ": nil option; leave it out")
	}
}

func mustNotBeNegative(call string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("traigo: %s(%v): negative duration", call, d))
	}
}
