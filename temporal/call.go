package temporal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/traigo/traigo"
)

// A call is one call of [Function.Run], in the owner.
//
// It waits for its turn (InFlight) and for the lease, starts a workflow, waits for the end of that,
// and tells the workers when it is canceled. A task is in the engine only while the lease is
// held there, so an owner that is gone leaves nothing that only workers could find.
type call struct {
	remote   *Remote
	name     string // of the function
	title    string // of the local task
	path     string // likewise
	task     string // its workflow ID
	argument sealed
	scope    *traigo.Scope // named after the queue, below the local task

	waiter waiter // for its end
	view   view   // what is known of its attempts
}

// do makes the call, in a scope named after the queue.
func (c *call) do(ctx context.Context, in any) (out sealed, err error) {
	r := c.remote
	if r.scope.State() >= traigo.Canceling {
		return out, r.refused()
	}
	if err := c.prepare(in); err != nil {
		return out, err
	}
	c.title, c.path = c.name, c.name
	within := traigo.Current(ctx)
	if t := traigo.CurrentTask(ctx); t != nil && t.Scope() == within {
		c.title = t.Name()
	}
	if within != nil {
		c.path = within.Path() + "/" + c.title
	}
	hasBody := false
	var v verdict
	outcome := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		hasBody = true
		c.scope = s
		v = c.run(ctx)
		c.view.close(c, v)
		if v.panicked != nil && v.attempt > 0 {
			return nil // the task of the attempt panics
		}
		return v.err
	}, traigo.Name(r.queue))
	switch {
	case !hasBody: // a Wrapper has not let it run
		return out, outcome
	case v.panicked != nil:
		panic(v.panicked) // with PanicAsError
	}
	return v.out, v.err
}

// prepare encodes the argument.
func (c *call) prepare(in any) (err error) {
	if c.task, err = c.remote.taskID(c.name, in); err == nil {
		c.argument, err = c.remote.engine.seal(c.task, in)
	}
	if err != nil {
		return fmt.Errorf("traigo: temporal: the argument of %q cannot be encoded: %w", c.name, err)
	}
	return checkSize(c.argument, "the argument of %q", c.name)
}

// checkSize returns an error for a value that is too large.
func checkSize(v sealed, what string, args ...any) error {
	if n := v.size(); n > maxValue {
		return fmt.Errorf("%w: "+what+" has %d bytes, encoded, and the limit is %d", append(append([]any{ErrTooLarge}, args...), n, maxValue)...)
	}
	return nil
}

// keyOf is what calls with equal arguments have in common. It does not depend on the data
// converter, which may encode a value differently each time.
func keyOf(function string, in any) (key string, err error) {
	defer recovered(&err)
	text, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(text)
	return function + " " + hex.EncodeToString(hash[:]), nil
}

// run is the body of the scope of the call.
func (c *call) run(ctx context.Context) verdict {
	r := c.remote
	ctx, stop := context.WithCancelCause(ctx) // ends also with the scope of r, which may be another one
	defer stop(nil)
	defer context.AfterFunc(r.own.Context(), func() { stop(context.Cause(r.own.Context())) })()

	if err := r.flight.Acquire(ctx, 1); err != nil {
		return verdict{err: context.Cause(ctx)}
	}
	defer r.flight.Release(1)
	r.sight.add(c)
	defer r.sight.remove(c)
	select {
	case <-r.held:
	case <-ctx.Done():
		return verdict{err: context.Cause(ctx)}
	}
	for {
		run, err := c.start(ctx)
		if err != nil {
			return verdict{err: err}
		}
		v := c.await(ctx, run)
		if !v.again {
			return v
		}
		pause(ctx, retryDelay) // if ctx is done, start returns its cause
	}
}

// start starts the workflow of the task, or finds the one that has its ID. An engine that does not
// answer is asked again: a workflow is started once, since its ID is that of the call.
func (c *call) start(ctx context.Context) (run string, err error) {
	r := c.remote
	if err := r.engine.starts.Acquire(ctx, 1); err != nil {
		return "", context.Cause(ctx)
	}
	defer r.engine.starts.Release(1)
	options := client.StartWorkflowOptions{
		ID: c.task, TaskQueue: r.queue, StaticSummary: c.title, WorkflowTaskTimeout: r.taskTimeout(),
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}
	if r.isNamed {
		options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	}
	in := taskInput{Owner: r.owner, Scope: r.id, Func: c.name, Lease: r.lease}
	for hasAsked := false; ; {
		if ctx.Err() != nil && !hasAsked {
			return "", context.Cause(ctx)
		}
		if ctx.Err() != nil {
			return "", nil // it may have been started
		}
		r.mu.Lock()
		in.Run = r.run
		r.mu.Unlock()
		if deadline, ok := ctx.Deadline(); ok {
			in.Left = max(time.Until(deadline), 1)
		}
		hasAsked = true
		started, err := c.startOnce(ctx, options, in)
		switch {
		case err == nil:
			return started.GetRunID(), nil
		case isRefusal(err):
			return "", fmt.Errorf("%w at %s: %s cannot be started: %w", ErrEngine, r.engine.address, c.name, err)
		}
		pause(ctx, retryDelay)
	}
}

