package traigotest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

const (
	defaultPatience = 10 * time.Second
	grace           = time.Second // the CancelTimeout of the scope

	// forever bounds a body, and everything else if the patience is 0. It ends a test
	// that is blocked in a bubble, where no deadline is known and waiting costs no time.
	forever = 365 * 24 * time.Hour
)

// Run runs body in a scope, as [traigo.Run] does, and returns when everything in the
// scope has ended. The scope has the name of the test, and its context is derived
// from t.Context. Run must be called on the goroutine of the test; body is called on
// that goroutine.
//
// The test fails
//   - for each error in the outcome of the scope. The message has the path of the
//     task. The same holds for an error that the scope would otherwise log as lost,
//     such as the error of a fork of which nobody has called Wait, Close or Err within
//     10 seconds, or before the end;
//   - if a task or body panics, or a function of [traigo.OnDone], or an observer. The
//     message has the stack of the panic. Other tests go on. After a panic of body Run
//     does not return: it calls t.FailNow;
//   - if tasks or forks that the scope waits for have not ended 10 seconds after body
//     has returned, or after the time set by [Patience], or shortly before the
//     deadline of the test. The message has the tree of the scope and the stacks, and
//     the scope is canceled. In a bubble the time is that of the bubble, so waiting for
//     a task that is blocked for ever costs no real time;
//   - if a task does not end within one second of being canceled, for whatever reason.
//     The message has its stack. The task is given up, as with a [traigo.CancelTimeout]
//     of one second; that option changes the time. If the task never ends, a bubble
//     still waits for it: synctest then reports a deadlock and ends the process;
//   - if a call that [traigo.Blocking] has abandoned does not end within the patience.
//
// The body, and tasks of any kind, may call t.FailNow and t.SkipNow, and therefore
// the functions of package require. The scope is then canceled, and when everything
// in it has ended, the test ends. Observers and loggers may not: package traigo ends the
// program then.
//
// The options opts are applied after those of Run itself. Run sets a [traigo.Logger]
// that writes warnings to the log of the test, and turns lost errors into failures;
// another Logger in opts replaces it. Run panics if body or an option is nil.
func Run(t testing.TB, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) {
	t.Helper()
	if body == nil {
		panic("traigotest: Run: nil function; pass the body of the test")
	}
	own, d := takePatience(opts)
	_, file, line, _ := runtime.Caller(1)
	w := newWatch(t, fmt.Sprintf("%s:%d", filepath.Base(file), line), d)
	returned := false
	// Deferred, because Run is unwound when body calls t.FailNow.
	defer func() {
		t.Helper()
		if w.scope == nil {
			return // a wrong option has panicked
		}
		v := w.verdict()
		v.report(w, !returned)
		if returned && v.stop != nil {
			v.stop()
		}
	}()
	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		w.call(ctx, s, body)
		return nil
	}, append(w.options(), own...)...)
	returned = true
}

// A patience is an option of Run alone. It is a [traigo.ScopeOption] because it embeds
// one, which does nothing; only package traigo can define one.
type patience struct {
	traigo.ScopeOption

	d time.Duration
}

type noObserver struct{}

func (noObserver) Observe(traigo.Event) {}

// Patience sets how long [Run] waits, once the body has returned, for tasks, forks and
// the calls that [traigo.Blocking] has abandoned. The default is 10 seconds; with 0
// Run waits until shortly before the deadline of the test. The option has no effect on
// a scope that is not opened by Run. It panics if d is negative.
func Patience(d time.Duration) traigo.ScopeOption {
	if d < 0 {
		panic(fmt.Sprintf("traigotest: Patience(%v): negative duration", d))
	}
	return patience{traigo.Observe(noObserver{}), d}
}

// takePatience returns the options that are not made by Patience, and the duration of
// the last one that is.
func takePatience(opts []traigo.ScopeOption) (rest []traigo.ScopeOption, d time.Duration) {
	d = defaultPatience
	for _, o := range opts {
		if p, ok := o.(patience); ok {
			d = p.d
		} else {
			rest = append(rest, o)
		}
	}
	return rest, d
}

// A watch observes the scope of a test, and cancels it when it takes too long.
type watch struct {
	t        testing.TB
	at       string // file and line of the call of Run
	patience time.Duration
	scope    *traigo.Scope // set before body is called

	mu           sync.Mutex
	running      map[*traigo.Task]bool // tasks whose functions have been called
	stuck        map[*traigo.Task]bool // tasks that were given up
	leavers      []string              // paths of the tasks that have called FailNow or SkipNow
	lost         []lostError
	inBody       bool
	timer        *time.Timer
	bodyReported bool // the test has failed because body does not return
	finished     bool // lost has been read: later records go to slog.Default
}

func newWatch(t testing.TB, at string, patience time.Duration) *watch {
	return &watch{t: t, at: at, patience: patience, running: map[*traigo.Task]bool{}, stuck: map[*traigo.Task]bool{}}
}

