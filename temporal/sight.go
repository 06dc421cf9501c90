package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/traigo/traigo"
)

// What the owner sees of its tasks. Who runs a task, the engine knows: it is asked in turn for
// each task that has been in flight for a while. Each attempt is a task of the scope of its call,
// so snapshots and recordings show it.

const (
	lookAfter = 500 * time.Millisecond  // a task that is shorter is not asked for
	lookAgain = 1500 * time.Millisecond // after the last look at a task
	lookPace  = 50 * time.Millisecond   // between two looks
	slowStart = 10 * time.Second        // after which a task that has not begun is worth a word
)

// A sight has the calls of a Remote that are in flight.
type sight struct {
	mu    sync.Mutex
	calls []*call // the one that is to be looked at next is the first
}

func (s *sight) add(c *call) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.view.since, c.view.due = now, now.Add(lookAfter)
	s.calls = append(s.calls, c)
}

func (s *sight) remove(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.calls {
		if other == c {
			s.calls = append(s.calls[:i], s.calls[i+1:]...)
			return
		}
	}
}

// take returns the call that is due, and puts it at the end; nil if none is.
func (s *sight) take(now time.Time) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 || now.Before(s.calls[0].view.due) {
		return nil
	}
	c := s.calls[0]
	c.view.due = now.Add(lookAgain)
	s.calls = append(s.calls[1:], c)
	return c
}

// waiting returns how many of the calls have not begun.
func (s *sight) waiting() (n int) {
	s.mu.Lock()
	calls := slices.Clone(s.calls)
	s.mu.Unlock()
	for _, c := range calls {
		if !c.view.hasBegun() {
			n++
		}
	}
	return n
}

// look looks at the tasks in turn.
func (r *Remote) look(ctx context.Context) {
	isTold := false
	for ctx.Err() == nil {
		pause(ctx, lookPace)
		c := r.sight.take(time.Now())
		if c == nil {
			continue
		}
		if r.isHeld() {
			d, err := r.engine.client.DescribeWorkflowExecution(ctx, c.task, "")
			if err == nil {
				c.view.see(c, d)
			}
		}
		if !isTold && !c.view.hasBegun() && time.Since(c.view.since) > slowStart {
			isTold = r.warn(ctx)
		}
	}
}

// warn says that tasks do not begin, and why.
func (r *Remote) warn(ctx context.Context) bool {
	answer, err := r.engine.service().DescribeTaskQueue(ctx, describeQueue(r.engine.namespace, r.queue))
	if err != nil {
		return false
	}
	why := "all slots of its workers are taken, or they are gone"
	if !slices.ContainsFunc(answer.GetPollers(), func(p *taskqueuepb.PollerInfo) bool { return time.Since(p.GetLastAccessTime().AsTime()) < 2*longPoll }) {
		why = "no worker takes tasks from it"
	}
	slog.Warn("traigo: remote tasks have not begun for 10 s: "+why, "scope", r.path, "queue", r.queue, "waiting", r.sight.waiting())
	return true
}

// A view is what the owner knows of the attempts of a task. What follows from a change is done without the
// lock, since observers see it.
type view struct {
	since, due time.Time // of the looks at it; protected by the mutex of its sight

	showing sync.WaitGroup // tasks that are being spawned

	mu       sync.Mutex
	isClosed bool
	attempt  int        // the last one that is known; 0: none
	ended    chan error // takes the end of that attempt
	shown    []int      // attempts
}

func (v *view) hasBegun() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.attempt > 0
}

var errAttemptLost = errors.New("the attempt has ended, and the task is given to another")

// see shows the attempt that the engine tells of.
func (v *view) see(c *call, d *workflowservice.DescribeWorkflowExecutionResponse) {
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		c.waiter.hurry()
		return
	}
	if len(d.GetPendingActivities()) == 0 {
		return
	}
	a := d.GetPendingActivities()[0]
	if a.GetState() != enumspb.PENDING_ACTIVITY_STATE_STARTED && a.GetState() != enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED {
		return
	}
	v.show(c, ran{int(a.GetAttempt()), a.GetLastWorkerIdentity()}, c.remote.engine.whyEnded(c.task, a.GetLastFailure()))
}

// whyEnded returns the error of an attempt that was not the last one.
func (e *Engine) whyEnded(task string, failure *failurepb.Failure) error {
	switch {
	case failure == nil:
		return errAttemptLost
	case failure.GetTimeoutFailureInfo() != nil:
		return errors.New("lost with its worker, which was silent for a lease")
	}
	return errors.New(e.textIn(task, failure))
}

// show makes the attempt the current one, unless it is. The one before has ended by why.
func (v *view) show(c *call, a ran, why error) {
	ended := make(chan error, 1)
	v.mu.Lock()
	if v.isClosed || a.Attempt <= v.attempt {
		v.mu.Unlock()
		return
	}
	before := v.ended
	v.attempt, v.ended = a.Attempt, ended
	v.shown = append(v.shown, a.Attempt)
	v.showing.Add(1)
	v.mu.Unlock()
	defer v.showing.Done()
	if before != nil {
		before <- why
	}
	c.spawnAttempt(a, ended)
}

// spawnAttempt spawns the task of an attempt. It bubbles nothing, as what follows from its end is the call's.
func (c *call) spawnAttempt(a ran, ended <-chan error) *traigo.Task {
	return c.scope.Spawn(func(context.Context) error {
		err := <-ended
		if p, ok := err.(*traigo.PanicError); ok { //nolint:errorlint // of the attempt itself
			panic(p)
		}
		return err
	}, traigo.Name(fmt.Sprintf("attempt %d on %s", a.Attempt, a.Worker)), traigo.Bubble(false))
}

// close ends the task of the last attempt as the call does. Attempts that were too short to be seen are
// shown now.
func (v *view) close(c *call, verdict verdict) {
	v.mu.Lock()
	shown := slices.Clone(v.shown)
	v.mu.Unlock()
	for _, a := range verdict.earlier {
		if !slices.Contains(shown, a.Attempt) {
			ended := make(chan error, 1)
			ended <- errAttemptLost
			<-c.spawnAttempt(a, ended).Done()
		}
	}
	if verdict.attempt > 0 {
		v.show(c, ran{verdict.attempt, verdict.worker}, errAttemptLost)
	}
	v.mu.Lock()
	v.isClosed = true
	ended := v.ended
	v.mu.Unlock()
	v.showing.Wait()
	if ended != nil {
		ended <- verdict.err
	}
}

func describeQueue(namespace, queue string) *workflowservice.DescribeTaskQueueRequest {
	return &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, TaskQueueType: enumspb.TASK_QUEUE_TYPE_ACTIVITY,
	}
}
