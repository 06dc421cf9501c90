package temporal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc/panics"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/traigo/traigo"
)

// An Attempt is one run of a remote function. See [Current].
type Attempt struct {
	Number int    // 1, 2, …: counts failures and losses
	Task   string // the workflow ID of the task, the same in all attempts: the key for effects that must happen once
	Scope  string // the workflow ID of the scope
	Func   string
	Queue  string
	Worker string // the identity of the worker: by default host/pid

	run *attempt
}

type attemptKey struct{}

// Current returns the attempt under whose context ctx is; nil outside of a remote function, and so
// also in a test that calls the function directly.
func Current(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Engine returns the engine of the worker: for [Open] in a remote function, whose scope then ends
// with the attempt.
func (a *Attempt) Engine() *Engine {
	a.check("Engine")
	return a.run.work.engine
}

func (a *Attempt) check(call string) {
	if a == nil || a.run == nil {
		panic("traigo: temporal: " + call + " of no Attempt: Current returns one in a remote function only")
	}
}

// Save leaves v for the next attempt, should this one be lost or fail. The last value counts. It is
// sent with the next heartbeat, a third of the [Lease] later at the latest, and at once if the attempt
// fails. A value that cannot be encoded, or is too large ([ErrTooLarge]), is an error.
func (a *Attempt) Save(v any) error {
	a.check("Save")
	s, err := a.run.work.engine.seal(a.Task, v)
	if err != nil {
		return fmt.Errorf("traigo: temporal: what %q saves cannot be encoded: %w", a.Func, err)
	}
	if err := checkSize(s, "what %q saves", a.Func); err != nil {
		return err
	}
	a.run.mu.Lock()
	defer a.run.mu.Unlock()
	a.run.saved = s
	return nil
}

// Load decodes into v what an earlier attempt has left, or this one; it returns false if there is
// nothing.
func (a *Attempt) Load(v any) (bool, error) {
	a.check("Load")
	a.run.mu.Lock()
	s := a.run.saved
	a.run.mu.Unlock()
	if s.payload == nil {
		return false, nil
	}
	if err := a.run.work.engine.unseal(a.Task, s, v); err != nil {
		return false, fmt.Errorf("traigo: temporal: what %q has saved cannot be decoded: %w", a.Func, err)
	}
	return true, nil
}

// A progress is what one attempt leaves for the next, beside what is saved.
type progress struct {
	Failures int       `json:"failures,omitempty"` // after which it was tried again
	Returns  int       `json:"returns,omitempty"`  // by workers that do not know the function
	Since    time.Time `json:"since,omitzero"`     // the first of those since a worker had it, by the clock of the engine
	Ran      []ran     `json:"ran,omitempty"`      // the attempts that have ended, as far as they could say so
}

// A ran is an attempt that has ended before the last one, for the owner to show.
type ran struct {
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker"`
}

// maxRan is how many of them are told of.
const maxRan = 10

const (
	maxLost      = 10               // attempts
	unknownAfter = 10 * time.Second // a function that workers did not know for so long is unknown
)

// An attempt is an Attempt, in the worker. Its heartbeats, its cancellation and its lease are here;
// the function is a task of the worker's scope.
type attempt struct {
	Attempt
	work    *work
	in      taskInput
	token   []byte
	taskRun string // of the workflow of the task

	ctx  context.Context //nolint:containedctx // ends when the function is to
	stop context.CancelCauseFunc

	mu       sync.Mutex
	progress progress
	saved    sealed // nil payload: nothing
	isLost   bool   // the lease of the scope
	isFenced bool   // the lease of this attempt: its outcome is not used
}

// attempt is the activity of all functions.
func (w *work) attempt(ctx context.Context, args converter.EncodedValues) (sealed, error) {
	received := time.Now()
	w.running.Add(1)
	defer w.running.Add(-1)
	info := activity.GetInfo(ctx)
	a := &attempt{work: w, token: info.TaskToken, taskRun: info.WorkflowExecution.RunID}
	a.Attempt = Attempt{
		Number: int(info.Attempt), Task: info.WorkflowExecution.ID, Func: info.ActivityType.Name, Queue: w.queue, Worker: w.engine.identity, run: a,
	}
	var argument sealed
	if err := args.Get(&a.in, &argument); err != nil {
		return sealed{}, a.failure(failed, fmt.Errorf("traigo: temporal: what was sent for %q cannot be read: %w", a.Func, err))
	}
	a.Scope = a.in.Scope
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &a.progress, &a.saved); err != nil {
			return sealed{}, a.failure(failed, fmt.Errorf("traigo: temporal: what an earlier attempt of %q has left cannot be read: %w", a.Func, err))
		}
	}
	fn := w.functions[a.Func]
	if fn == nil {
		return sealed{}, a.giveBack(ctx, info.StartedTime)
	}
	a.progress.Since = time.Time{} // of an earlier deployment
	if n := a.Number - 1 - a.progress.Failures - a.progress.Returns; n >= maxLost {
		return sealed{}, a.failure(lost, fmt.Errorf("%w: %d attempts of %q were lost with their workers", ErrLost, n, a.Func))
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	defer a.stop(nil)
	h := w.watches.enter(scopeRun{a.in.Scope, a.in.Run}, a.in.Lease)
	defer w.watches.leave(h)
	if !a.enter(h, received) {
		return sealed{}, a.lostNow(ctx, "the worker stops, or its lease was over before the function began")
	}
	defer h.remove(a)
	if cause := context.Cause(a.ctx); cause != nil {
		return sealed{}, a.endedBefore()
	}
	return a.runTask(ctx, fn, argument, received, a.deadline(info.StartedTime))
}

