package temporal

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// watches has the scopes whose tasks a worker runs. Each is followed by one long poll, whatever the
// number of tasks, so that a cancellation is heard at once.
type watches struct {
	engine *Engine
	ctx    context.Context //nolint:containedctx // of the worker
	over   sync.WaitGroup

	mu sync.Mutex
	of map[scopeRun]*watch
}

// A scopeRun is where the history of a scope begins for those who read it: earlier runs had ended
// before their tasks were started.
type scopeRun struct{ id, run string }

// lingerDelay is for how long a scope is followed that has no task here any more.
const lingerDelay = 10 * time.Second

// A watch is what a worker knows of one scope.
type watch struct {
	all  *watches
	key  scopeRun
	read chan struct{} // closed when all that had happened when the watch began is known

	mu       sync.Mutex
	owner    string
	owners   map[string]bool // all that there have been
	isRead   bool
	ended    error // the cause with which it has; nil while it is open
	isLost   bool  // it has ended since its lease was lost
	attempts map[*attempt]struct{}
	canceled map[string]stopped // the tasks that were canceled alone, so that an attempt that comes soon after knows
	sweep    int                // the length at which old ones are dropped
	idle     *time.Timer        // stops the watch
	users    int
	stop     context.CancelFunc
}

// A stopped is a cancellation of one task.
type stopped struct {
	cause error
	at    time.Time
}

// stoppedFor is for how long it is known here. The workflow of the task has heard of it by then, and
// begins no attempt.
const stoppedFor = time.Minute

// enter returns the watch of a scope, for an attempt that is about to begin.
func (w *watches) enter(key scopeRun, lease time.Duration) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.of[key]
	if h == nil {
		ctx, stop := context.WithCancel(w.ctx)
		h = &watch{
			all: w, key: key, read: make(chan struct{}), stop: stop,
			owners: map[string]bool{}, attempts: map[*attempt]struct{}{}, canceled: map[string]stopped{},
		}
		w.of[key] = h
		w.over.Go(func() { h.follow(ctx, askAgain(lease)) })
	}
	h.users++
	if h.idle != nil {
		h.idle.Stop()
		h.idle = nil
	}
	return h
}

// leave is called when the attempt has ended.
func (w *watches) leave(h *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	h.idle = time.AfterFunc(lingerDelay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if h.users == 0 && w.of[h.key] == h {
			delete(w.of, h.key)
			h.stop()
		}
	})
}

// end stops all watches.
func (w *watches) end() {
	w.mu.Lock()
	for _, h := range w.of {
		if h.idle != nil {
			h.idle.Stop()
		}
		h.stop()
	}
	w.mu.Unlock()
	w.over.Wait()
}

// follow reads the history of the scope. It goes on when the scope has closed for as long as the
// watch is there, so that who comes later finds it closed.
func (h *watch) follow(ctx context.Context, every time.Duration) {
	var closing enumspb.EventType
	r := reader{engine: h.all.engine, id: h.key.id, run: h.key.run, every: every, current: h.isCurrent, event: func(ev *historypb.HistoryEvent) {
		closing = ev.GetEventType()
		h.hear(ev)
	}}
	err := r.read(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		h.end(fmt.Errorf("%w: the engine does not know scope %q any more", ErrLease, h.key.id), true)
	case closing == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		h.end(fmt.Errorf("%w: the owner of scope %q was silent", ErrLease, h.key.id), true)
	default:
		h.end(fmt.Errorf("%w: scope %q was ended by somebody else", ErrLease, h.key.id), true)
	}
	h.isCurrent()
}

func (h *watch) isCurrent() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isRead {
		h.isRead = true
		close(h.read)
	}
}

// hear handles an event of the scope.
func (h *watch) hear(ev *historypb.HistoryEvent) {
	switch {
	case ev.GetWorkflowExecutionStartedEventAttributes() != nil:
		if owner := h.all.engine.ownerIn(h.key.id, ev); owner != "" {
			h.mu.Lock()
			h.ownLocked(owner)
			h.mu.Unlock()
		}
	case ev.GetWorkflowExecutionSignaledEventAttributes() != nil:
		m := h.all.engine.messageIn(h.key.id, ev)
		h.mu.Lock()
		if m.Own != nil {
			h.ownLocked(m.Own.Owner)
		}
		isOwner := m.Owner == h.owner
		h.mu.Unlock()
		var cause error = m.Cause
		if m.Cause == nil {
			cause = errEnded
		}
		switch {
		case m.End && isOwner:
			h.end(cause, false)
		case isOwner:
			h.cancel(m.Tasks, cause)
		}
	}
}

// ownLocked sets the owner. What the last one has canceled, this one may start again.
func (h *watch) ownLocked(owner string) {
	if owner != h.owner {
		clear(h.canceled)
	}
	h.owner, h.owners[owner] = owner, true
}

// canceledLocked returns the cause with which the task of an attempt was canceled alone; nil if it was not. That a
// new owner has the scope may be heard after the first of its tasks has come: what was heard until
// then is of others.
func (h *watch) canceledLocked(a *attempt) error {
	if !h.owners[a.in.Owner] {
		return nil
	}
	return h.canceled[a.Task].cause
}

var errEnded = fmt.Errorf("the scope has ended: %w", context.Canceled)

// end ends all that runs here.
func (h *watch) end(cause error, isLost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended != nil {
		return
	}
	h.ended, h.isLost = cause, isLost
	for a := range h.attempts {
		a.cancel(cause, isLost)
	}
}

// cancel ends some tasks.
func (h *watch) cancel(tasks []string, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, task := range tasks {
		h.canceled[task] = stopped{cause, now}
	}
	if len(h.canceled) > h.sweep {
		maps.DeleteFunc(h.canceled, func(_ string, s stopped) bool { return now.Sub(s.at) > stoppedFor })
		h.sweep = 1000 + 2*len(h.canceled)
	}
	for a := range h.attempts {
		if cause := h.canceledLocked(a); cause != nil {
			a.cancel(cause, false)
		}
	}
}

// begin makes an attempt hear of what happens to its scope, or its task. It is canceled at once if
// that has happened already. It returns false if ctx is done before that is known.
func (h *watch) begin(ctx context.Context, a *attempt) bool {
	select {
	case <-h.read:
	case <-ctx.Done():
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts[a] = struct{}{}
	if h.ended != nil {
		a.cancel(h.ended, h.isLost)
	} else if cause := h.canceledLocked(a); cause != nil {
		a.cancel(cause, false)
	}
	return true
}

func (h *watch) remove(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.attempts, a)
}
