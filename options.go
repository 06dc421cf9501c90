package traigo

import (
	"cmp"
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
	labels        bool // PprofLabels
	traces        bool // RuntimeTrace
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

func (o timeoutOption) applyScope(s *Scope) { s.ownRareLocked().timeout = time.Duration(o) } // begin sets the clock

func (o timeoutOption) applyTask(t *Task) { t.special().timeout = time.Duration(o) }

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
	x := t.special()
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
		set.observers = append(append([]Observer(nil), set.observers...), o.observer)
	})
}

type limitOption int

// Limit lets at most n tasks of the scope run at once; one with a [Weight] counts
// for as many. Spawn then blocks until there is room or the scope is canceled; a
// task that spawns into its own full scope waits for itself (use TrySpawn there,
// or a fork). Forks have limits of their own. It panics if n is less than 1.
func Limit(n int) ScopeOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: Limit(%d): a limit is at least 1; leave the option out for none", n))
	}
	return limitOption(n)
}

func (o limitOption) applyScope(s *Scope) { s.limitBy(&Limiter{limit: int(o)}) }

type limitedByOption struct{ limiter *Limiter }

// LimitedBy lets the tasks of the scope run only while l has units for them,
// beside those of all other scopes that l limits. It may be given several times,
// and together with [Limit]. It is not inherited. Spawn blocks as with Limit,
// with one difference: a task that holds units of l, and waits for a scope that is
// limited by l as well, lends all that it holds to others meanwhile, and goes on
// when it has it back. So tasks may wait for others of their own kind, to any depth.
// Waiting in that sense is Spawn, Start, Run, Wait, Close and Shutdown of such a
// scope, Wait and Await of a task in there, and the joins, each on the task's own
// goroutine. It goes on at once, for that moment beyond the limit, if what it waits
// with has ended (its own context, or the one it has passed), and in a loop over
// AsCompleted.
func LimitedBy(l *Limiter) ScopeOption {
	l.check("LimitedBy")
	return limitedByOption{l}
}

func (o limitedByOption) applyScope(s *Scope) { s.limitBy(o.limiter) }

// limitBy adds l where its number says; the limit of the scope itself has none.
func (s *Scope) limitBy(l *Limiter) {
	r := s.ownRareLocked()
	at, found := slices.BinarySearchFunc(r.limits, l.number, func(l *Limiter, n uint64) int { return cmp.Compare(l.number, n) })
	if found {
		r.limits[at] = l
	} else {
		r.limits = slices.Insert(r.limits, at, l)
	}
}

type weightOption int

// Weight says how many units of every limit of its scope the task takes: see
// [Limit] and [LimitedBy]. The default is 1. If it is more than a Limit, the call
// that spawns the task panics; if it is more than a [Limiter] has, the call waits
// until SetLimit lets it in. It panics if n is less than 1.
func Weight(n int) TaskOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: Weight(%d): a task weighs at least 1", n))
	}
	return weightOption(n)
}

func (o weightOption) applyTask(t *Task) { t.special().weight = int(o) }

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

func (o onDoneOption) applyTask(t *Task) { t.special().onDone = o }

type valuesOption struct{ ctx context.Context }

// Values lets the task's context find values in ctx as well, before those of
// the scope: request ids, spans, pprof labels. The cancellation and the
// deadline of ctx are not taken.
func Values(ctx context.Context) TaskOption {
	mustHaveContext("Values", ctx)
	return valuesOption{context.WithoutCancel(ctx)}
}

func (o valuesOption) applyTask(t *Task) { t.special().values = o.ctx }

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

// check is the first line of every method of a Limiter.
func (l *Limiter) check(method string) {
	if l == nil || l.holders == nil {
		panic("traigo: " + method + ": a nil or zero *Limiter; make one with NewLimiter")
	}
}

func mustBeLimit(call string, n int) {
	if n < 0 {
		panic(fmt.Sprintf("traigo: %s(%d): negative limit", call, n))
	}
}

func mustNotBeNegative(call string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("traigo: %s(%v): negative duration", call, d))
	}
}
