package traigotest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

const (
	defaultPatience = 10 * time.Second
	grace           = time.Second // for what has been canceled

	// A body has no limit of its own, but must not hang unseen. In a bubble,
	// where no deadline is known and time is free, it is over soon enough.
	forever = 365 * 24 * time.Hour
)

// Run runs body in a scope, as [traigo.Run] does, and returns when everything in
// it has ended. The scope is named after the test, and its context is derived from
// t.Context. Run must be called on the goroutine of the test, which is the one that
// body runs on.
//
// The test fails
//   - with each error of the outcome, by the path of its task. So it does with an
//     error that the scope would log as lost: that of a fork which nobody has asked,
//     say;
//   - with the stack of a panic, of a task or of body. Other tests go on. After a
//     panic of body, this one does not;
//   - if something awaited still runs when the patience is over: 10 seconds after
//     body has returned, or what [Patience] says, and in any case shortly before
//     the deadline of the test. The test shows the tree and the stacks, and the
//     scope is canceled. In a bubble the clock is that of the bubble, so a task that
//     is blocked for ever costs no time;
//   - with the stack of a task that does not end within a second of being canceled,
//     for whatever reason. It is given up; [traigo.CancelTimeout] changes the time.
//     (A bubble waits for it all the same: if it is blocked for ever, synctest shows
//     this, and ends the process);
//   - if a call that [traigo.Blocking] has abandoned does not end within the patience.
//
// t.FailNow and t.SkipNow, and so the functions of package require, may be called
// in body and in tasks of any kind. All that runs is then canceled and joined,
// and the test ends.
//
// Options are added to those that Run needs. A [traigo.Logger] replaces one that
// writes warnings to the log of the test, and takes lost errors in its place.
func Run(t testing.TB, body func(ctx context.Context, s *traigo.Scope), opts ...traigo.ScopeOption) {
	t.Helper()
	if body == nil {
		panic("traigotest: Run: nil function; pass the body of the test")
	}
	own, d := takePatience(opts)
	_, file, line, _ := runtime.Caller(1)
	w := newWatch(t, fmt.Sprintf("%s:%d", filepath.Base(file), line), d)
	goesOn := false
	// Deferred, since t.FailNow in body does not come back.
	defer func() {
		t.Helper()
		if w.scope == nil {
			return // a wrong option has panicked
		}
		v := w.verdict()
		v.tell(w, !goesOn)
		if goesOn && v.stop != nil {
			v.stop()
		}
	}()
	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		w.call(ctx, s, body)
		return nil
	}, append(w.options(), own...)...)
	goesOn = true
}

// patience is an option by what it embeds: only package traigo can make one.
type patience struct {
	traigo.ScopeOption

	d time.Duration
}

type indifferent struct{}

func (indifferent) Observe(traigo.Event) {}

// Patience says how long [Run] waits for tasks, forks and abandoned calls once
// the body has returned. The default is 10 seconds; 0 is as long as the test
// may take. To other scopes than that of Run it says nothing. It panics if d is
// negative.
func Patience(d time.Duration) traigo.ScopeOption {
	if d < 0 {
		panic(fmt.Sprintf("traigotest: Patience(%v): negative duration", d))
	}
	return patience{traigo.Observe(indifferent{}), d}
}

// takePatience returns the options without those made by Patience, and what the
// last of these says.
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

// timeLeft is how long t may still take, less what it takes to cancel and to
// tell of it.
func timeLeft(t testing.TB) (left time.Duration, known bool) {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return 0, false
	}
	// The T of a bubble panics: its clock knows nothing of the deadline.
	defer func() { _ = recover() }()
	at, ok := d.Deadline()
	if !ok {
		return 0, false
	}
	left = time.Until(at)
	return left - min(left/3, 5*time.Second), true
}

// A watch observes the scope of a test, and cancels it when it takes too long.
type watch struct {
	t        testing.TB
	at       string // file and line of the call of Run
	patience time.Duration
	scope    *traigo.Scope // set before body is called

	mu       sync.Mutex
	running  map[*traigo.Task]bool // those whose functions have been called
	stuck    map[*traigo.Task]bool // those that were given up
	left     []string              // paths of the tasks that ended the test by FailNow or SkipNow
	lost     []lostError
	inBody   bool
	timer    *time.Timer
	toldBody bool // that body does not return
	finished bool // nobody reads lost any more
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

// Observe keeps account of what runs. A task that ends the test ends the whole
// scope, whoever owns its error: nothing else is wanted of that any more.
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
		ended := isGoexit(e.Err) && (w.t.Failed() || w.t.Skipped())
		w.mu.Lock()
		delete(w.running, e.Task)
		if ended {
			w.left = append(w.left, e.Task.Path())
		}
		w.mu.Unlock()
		if ended {
			w.scope.Cancel(&leftError{e.Task.Path()})
		}
	default:
	}
}

// isGoexit says whether a task has ended by runtime.Goexit, and not by an error
// that tells of another which has.
func isGoexit(err error) bool { return any(err) == any(traigo.ErrGoexit) }

// A leftError cancels the scope of a test that a task has ended.
type leftError struct{ task string }

func (e *leftError) Error() string { return fmt.Sprintf("task %q has ended the test", e.task) }

// call runs the body. It is where a stack of the body ends, for who reads it.
func (w *watch) call(ctx context.Context, s *traigo.Scope, body func(context.Context, *traigo.Scope)) {
	w.begin(s)
	defer w.bodyEnded()
	body(ctx, s)
}

func (w *watch) begin(s *traigo.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scope, w.inBody = s, true
	w.windLocked(forever, "in the body, after a year of the test's clock (so it is blocked for ever)")
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
	w.windLocked(d, fmt.Sprintf("%v after the body returned (traigotest.Patience says how long they may)", d))
}

// windLocked sets the timer to d from now, or to the deadline of the test.
func (w *watch) windLocked(d time.Duration, when string) {
	late := &lateError{when: when}
	if left, known := timeLeft(w.t); known && left < d {
		d, late.when, late.atDeadline = left, "shortly before the deadline of the test", true
	}
	w.timer = time.AfterFunc(d, func() { w.expire(late) })
}

// expire looks at what runs before it cancels it: most of it ends then.
func (w *watch) expire(late *lateError) {
	late.tree, late.stacks = w.scope.Snapshot().String(), w.stacks()
	w.scope.Cancel(late)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inBody {
		w.timer = time.AfterFunc(grace, func() { w.tellBody(late) })
	}
}

// tellBody reports a body that does not heed its context. Nobody can give it up:
// it has the goroutine of the test. So this may be the last that is heard of it.
func (w *watch) tellBody(late *lateError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inBody {
		return
	}
	w.toldBody = true
	text := fmt.Sprintf("the body does not return, though its context was canceled %v ago\n%s", grace, late.describe(nil))
	w.fail(text)
	if late.atDeadline && !testing.Verbose() { // what the test has to say dies with the process
		_, _ = fmt.Fprintf(os.Stderr, "%s: %s: %s\n", w.at, w.t.Name(), text)
	}
}

// close stops the timer, and waits for the calls that Blocking has abandoned: they
// are no tasks any more, and nothing tells of their end.
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
	for _, t := range shot.Tasks {
		if t.State == "abandoned" {
			return true
		}
	}
	return false
}
