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

// settings are what a scope passes on to the scopes below it. Scopes share one value as
// long as no option differs, and nobody writes it once a scope uses it.
type settings struct {
	logger        *slog.Logger
	observers     []Observer
	cancelTimeout time.Duration
	panicAsError  bool
	wrappers      []Wrapper // those of the scopes further out come first
	canceledIf    []func(error) bool
}

var noSettings = &settings{}

// change gives s settings of its own. It is called while s is being opened, before anybody
// else knows s.
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
// opened or spawned; 0 means no timeout. The scope then fails with a [*TimeoutError],
// inside its [*Error]; a task fails with one unless its function returns nil. It panics
// if d is negative.
func Timeout(d time.Duration) Option {
	mustNotBeNegative("Timeout", d)
	return timeoutOption(d)
}

func (o timeoutOption) applyScope(s *Scope) { s.ownExtLocked().timeout = time.Duration(o) } // begin sets the clock
func (o timeoutOption) applyTask(t *Task)   { t.ownExt().timeout = time.Duration(o) }

type cancelTimeoutOption time.Duration

// CancelTimeout bounds how long the scope waits for a task that has been canceled,
// with its scope or alone: if the task has not ended d later it is given up, and named in
// a [*StuckError] in the outcome of its scope. The first CancelTimeout from the task up
// through its scopes applies; with none, or with 0, the scope waits for ever. A task that
// waits in Run for a scope below is not given up before the tasks of that. CancelTimeout
// panics if d is negative.
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

// Logger logs the life of the scope, and of all scopes below it, to l: each step at
// DEBUG, timeouts at INFO, errors that the outcome does not contain at WARN, panics and
// errors that nobody receives at ERROR. It replaces the logger of the parent. Without a
// Logger, records at WARN and above go to slog.Default(). Handlers of l must not call
// runtime.Goexit.
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

// Observe tells o every [Event] of the scope and of all scopes below it. Observers of the
// parents are told first, then those of the scope in the order of the options.
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

type canceledIfOption func(error) bool

// CanceledIf says which errors of tasks and of the body only tell of a cancellation,
// although they are no context error: those of package os/exec ("signal: killed"), of
// gRPC, of a connection that was closed. When a task of the scope, or of a scope below, has
// been canceled and returns an error for which is returns true, the error is dropped like
// ctx.Err(). is is called only after a cancellation, with each error in the tree of what
// was returned that is no context error itself, and with the errors that wrap it. Those of
// the parents are asked too, after the scope's own. CanceledIf panics if is is nil.
func CanceledIf(is func(err error) bool) ScopeOption {
	mustHaveFunc("CanceledIf", is != nil, "the function that knows errors of a cancellation")
	return canceledIfOption(is)
}

func (o canceledIfOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// A copy: the parent's other children append to the same array.
		set.canceledIf = append(slices.Clip(set.canceledIf), o)
	})
}

type panicAsErrorOption struct{}

// PanicAsError makes a panic of a task or of the body, in the scope and in all scopes
// below it, an ordinary failure: a [*PanicError] in the outcome, and no panic of Run, Wait
// and Close.
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

// Awaited says whether the task keeps a finalizing scope alive. A task that does
// not is canceled, and joined, when all tasks and forks that do have ended. It takes no
// slot under a [Limit]. The default is true.
func Awaited(b bool) TaskOption { return either(b, awaitedOn, awaitedOff) }

// Dedicated gives the task a goroutine that no other task uses. Short tasks
// otherwise share goroutines: code needs Dedicated if it calls runtime.LockOSThread, or
// leaves anything else behind on its goroutine.
func Dedicated() TaskOption { return dedicatedOn }

type onDoneOption func(error)

// OnDone calls f once, with the error of the task, nil if it has none, when the task has
// ended and before its scope closes: on the goroutine of the task. The error belongs to f:
// it does not bubble, unless Bubble(true) is given as well. If the task is given up, f is
// called with the [*StuckError], on another goroutine, and what the task returns after all
// is logged. For a task that is refused f is not called: the handle that Spawn returns has
// the error. Of several OnDone the last one counts. A panic of f is logged.
func OnDone(f func(err error)) TaskOption {
	mustHaveFunc("OnDone", f != nil, "the function that is to have the error")
	return onDoneOption(f)
}

func (o onDoneOption) applyTask(t *Task) { t.ownExt().onDone = o }

type valuesOption struct{ ctx context.Context }

// Values lets the task's context find the values of ctx, before those of the scope:
// request ids, spans, pprof labels. The cancellation and the deadline of ctx have no
// effect on the task. Of several Values the last one counts.
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

func mustBeJoinable[T any](call string, ctx context.Context, fns []func(context.Context) (T, error)) {
	mustHaveContext(call, ctx)
	for _, fn := range fns {
		mustHaveFunc(call, fn != nil, "functions to run")
	}
}

func mustBeFeedable(call string, ctx context.Context, hasItems, hasFunc bool, opts []ScopeOption) {
	mustHaveContext(call, ctx)
	mustHaveFunc(call, hasItems, "the items")
	mustHaveFunc(call, hasFunc, "the function for each item")
	for _, o := range opts {
		mustHaveOption(call, o != nil)
	}
}