// enter reports whether the function may begin: the history of the scope has been read. That is not waited for
// when the worker ends, since it may be long until there is an engine again, nor longer than the
// lease lasts, for which there are no heartbeats yet.
func (a *attempt) enter(h *watch, received time.Time) bool {
	ctx, cancel := context.WithDeadline(a.work.scope.Context(), received.Add(a.in.Lease*9/10))
	defer cancel()
	return h.begin(ctx, a)
}

// deadline returns that of the owner's context: what was left of it, less what has passed since
// by the clock of the engine.
func (a *attempt) deadline(started time.Time) time.Time {
	if a.in.Left == 0 {
		return time.Time{}
	}
	return time.Now().Add(a.in.Left - started.Sub(a.in.Started))
}

// cancel cancels the function.
func (a *attempt) cancel(cause error, isLost bool) {
	a.mu.Lock()
	a.isLost = a.isLost || isLost
	a.mu.Unlock()
	a.stop(cause)
}

// fence ends an attempt whose lease is lost.
func (a *attempt) fence(why string) {
	a.mu.Lock()
	a.isFenced = true
	a.mu.Unlock()
	a.stop(fmt.Errorf("%w: attempt %d of %s: %s", ErrLease, a.Number, a.Task, why))
}

// endedBefore is the outcome of an attempt that was canceled before its function began.
func (a *attempt) endedBefore() error {
	a.mu.Lock()
	isLost := a.isLost
	a.mu.Unlock()
	if isLost {
		return a.failure(leaseEnd, nil)
	}
	return a.failure(canceled, nil)
}

// runTask runs the function as a task of the worker, and keeps the lease meanwhile.
func (a *attempt) runTask(ctx context.Context, fn callable, argument sealed, received, deadline time.Time) (sealed, error) {
	beating, returned := context.WithCancel(context.WithoutCancel(ctx))
	defer returned()
	f := &functionRun{attempt: a, fn: fn, argument: argument, deadline: deadline}
	name := strings.TrimPrefix(a.Task, a.in.Scope+"/")
	if a.Number > 1 {
		name += " attempt " + strconv.Itoa(a.Number)
	}
	t := a.work.scope.Spawn(func(ctx context.Context) error {
		defer returned()
		return f.call(ctx)
	}, traigo.Name(name), traigo.Bubble(false), traigo.Values(ctx))
	if t.State() == traigo.Ended && errors.Is(t.Err(), traigo.ErrRefused) {
		return sealed{}, a.lostNow(ctx, "the worker stops")
	}
	a.beat(beating, received)
	<-t.Done()
	out, err := a.outcome(ctx, f)
	if !errors.Is(err, activity.ErrResultPending) { // of which the engine is not told
		a.work.engine.answers.hold(a.token, time.Now().Add(min(a.in.Lease, time.Minute)))
	}
	return out, err
}