func (w *watch) options() []traigo.ScopeOption {
	return []traigo.ScopeOption{
		traigo.Name(w.t.Name()),
		traigo.PanicAsError(),
		traigo.CancelTimeout(grace),
		traigo.Logger(slog.New(testLog{w})),
		traigo.Observe(w),
	}
}

// Observe keeps track of the tasks that run. A task that has called FailNow or SkipNow
// cancels the scope, whoever owns its error: the test is over.
func (w *watch) Observe(e traigo.Event) {
	switch e.Kind {
	case traigo.TaskStarted:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running[e.Task] = true
	case traigo.TaskStuck:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stuck[e.Task] = true
	case traigo.TaskEnded:
		left := isGoexit(e.Err) && (w.t.Failed() || w.t.Skipped())
		w.mu.Lock()
		delete(w.running, e.Task)
		if left {
			w.leavers = append(w.leavers, e.Task.Path())
		}
		w.mu.Unlock()
		if left {
			w.scope.Cancel(&leftError{e.Task.Path()})
		}
	default:
	}
}

// isGoexit reports whether err says that its task has called runtime.Goexit. An error
// that only wraps ErrGoexit may say so about another task.
func isGoexit(err error) bool { return any(err) == any(traigo.ErrGoexit) }

// A leftError is the cause with which the scope is canceled when a task has called
// FailNow or SkipNow.
type leftError struct{ task string }

func (e *leftError) Error() string { return fmt.Sprintf("task %q has ended the test", e.task) }

// call runs the body. Stacks of the body are cut at its frame: see testFrame.
func (w *watch) call(ctx context.Context, s *traigo.Scope, body func(context.Context, *traigo.Scope)) {
	w.begin(s)
	defer w.bodyEnded()
	body(ctx, s)
}

func (w *watch) begin(s *traigo.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scope, w.inBody = s, true
	w.startTimerLocked(forever, "in the body, after a year of the test's clock (so it is blocked for ever)")
}

func (w *watch) bodyEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inBody = false
	w.timer.Stop()
	d := w.patience
	if d == 0 {
		d = forever
	}
	w.startTimerLocked(d, fmt.Sprintf("%v after the body returned (traigotest.Patience says how long they may)", d))
}

// startTimerLocked lets the scope run for d, or until shortly before the deadline of
// the test if that comes first. when completes the words "still running".
func (w *watch) startTimerLocked(d time.Duration, when string) {
	late := &lateError{when: when}
	if left, known := timeLeft(w.t); known && left < d {
		d, late.when, late.atDeadline = left, "shortly before the deadline of the test", true
	}
	w.timer = time.AfterFunc(d, func() { w.expire(late) })
}

// timeLeft returns the time until the deadline of t, less the time that is needed to
// cancel the scope and to report it: a third of it, at most five seconds.
func timeLeft(t testing.TB) (left time.Duration, known bool) {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return 0, false
	}
	// In a bubble Deadline panics, because it is a time of the real clock.
	defer func() { _ = recover() }()
	at, ok := d.Deadline()
	if !ok {
		return 0, false
	}
	left = time.Until(at)
	return left - min(left/3, 5*time.Second), true
}

// expire cancels the scope. It takes the tree and the stacks before, since most tasks
// end when they are canceled.
func (w *watch) expire(late *lateError) {
	late.tree, late.stacks = w.scope.Snapshot().String(), w.stacks()
	w.scope.Cancel(late)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inBody {
		w.timer = time.AfterFunc(grace, func() { w.reportBody(late) })
	}
}

// reportBody fails the test because of a body that ignores the cancellation. The body
// has the goroutine of the test, so it cannot be given up, and the test may never
// report anything else.
func (w *watch) reportBody(late *lateError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inBody {
		return
	}
	w.bodyReported = true
	text := fmt.Sprintf("the body does not return, though its context was canceled %v ago\n%s", grace, late.describe(nil))
	w.fail(text)
	if late.atDeadline && !testing.Verbose() { // the output of the test is lost when the process is killed
		_, _ = fmt.Fprintf(os.Stderr, "%s: %s: %s\n", w.at, w.t.Name(), text)
	}
}

// close stops the timer and waits for the calls that Blocking has abandoned. It reports
// whether some have not ended within the patience. An abandoned call is no task any
// more, and no event says that it has ended, so close looks every 10 ms.
func (w *watch) close() (abandoned bool) {
	w.mu.Lock()
	w.timer.Stop()
	w.mu.Unlock()
	wait := w.patience
	if wait == 0 {
		wait = forever
	}
	if left, known := timeLeft(w.t); known {
		wait = min(wait, left)
	}
	const pause = 10 * time.Millisecond
	for ; hasAbandoned(w.scope.Snapshot()); wait -= pause {
		if wait <= 0 {
			return true
		}
		_ = traigo.Sleep(context.Background(), pause)
	}
	return false
}

func hasAbandoned(shot traigo.Snapshot) bool {
	isCall := func(t traigo.TaskSnapshot) bool { return t.State == "abandoned" }
	return slices.ContainsFunc(shot.Tasks, isCall) || slices.ContainsFunc(shot.Scopes, hasAbandoned)
}
