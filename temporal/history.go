package temporal

import (
	"context"
	"errors"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// What is read of histories: all of a scope's, as it grows, and the end of a task's.

// An engine sometimes does not tell who waits that something has happened, but lets the request expire:
// the server hands on what happens to a workflow by way of channels of one place, and drops what does
// not fit (service/history/events, notifier). So nothing here relies on being told. A scope's
// history is asked for again every third of the lease, and that of a task when a look at it, which is
// taken anyway, shows that it has closed.

const (
	longPoll   = 70 * time.Second       // within which the engine answers, also if there is nothing new
	retryDelay = 250 * time.Millisecond // after an error
	pageSize   = 1000                   // events of one answer
)

// askAgain is how often a scope's history is asked for again, which is also the time that the engine has for an
// answer.
func askAgain(lease time.Duration) time.Duration { return max(lease/3, 5*time.Second) }

// A reader reads the history of a scope, and of the runs that continue it.
type reader struct {
	engine *Engine
	id     string
	run    string
	every  time.Duration // it asks again

	event   func(ev *historypb.HistoryEvent) // is called for each one, in order
	current func()                           // is called when all that had happened at the beginning was read, and again later
}

// read returns nil when the scope has closed, after its last event, and else when ctx is done
// or the engine does not know the scope.
func (r *reader) read(ctx context.Context) error {
	var token []byte
	for last, next := int64(0), ""; ; {
		asking, cancel := context.WithTimeout(ctx, r.every)
		events, after, err := r.engine.events(asking, r.id, r.run, token, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		isExpired := asking.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && isExpired:
			continue
		case isNotFound(err):
			return err
		case err != nil:
			token = nil // it may not be valid any more: what is known is skipped
			pause(ctx, retryDelay)
			continue
		}
		for _, ev := range events {
			if ev.GetEventId() <= last {
				continue
			}
			last = ev.GetEventId()
			if continued := ev.GetWorkflowExecutionContinuedAsNewEventAttributes(); continued != nil {
				next = continued.GetNewExecutionRunId()
			}
			r.event(ev)
		}
		switch token = after; {
		case len(token) > 0:
			if len(events) < pageSize {
				r.current()
			}
		case next != "":
			r.run, last, next = next, 0, ""
		default:
			r.current()
			return nil
		}
	}
}

// An ending is how the workflow of a task has closed.
type ending struct {
	status  enumspb.WorkflowExecutionStatus
	result  sealed  // of one that has completed
	outcome outcome // of one that has failed
	text    string  // of one that has failed without an outcome
}

// A waiter waits for a workflow to close. The zero value is ready to be used.
type waiter struct {
	mu    sync.Mutex
	again context.CancelFunc // of the request that waits
}

// hurry makes the waiter ask again.
func (w *waiter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.again != nil {
		w.again()
	}
}

// asking returns a context for the next request.
func (w *waiter) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, longPoll)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.again = cancel
	return ctx, cancel
}

// await returns when the workflow has closed, and else when ctx is done, or the engine does not
// know it.
func (w *waiter) await(ctx context.Context, e *Engine, id, run string) (end ending, err error) {
	var token []byte
	for {
		asking, cancel := w.asking(ctx)
		events, after, err := e.events(asking, id, run, token, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
		isOver := asking.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return end, context.Cause(ctx)
		case err != nil && isOver:
			token = nil
			continue
		case isNotFound(err):
			return end, err
		case err != nil:
			token = nil
			pause(ctx, retryDelay)
			continue
		case len(events) > 0 && len(after) == 0:
			return e.endingOf(id, events[len(events)-1]), nil
		}
		token = after
	}
}

func (e *Engine) events(ctx context.Context, id, run string, token []byte, filter enumspb.HistoryEventFilterType) ([]*historypb.HistoryEvent, []byte, error) {
	answer, err := e.service().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace:              e.namespace,
		Execution:              &commonpb.WorkflowExecution{WorkflowId: id, RunId: run},
		MaximumPageSize:        pageSize,
		NextPageToken:          token,
		WaitNewEvent:           true,
		HistoryEventFilterType: filter,
		SkipArchival:           true,
	})
	return answer.GetHistory().GetEvents(), answer.GetNextPageToken(), err
}

