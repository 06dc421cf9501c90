package traigotest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/traigo/traigo"
)

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

// A lateError cancels the scope of a test that takes too long.
type lateError struct {
	when       string
	atDeadline bool // of the test: the process is about to be killed
	tree       string
	stacks     []stack
}

func (e *lateError) Error() string { return "still running " + e.when }

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
