package traigo

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo/internal/hold"
)

// A ScopeOption configures a scope. It is an argument of [Run], [New] and [Scope.Fork].
type ScopeOption interface{ applyScope(*Scope) }

// A TaskOption configures a task. It is an argument of [Scope.Spawn], [Scope.TrySpawn],
// [Scope.Start] and [Async].
type TaskOption interface{ applyTask(*Task) }

// An Option configures a scope or a task.
type Option interface {
	ScopeOption
	TaskOption
}

// settings are the options that child scopes inherit. A scope shares the value of its
// parent unless an option changes it. A value is immutable once a scope uses it.
type settings struct {
	logger        *slog.Logger
	observers     []Observer
	cancelTimeout time.Duration
	panicAsError  bool
	wrappers      []Wrapper // those of the scopes further out come first
	canceledIf    []func(error) bool
}

var noSettings = &settings{}

// change replaces s.settings by a copy that f has modified. It is called by options while
// s is being opened.
func (s *Scope) change(f func(*settings)) {
	mine := *s.settings
	f(&mine)
	s.settings = &mine
}

// A nameOption is a name: text or, if pc is not 0, the name of the function at pc.
type nameOption struct {
	text string
	pc   uintptr
	nth  int // index of a function in a join, counted from 1; 0: none
}

// Name names the scope or task. The default name of a task, and of a scope opened by Run,
// is the name of its function; that of other scopes is "scope#ID". Name("") selects the
// default. Tasks spawned in a loop have the same default name, so name them.
func Name(name string) Option { return &nameOption{text: name} }

// NameOf names the scope or task after fn, as it would be named if fn were its function.
// It is meant for code that spawns a wrapper around fn. The name is computed when it is
// needed. NameOf panics if fn is nil or not a function.
func NameOf(fn any) Option {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func || v.IsNil() {
		panic(fmt.Sprintf("traigo: NameOf(%T): pass the function to name the scope or task after", fn))
	}
	return &nameOption{pc: v.Pointer()}
}

func (o *nameOption) applyScope(s *Scope) { s.name = o }
func (o *nameOption) applyTask(t *Task)   { t.name = o }

// String returns the name, or "" for the default name.
func (o *nameOption) String() string {
	switch {
	case o == nil:
		return ""
	case o.nth > 0:
		return itemName(o.pc, o.nth-1)
	case o.pc != 0:
		return funcName(o.pc)
	default:
		return o.text
	}
}

// pcOf returns the entry address of the function fn.
func pcOf(fn any) uintptr { return reflect.ValueOf(fn).Pointer() }

// itemName is the name of the call of the function at pc for an item of a join.
func itemName(pc uintptr, i int) string { return funcName(pc) + "[" + strconv.Itoa(i) + "]" }

// funcNames holds some of the names that funcName has returned: the runtime takes as long
// to find one as to spawn a task.
var funcNames [64]atomic.Pointer[funcNameAt]

type funcNameAt struct {
	pc   uintptr
	name string
}

// funcName returns the name, without the package, of the function at pc.
func funcName(pc uintptr) string {
	known := &funcNames[pc/16%uintptr(len(funcNames))]
	if at := known.Load(); at != nil && at.pc == pc {
		return at.name
	}
	f := runtime.FuncForPC(pc)
	if f == nil {
		return "func"
	}
	name := f.Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	if _, after, ok := strings.Cut(name, "."); ok {
		name = after
	}
	name = strings.TrimSuffix(name, "-fm")
	known.Store(&funcNameAt{pc, name})
	return name
}

type timeoutOption time.Duration

// Timeout cancels the scope or the task when d has passed since the scope was opened or
// the task was accepted; time that Spawn waits for a slot does not count. 0 means no
// timeout. The outcome of the scope is then an [*Error] whose Err is a [*TimeoutError].
// The task fails with a [*TimeoutError] if its function returns an error, and does not
// fail if it returns nil. Timeout panics if d is negative.
func Timeout(d time.Duration) Option {
	mustNotBeNegative("Timeout", d)
	return timeoutOption(d)
}

func (o timeoutOption) applyScope(s *Scope) { s.ownExtLocked().timeout = time.Duration(o) } // the timer is set by begin
func (o timeoutOption) applyTask(t *Task)   { t.ownExt().timeout = time.Duration(o) }

type cancelTimeoutOption time.Duration

// CancelTimeout limits how long the scope waits for a task after the task, or the whole
// scope, was canceled. A task that has not ended after d is given up: the scope no longer
// waits for it, and its outcome contains a [*StuckError] that names the task. The
// CancelTimeout of the task applies, or else that of the nearest scope that has one.
// Without one, or with 0, the scope waits forever. A task that waits for a scope below, in
// Run, Wait, Close or Shutdown, is not given up before the tasks of that scope.
// CancelTimeout panics if d is negative.
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

// Logger sets the logger of the scope and of all scopes below it, in place of that of the
// parent. Every [Event] is logged at DEBUG, and so are errors of tasks with
// Bubble(false); timeouts at INFO; other errors that are not in an outcome at WARN;
// panics, and outcomes that no call has returned, at ERROR. Without a Logger, records at
// WARN and above go to slog.Default(). Whether l takes DEBUG is asked once for each scope,
// when it is opened. Logger panics if l is nil. The handler of l is
// called with no lock held, on the goroutine that makes the step, and must not call
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

// Observe calls o for every [Event] of the scope and of all scopes below it: see
// [Observer]. Observers of the parent are called first, then those of the scope in the
// order of the options. Observe panics if o is nil.
func Observe(o Observer) ScopeOption {
	if o == nil {
		panic("traigo: Observe: nil Observer; leave the option out to have none")
	}
	return observeOption{o}
}