// endingOf reads the last event of a task.
func (e *Engine) endingOf(id string, ev *historypb.HistoryEvent) ending {
	switch ev.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		end := ending{status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED}
		if all := ev.GetWorkflowExecutionCompletedEventAttributes().GetResult().GetPayloads(); len(all) > 0 {
			end.result = sealed{all[0]}
		}
		return end
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		end := ending{status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}
		failure := ev.GetWorkflowExecutionFailedEventAttributes().GetFailure()
		end.text = e.textIn(id, failure)
		end.outcome = e.outcomeIn(id, failure)
		return end
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
		return ending{status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		return ending{status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED}
	default:
		return ending{status: enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT}
	}
}

// textIn returns the text of a failure, which the workers may have encoded.
func (e *Engine) textIn(id string, failure *failurepb.Failure) string {
	failure = proto.CloneOf(failure)
	converter.DecodeCommonFailureAttributes(e.converterFor(id), failure)
	return failure.GetMessage()
}

// outcomeIn returns the outcome that a failure carries; the zero value if it carries none.
func (e *Engine) outcomeIn(id string, failure *failurepb.Failure) (o outcome) {
	for ; failure != nil; failure = failure.GetCause() {
		if details := failure.GetApplicationFailureInfo().GetDetails().GetPayloads(); len(details) > 0 {
			if e.unseal(id, sealed{details[0]}, &o) == nil && o.Kind != "" {
				return o
			}
			var inner sealed
			if converter.GetDefaultDataConverter().FromPayload(details[0], &inner) == nil && e.unseal(id, inner, &o) == nil && o.Kind != "" {
				return o
			}
		}
	}
	return outcome{}
}

// lastMessage returns the last message that a task was sent.
func (e *Engine) lastMessage(ctx context.Context, id, run string) (m message, err error) {
	answer, err := e.service().GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: e.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, MaximumPageSize: pageSize,
	})
	for _, ev := range answer.GetHistory().GetEvents() {
		if ev.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED {
			m = e.messageIn(id, ev)
		}
	}
	return m, err
}

// messageIn returns what a signal to a workflow carries.
func (e *Engine) messageIn(id string, ev *historypb.HistoryEvent) (m message) {
	if all := ev.GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads(); len(all) > 0 {
		_ = e.unseal(id, sealed{all[0]}, &m) // one that cannot be read says nothing
	}
	return m
}

// ownerIn returns the owner that a run of a scope begins with.
func (e *Engine) ownerIn(id string, ev *historypb.HistoryEvent) string {
	var in scopeInput
	if all := ev.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads(); len(all) > 0 {
		_ = e.unseal(id, sealed{all[0]}, &in)
	}
	if in.Own == nil {
		return ""
	}
	return in.Own.Owner
}

// ownerAfter returns the owner that a scope has after an event, when owner was it before.
func (e *Engine) ownerAfter(id string, ev *historypb.HistoryEvent, owner string) string {
	switch {
	case ev.GetWorkflowExecutionStartedEventAttributes() != nil:
		return e.ownerIn(id, ev)
	case ev.GetWorkflowExecutionSignaledEventAttributes() != nil:
		if m := e.messageIn(id, ev); m.Own != nil {
			return m.Own.Owner
		}
	}
	return owner
}

func isNotFound(err error) bool {
	_, is := errors.AsType[*serviceerror.NotFound](err)
	return is
}

// isRefusal reports whether the engine has understood a request, and refuses it for good.
func isRefusal(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.(type) { //nolint:errorlint // it, or one that it wraps
		case *serviceerror.InvalidArgument, *serviceerror.PermissionDenied, *serviceerror.NamespaceNotFound, *serviceerror.NotFound, *serviceerror.Unimplemented:
			return true
		}
	}
	return false
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
