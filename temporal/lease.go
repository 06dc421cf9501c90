package temporal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// The lease of an owner. The scope's workflow has an activity, Hold, on a queue that only this
// process takes from. Hold returns at once, without a result: the engine waits for that, and gives
// up when it has heard nothing for a lease. So the engine alone decides when an owner is gone,
// also when no worker is there.
//
// The owner's clock is stricter than the engine's: what it counts as heard was sent at most 9/10
// of a lease ago. So it stops using the scope before others are told that it is free.

// hold is the activity.
func (e *Engine) hold(ctx context.Context, owner string) error {
	e.mu.Lock()
	r, isHandedOver := e.remotes[owner], e.handedOver[owner]
	e.mu.Unlock()
	switch {
	case r == nil && isHandedOver:
		return activity.ErrResultPending // the lease goes on for once
	case r == nil:
		return temporal.NewNonRetryableApplicationError("the owner has ended the scope", "traigo.Lease", nil)
	}
	info := activity.GetInfo(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token, r.run = info.TaskToken, info.WorkflowExecution.RunID
	if !r.isHeld() {
		close(r.held)
	}
	return activity.ErrResultPending
}

// keep renews the lease until the scope ends or the lease is lost, and then ends the scope at the
// other side. It is the task of the scope "remote QUEUE". The engine has answered since begun.
func (r *Remote) keep(ctx context.Context, begun time.Time) {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() { r.follow(background) })
	others.Go(func() { r.push(background) })
	others.Go(func() { r.look(background) })
	defer r.engine.unlease(r)
	defer others.Wait()
	defer stop()

	var failed error // the last renewal, if it has
	for renewed, next := begun, begun.Add(r.lease/3); ; {
		t := time.NewTimer(time.Until(next))
		select {
		case <-t.C:
		case <-r.over:
		case <-r.engine.closed:
			r.lose(errClosed.Error())
		case <-ctx.Done():
		}
		t.Stop()
		if r.errLost() != nil {
			return
		}
		if ctx.Err() != nil {
			r.leave(context.Cause(ctx))
			return
		}
		sent := time.Now()
		dead := renewed.Add(r.lease * 9 / 10)
		if !sent.Before(dead) {
			r.lose(r.engine.notRenewed(sent.Sub(renewed), failed))
			continue
		}
		if failed = r.renew(ctx, dead); failed == nil {
			renewed, next = sent, sent.Add(r.lease/3)
		} else {
			next = time.Now().Add(min(r.lease/20, time.Until(dead)))
		}
	}
}

// notRenewed says why a lease is lost.
func (e *Engine) notRenewed(silence time.Duration, failed error) string {
	text := fmt.Sprintf("the engine at %s has not taken a renewal for %v", e.address, silence.Round(time.Millisecond))
	if failed != nil {
		text += ": " + failed.Error()
	}
	return text
}

// renew tells the engine that the owner lives, until dead at the latest.
func (r *Remote) renew(ctx context.Context, dead time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, dead)
	defer cancel()
	r.mu.Lock()
	token := r.token
	r.mu.Unlock()
	if token != nil {
		err := r.engine.client.RecordActivityHeartbeat(ctx, token)
		if err == nil || !isNotFound(err) && !temporal.IsCanceledError(err) {
			return err
		}
		r.mu.Lock()
		if string(r.token) == string(token) { // else it is held again
			r.token = nil
		}
		r.mu.Unlock()
	}
	// No worker has come yet, or the history is being started anew, or somebody else has the scope:
	// that is what follow hears. Here it counts that the engine answers.
	d, err := r.engine.client.DescribeWorkflowExecution(ctx, r.id, "")
	switch {
	case isNotFound(err):
		r.lose("the engine does not know it any more")
	case err == nil && d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		r.isClosed(d.GetWorkflowExecutionInfo().GetStatus())
	}
	return err
}