func (o observeOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// Clip forces a copy: siblings append to the slice of the parent too.
		set.observers = append(slices.Clip(set.observers), o.observer)
	})
}

type wrapOption struct{ wrapper Wrapper }

// Wrap calls w around the function of each task and the body of each Run in the scope and
// in all scopes below it. Wrappers of the parent, and those of earlier options, are
// outside of w. Wrap panics if w is nil.
func Wrap(w Wrapper) ScopeOption {
	mustHaveFunc("Wrap", w != nil, "the function to call around tasks and bodies")
	return wrapOption{w}
}

func (o wrapOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// Clip forces a copy: siblings append to the slice of the parent too.
		set.wrappers = append(slices.Clip(set.wrappers), o.wrapper)
	})
}

type canceledIfOption func(error) bool

// CanceledIf says which errors of tasks and of the body only tell of a cancellation,
// although they are no context error: those of package os/exec ("signal: killed"), of
// gRPC, of a connection that was closed. When a task of the scope, or of a scope below, has
// been canceled and returns an error that f knows, the error is dropped like ctx.Err(). f is
// called only after a cancellation, with each error in the tree of the returned one that
// wraps no other, and with the outermost error that wraps it alone. The functions of the
// scopes above are asked too, after the scope's own. CanceledIf panics if f is nil.
func CanceledIf(f func(err error) bool) ScopeOption {
	mustHaveFunc("CanceledIf", f != nil, "the function that knows errors of a cancellation")
	return canceledIfOption(f)
}

func (o canceledIfOption) applyScope(s *Scope) {
	s.change(func(set *settings) {
		// A copy: the parent's other children append to the same array.
		set.canceledIf = append(slices.Clip(set.canceledIf), o)
	})
}

type panicAsErrorOption struct{}

// PanicAsError turns a panic of a task or of the body, in the scope and in all scopes
// below it, into an ordinary failure with a [*PanicError]: it has the owner that an error
// would have, and Run, Wait, Close and Shutdown do not panic. A Goexit is not affected.
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

// Variables, so that the options do not allocate.
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

// Bubble sets whether a failure of the task cancels its scope and becomes the scope's
// outcome. The default is true for Spawn and Start, and false for Async and for tasks
// with OnDone. With Bubble(false) and no other owner the error is logged at DEBUG and
// dropped.
func Bubble(b bool) TaskOption { return either(b, bubbleOn, bubbleOff) }

// Master sets whether the scope is canceled when the task ends or is given up. If the
// task failed and bubbles, its error is the cause, as for any task. Otherwise the scope
// ends quietly, even if the task failed. The default is false.
func Master(b bool) TaskOption { return either(b, masterOn, masterOff) }

// Awaited sets whether a finalizing scope waits for the task to end by itself. A task
// with Awaited(false) is canceled, and then waited for, when all awaited tasks and forks
// have ended. It needs no slot under a [Limit]. The default is true.
func Awaited(b bool) TaskOption { return either(b, awaitedOn, awaitedOff) }

// Dedicated runs the task on a goroutine that no other task uses before or after it. A
// task needs it if it changes the state of its goroutine, for example by
// runtime.LockOSThread.
func Dedicated() TaskOption { return dedicatedOn }

type onDoneOption func(error)

// OnDone calls f once, with the error of the task or nil, after the task has ended and
// before its scope closes. That is what [Task.Err] returns: also an error that only
// reports a cancellation, such as ctx.Err(). f runs on the goroutine of the task. Task.Done
// is closed before f is called. The error belongs to f: it does not bubble unless Bubble(true) is
// set too. If the task is given up, f is called on another goroutine with the
// [*StuckError], and an error that the task returns later is logged. If the task is
// refused, f is not called; the Task that Spawn returns has the error. If OnDone is given
// more than once, the last one applies. A panic of f is logged. OnDone panics if f is
// nil.
func OnDone(f func(err error)) TaskOption {
	mustHaveFunc("OnDone", f != nil, "the function that is to have the error")
	return onDoneOption(f)
}

func (o onDoneOption) applyTask(t *Task) { t.ownExt().onDone = o }

type valuesOption struct{ ctx context.Context }

// Values makes the values of ctx visible in the task's context, before those of the
// scope: request IDs, spans, pprof labels. The cancellation and the deadline of ctx have
// no effect. If Values is given more than once, the last one applies. It panics if ctx is
// nil.
func Values(ctx context.Context) TaskOption {
	mustHaveContext("Values", ctx)
	return valuesOption{context.WithoutCancel(hold.Without(ctx))}
}

func (o valuesOption) applyTask(t *Task) { t.ownExt().values = o.ctx }

// Checks of arguments. A wrong call panics at once, with a message that says what to do
// instead, since it is a bug in the caller.

// check panics if s is nil or a zero Scope. Every exported method calls it first.
func (s *Scope) check(method string) {
	if s == nil {
		panic("traigo: " + method + " on a nil *Scope: there is no current scope here; open one with Run or New")
	}
	if s.id == 0 {
		panic("traigo: " + method + " on a zero Scope; open one with Run, New or Fork")
	}
}

// check panics if t is nil or a zero Task. Every exported method calls it first.
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

// mustHaveFunc takes a bool instead of the function, since a nil func in an any is not
// nil.
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
	if !hasItems {
		panic("traigo: " + call + ": nil iterator; pass the items, slices.Values(list) for a slice")
	}
	mustHaveFunc(call, hasFunc, "the function for each item")
	for _, o := range opts {
		mustHaveOption(call, o != nil)
	}
}