// startOnce asks the engine once. The answer is worth waiting for, also if ctx ends meanwhile, but
// not for long.
func (c *call) startOnce(ctx context.Context, options client.StartWorkflowOptions, in taskInput) (client.WorkflowRun, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(c.remote.lease/3, 5*time.Second))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, cancel) })()
	return c.remote.engine.client.ExecuteWorkflow(asking, options, taskType, in, c.argument)
}

// await waits for the end of the task.
func (c *call) await(ctx context.Context, run string) verdict {
	r := c.remote
	type answer struct {
		ending
		err error
	}
	ended := make(chan answer, 1)
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		end, err := c.waiter.await(asking, r.engine, c.task, run)
		ended <- answer{end, err}
	}()
	isOver := false // that goroutine
	defer func() {
		stop()
		if !isOver {
			<-ended
		}
	}()
	judge := func(a answer) verdict {
		isOver = true
		switch {
		case a.err == nil:
			return c.judge(ctx, a.ending)
		case ctx.Err() != nil:
			return verdict{err: context.Cause(ctx)} // it was not started, or is gone
		}
		return verdict{err: fmt.Errorf("%w: %s: the engine does not know its workflow %q any more", ErrLost, c.name, c.task)}
	}
	select {
	case a := <-ended:
		return judge(a)
	case <-ctx.Done():
	}

	cause := context.Cause(ctx)
	if r.isHandedOver(context.Cause(r.scope.Context())) {
		return verdict{err: cause}
	}
	k := canceling{call: c, run: run, cause: cause, since: time.Now()}
	for heard := k.since; ; {
		wait := time.NewTimer(k.next())
		select {
		case a := <-ended:
			wait.Stop()
			return judge(a)
		case <-wait.C:
		}
		begun := time.Now()
		isOut, err := k.step(ctx)
		switch {
		case isOut:
			return verdict{err: cause}
		case err == nil:
			heard = begun
		case r.errLost() != nil && (time.Since(heard) > r.lease || r.engine.isClosed()):
			return verdict{err: cause}
		case time.Since(heard) > 2*r.lease:
			return verdict{err: r.errLease("the end of " + c.name + " could not be learned")}
		}
	}
}

// A canceling is what the owner does to cancel one task. Workers that run it hear of that by way of
// the scope's history, at once. What has not begun is for the engine to stop, by way of the task's
// own workflow: only the engine knows whether a worker has begun it. If no worker is there to
// run that workflow, and the function has not begun, it is terminated.
type canceling struct {
	call     *call
	run      string
	cause    error
	since    time.Time
	isPushed bool
	isTold   bool      // the workflow of the task
	told     time.Time // when
}

const (
	answerDelay = 100 * time.Millisecond // within which a workflow that was told has mostly closed
	beganDelay  = 250 * time.Millisecond // within which a function that has heard of it has mostly returned
	lookDelay   = 2 * time.Second
)

// next returns the time until the next step.
func (k *canceling) next() time.Duration {
	switch {
	case k.call.remote.errLost() != nil:
		return min(k.call.remote.lease/10, time.Second)
	case !k.isPushed:
		return 0
	case !k.isTold && k.call.view.hasBegun():
		return beganDelay
	case !k.isTold:
		return min(time.Since(k.since)/4, time.Second)
	case time.Since(k.told) < answerDelay:
		return answerDelay
	}
	return lookDelay
}

// step takes the next step, and reports whether the function has not begun and never will.
func (k *canceling) step(ctx context.Context) (isOut bool, err error) {
	c, r := k.call, k.call.remote
	if r.errLost() != nil {
		// The task may be that of the next owner by now. Its lease is what ends it, or not.
		return false, r.errLost()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(r.lease/3, time.Second))
	defer cancel()
	switch {
	case !k.isPushed:
		k.isPushed = true
		r.cancelRemote(c.task, k.cause)
		return false, nil
	case !k.isTold:
		err := r.engine.client.SignalWorkflow(ctx, c.task, k.run, signalName, message{Owner: r.owner, Cause: remoteOf(k.cause, r.engine.identity)})
		if isNotFound(err) {
			// It has closed, which the answer tells, or was not started, and may be still.
			return k.run == "" && time.Since(k.since) > lookDelay, nil
		}
		if err == nil {
			k.isTold, k.told = true, time.Now()
		}
		return false, err
	}
	d, err := r.engine.client.DescribeWorkflowExecution(ctx, c.task, k.run)
	if err == nil {
		c.view.see(c, d)
	}
	if err != nil || !isIdle(d, time.Since(k.told) > lookDelay) {
		return false, err
	}
	err = r.engine.client.TerminateWorkflow(ctx, c.task, k.run, "canceled before it began, and no worker has answered")
	return err == nil, err
}

// isIdle reports whether the function of a task whose workflow was told of the cancellation cannot
// begin any more, or has not begun and no worker is there. If no worker has taken the first step of
// the workflow, the one that does will find the cancellation. isLate says that workers have had the
// time to answer.
func isIdle(d *workflowservice.DescribeWorkflowExecutionResponse, isLate bool) bool {
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING ||
		d.GetPendingWorkflowTask().GetState() != enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED {
		return false
	}
	const started, scheduled, signaled = 1, 1, 1
	if len(d.GetPendingActivities()) == 0 {
		return isLate || d.GetWorkflowExecutionInfo().GetHistoryLength() <= started+scheduled+signaled
	}
	return isLate && d.GetPendingActivities()[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
}