// follow reads the history of the scope for what others do to it.
func (r *Remote) follow(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		run := r.run
		r.mu.Unlock()
		var owner string    // that the workflow has, where the history is read
		var outdated string // what workers say that do not know this type of workflow
		status := enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
		reading := reader{engine: r.engine, id: r.id, run: run, every: askAgain(r.lease), current: func() {}, event: func(ev *historypb.HistoryEvent) {
			was := owner
			owner = r.engine.ownerAfter(r.id, ev, owner)
			if ev.GetWorkflowExecutionFailedEventAttributes() != nil {
				status = enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
				failure := ev.GetWorkflowExecutionFailedEventAttributes().GetFailure()
				if failure.GetApplicationFailureInfo().GetType() == outdatedType {
					outdated = r.engine.textIn(r.id, failure)
				}
			}
			if was == r.owner && owner != was {
				r.lose("another owner has taken it over")
			}
		}}
		switch err := reading.read(ctx); {
		case isNotFound(err):
			r.lose("the engine does not know it any more")
			return
		case err != nil:
			return
		case outdated != "":
			r.lose(outdated)
			return
		case owner == r.owner && r.isHeld():
			r.isClosed(status)
			return
		case !r.isNamed || r.isEnding():
			r.isClosed(status)
			return
		}
		// The run that was to be taken over has ended before its workflow knew of this owner.
		if err := r.start(ctx); err != nil && ctx.Err() == nil {
			r.lose(err.Error())
		}
		if r.isEnding() && !r.isHandedOver(context.Cause(r.scope.Context())) { // leave was before, and has not seen the new run
			r.end(context.Cause(r.own.Context()))
			return
		}
	}
}

func (r *Remote) isEnding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isEnded
}

func (r *Remote) isHeld() bool { return isDone(r.held) }

// isClosed is called when the scope's workflow has closed.
func (r *Remote) isClosed(status enumspb.WorkflowExecutionStatus) {
	why := "its workflow was closed by somebody else"
	if status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED {
		why = "the engine had not heard of the owner for a lease"
	}
	r.lose(why)
}

// leave ends the scope at the other side, or leaves it there.
func (r *Remote) leave(cause error) {
	r.mu.Lock()
	if r.lost != nil {
		r.mu.Unlock()
		return
	}
	r.isEnded = true
	r.mu.Unlock()
	if r.isHandedOver(cause) {
		r.engine.handOver(r)
		ctx, cancel := context.WithTimeout(context.Background(), r.lease/3)
		defer cancel()
		_ = r.renew(ctx, time.Now().Add(r.lease/3)) // the next owner has a whole lease
		r.logHandover()
		return
	}
	r.end(cause)
}

// endTimeout is for how long a worker may take to close a scope that has ended, before that is done
// without one.
const endTimeout = 2 * time.Second

// end ends the scope's workflow. The message comes first: it is what workers hear, and has the cause.
// The workflow closes when a worker has seen it; if there is none, it is terminated.
func (r *Remote) end(cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(r.lease, 30*time.Second)) // what is left is for the lease to end
	defer cancel()
	m := message{End: true, Owner: r.owner}
	if cause != nil {
		m.Cause = remoteOf(cause, r.engine.identity)
	}
	for ctx.Err() == nil {
		err := r.engine.client.SignalWorkflow(ctx, r.id, "", signalName, m)
		if isRefusal(err) || r.engine.isClosed() {
			return // it has closed, or cannot be closed any more
		}
		if err == nil {
			break
		}
		pause(ctx, retryDelay)
	}
	closing, stop := context.WithTimeout(ctx, endTimeout)
	defer stop()
	if _, err := new(waiter).await(closing, r.engine, r.id, ""); err == nil || isNotFound(err) {
		return
	}
	r.mu.Lock()
	run := r.run // and not that of another owner, which may have the id by now
	r.mu.Unlock()
	if r.isNamed && r.isTakenOver(ctx, run) {
		return
	}
	_ = r.engine.client.TerminateWorkflow(ctx, r.id, run, "its owner has ended the scope, and no worker has answered")
}

// isTakenOver reports whether another owner had taken the run over before it was told that this one ends
// it: then it does not close, and is the other's. It is true as well if that cannot be learned,
// since a run that nobody holds ends with its lease.
func (r *Remote) isTakenOver(ctx context.Context, run string) bool {
	ctx, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	var owner string
	reading := reader{engine: r.engine, id: r.id, run: run, every: askAgain(r.lease), current: stop, event: func(ev *historypb.HistoryEvent) {
		owner = r.engine.ownerAfter(r.id, ev, owner)
	}}
	_ = reading.read(ctx)
	return owner != r.owner
}