// beat sends heartbeats until the function has returned. It does so also while the function cleans up.
func (a *attempt) beat(ctx context.Context, renewed time.Time) {
	lease := a.in.Lease
	var failed error // the last heartbeat, if it has
	for next := renewed.Add(lease / 3); ; {
		pause(ctx, time.Until(next))
		if ctx.Err() != nil {
			return
		}
		sent := time.Now()
		dead := renewed.Add(lease * 9 / 10)
		if !sent.Before(dead) {
			a.fence(a.work.engine.notRenewed(sent.Sub(renewed), failed))
			<-ctx.Done()
			return
		}
		failed = a.heartbeat(ctx, dead)
		switch {
		case failed == nil:
			renewed, next = sent, sent.Add(lease/3)
		case temporal.IsCanceledError(failed):
			renewed, next = sent, sent.Add(lease/3)
			a.cancel(a.askCause(ctx), false)
		case isNotFound(failed):
			a.fence("the engine does not know it any more: it was given to another worker, or its task was ended")
			<-ctx.Done()
			return
		default:
			next = time.Now().Add(min(lease/20, time.Until(dead)))
		}
	}
}

// heartbeat renews the lease, until dead at the latest, and carries what is saved.
func (a *attempt) heartbeat(ctx context.Context, dead time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, dead)
	defer cancel()
	a.mu.Lock()
	details := []any{a.progress}
	if a.saved.payload != nil {
		details = append(details, a.saved)
	}
	a.mu.Unlock()
	err := a.work.engine.client.RecordActivityHeartbeatWithOptions(ctx, client.RecordActivityHeartbeatOptions{
		TaskToken: a.token, Details: details, WorkflowID: a.Task, WorkflowType: taskType, ActivityType: a.Func, TaskQueue: a.Queue,
	})
	if errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset) {
		return nil // it is renewed; an operator's wish is for the next attempt
	}
	return err
}

// askCause asks the workflow of the task, which was told why it is canceled.
func (a *attempt) askCause(ctx context.Context) error {
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	ctx, cancel := context.WithTimeout(ctx, a.in.Lease/3)
	defer cancel()
	if m, err := a.work.engine.lastMessage(ctx, a.Task, a.taskRun); err == nil && m.Cause != nil {
		return m.Cause
	}
	return fmt.Errorf("%s is canceled: %w", a.Task, context.Canceled)
}

// A functionRun is the function of an attempt, as a task of the worker.
type functionRun struct {
	*attempt
	fn       callable
	argument sealed
	deadline time.Time

	out       any
	bodyErr   error // that of the function
	hasBody   bool  // it has returned
	err       error // that of its scope
	panicked  *traigo.PanicError
	isExited  bool
	cause     error // with which its context has ended, when it returned; nil if it had not
	isStopped bool  // the worker was
	isAgain   bool  // it may run again after this failure
}

// call runs the function in a scope of its own, so that what it starts has ended when it has.
func (f *functionRun) call(ctx context.Context) (err error) {
	worker := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.ctx, func() { cancel(context.Cause(f.ctx)) })()
	ctx = context.WithValue(&functionContext{ctx, f.deadline}, attemptKey{}, &f.Attempt)
	path, hasReturned := "", false
	defer func() {
		value := recover()
		f.cause, f.isStopped = context.Cause(ctx), worker.Err() != nil
		switch {
		case value != nil:
			f.panicked = asPanicHere(value, path, f.Func)
			err = f.panicked
		case !hasReturned:
			f.isExited = true
		}
	}()
	f.err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		path = s.Path()
		f.out, f.bodyErr = f.fn.invoke(ctx, func(into any) error { return f.work.engine.unseal(f.Task, f.argument, into) })
		f.hasBody = true
		return f.bodyErr
	}, traigo.Name(f.Func))
	if ctx.Err() == nil && f.err != nil {
		returned := f.bodyErr
		if returned == nil {
			returned = f.err // of what it has started
		}
		f.isAgain = f.fn.mayRetry(f.progress.Failures+1, returned)
	}
	hasReturned = true
	return f.err
}

// A functionContext is the context of a function. It has the deadline of the owner's context, but ends
// only when the owner says so: that tells by which cause, and a timeout can be changed.
type functionContext struct {
	context.Context //nolint:containedctx // it is one
	deadline        time.Time
}

func (c *functionContext) Deadline() (time.Time, bool) {
	if d, ok := c.Context.Deadline(); ok && (c.deadline.IsZero() || d.Before(c.deadline)) {
		return d, ok
	}
	return c.deadline, !c.deadline.IsZero()
}

func (c *functionContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// asPanicHere makes an error of what the function has panicked with. The path in it begins with the
// name of the function.
func asPanicHere(value any, path, name string) *traigo.PanicError {
	p, ok := value.(*traigo.PanicError)
	if !ok {
		recovered := panics.NewRecovered(2, value)
		return &traigo.PanicError{Task: name, Recovered: &recovered}
	}
	return &traigo.PanicError{Task: name + strings.TrimPrefix(p.Task, path), Recovered: p.Recovered}
}
