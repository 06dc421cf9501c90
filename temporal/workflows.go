package temporal

import (
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/traigo/traigo"
)

// The two workflows, and what goes over the engine. Workers of this release replay the
// histories of earlier ones: a change here that makes other commands of the same history gets
// a type of its own, "traigo.Task.2", beside the old one. Fields may be added to the structs, as
// they may to JSON.

const (
	scopeType = "traigo.Scope"
	taskType  = "traigo.Task"
	holdType  = "traigo.Hold"

	signalName = "traigo" // of each signal, so that they are handled in the order of the history
)

// registerWorkflows makes a worker serve all types that there have been.
func registerWorkflows(in worker.WorkflowRegistry) {
	in.RegisterWorkflowWithOptions(scopeWorkflow, workflow.RegisterOptions{Name: scopeType})
	in.RegisterWorkflowWithOptions(taskWorkflow, workflow.RegisterOptions{Name: taskType})
	in.RegisterDynamicWorkflow(unknownWorkflow, workflow.DynamicRegisterOptions{})
}

// An ownership is what a scope knows of its owner.
type ownership struct {
	Owner string        `json:"owner"` // a name that no other has
	Queue string        `json:"queue"` // on which it takes Hold
	Lease time.Duration `json:"lease"`
}

type scopeInput struct {
	Own *ownership `json:"own,omitempty"` // nil: it comes as a signal
}

// A message is what a signal carries. To a scope it comes from a new owner (Own), or from its
// owner: that it ends (End), or that some of its tasks do (Tasks). To a task it says that it ends.
type message struct {
	Own   *ownership          `json:"own,omitempty"`
	Owner string              `json:"owner,omitempty"` // that has sent it
	End   bool                `json:"end,omitempty"`
	Tasks []string            `json:"tasks,omitempty"`
	Cause *traigo.RemoteError `json:"cause,omitempty"` // of the end, to be the cause of contexts
}

// UnmarshalJSON leaves m as it is if the text is not that of a message: the SDK skips those, and
// decodes the next one into the same variable.
func (m *message) UnmarshalJSON(text []byte) error {
	type plain message
	var p plain
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	*m = message(p)
	return nil
}

// maxEvents is the length at which a scope's history is started anew. It is part of the type as well:
// with another number, replays would end elsewhere.
var maxEvents = releasedMaxEvents

const releasedMaxEvents = 2000 // tests have less

// scopeWorkflow is the remote half of a scope. It does two things: it holds the lease, by an
// activity of the owner's that is silent when the owner is, and its history is what workers
// read: messages, and the end. The tasks are workflows of their own, which it does not know.
//
// It closes as completed when the owner has ended the scope, as failed when a lease was lost,
// and as canceled when an operator wanted that.
func scopeWorkflow(ctx workflow.Context, in scopeInput) error {
	own := in.Own
	if own == nil {
		var first message
		workflow.GetSignalChannel(ctx, signalName).Receive(ctx, &first)
		if own = first.Own; own == nil {
			return temporal.NewNonRetryableApplicationError("a scope without an owner", "traigo.Lease", nil)
		}
	}
	for own != nil {
		next, err := hold(ctx, *own)
		if err != nil {
			return err
		}
		own = next
	}
	return nil
}

// hold holds the lease for one owner. It returns the next owner; nil when this one has ended
// the scope.
func hold(ctx workflow.Context, own ownership) (next *ownership, err error) {
	holding, release := workflow.WithCancel(ctx)
	defer release()
	lease := workflow.ExecuteActivity(workflow.WithActivityOptions(holding, workflow.ActivityOptions{
		TaskQueue:              own.Queue,
		ScheduleToStartTimeout: own.Lease,
		StartToCloseTimeout:    forever,
		HeartbeatTimeout:       own.Lease,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	}), holdType, own.Owner)
	messages := workflow.GetSignalChannel(ctx, signalName)
	for {
		// A message comes first: of an owner who was silent, but has ended the scope or has a
		// successor, nothing is lost.
		var m message
		for messages.ReceiveAsync(&m) {
			switch {
			case m.Own != nil:
				return m.Own, nil
			case m.End && m.Owner == own.Owner:
				return nil, nil
			}
			m = message{}
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case lease.IsReady():
			return nil, temporal.NewNonRetryableApplicationError("the owner was silent for its lease", "traigo.Lease", nil)
		}
		// Both are from the event that begins the step, and so the same in a replay. Messages that come
		// from here on make the engine refuse the end of this run, and repeat the step: none is lost.
		if info := workflow.GetInfo(ctx); info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > maxEvents {
			return nil, workflow.NewContinueAsNewError(ctx, scopeType, scopeInput{Own: &own})
		}
		err := workflow.Await(ctx, func() bool { return messages.Len() > 0 || lease.IsReady() })
		if err != nil && !temporal.IsCanceledError(err) {
			return nil, err
		}
	}
}

// forever is the time that an activity may take: another rule ends it.
const forever = 10 * 365 * 24 * time.Hour

// A taskInput is what a task knows beside its argument.
type taskInput struct {
	Scope string        `json:"scope"`
	Run   string        `json:"run"`   // of the scope when the task was started
	Owner string        `json:"owner"` // that has started it
	Func  string        `json:"func"`
	Lease time.Duration `json:"lease"`

	Left    time.Duration `json:"left,omitempty"`   // until the deadline of the owner's context, at the start; 0: none
	Started time.Time     `json:"started,omitzero"` // when the workflow was started, by the clock of the engine
}

// taskWorkflow is one task: an activity of the name of the function, which is tried again by the
// engine until it is final. A message cancels it: an activity that no worker has begun then never
// begins, which the engine decides, and one that has begun is waited for. If an operator has
// canceled the workflow, it closes as canceled unless the function has succeeded.
func taskWorkflow(ctx workflow.Context, in taskInput, argument sealed) (sealed, error) {
	messages := workflow.GetSignalChannel(ctx, signalName)
	defer discard(messages)
	// The SDK applies all events up to the first step before it calls this function.
	if messages.Len() > 0 {
		return sealed{}, neverBegun(in.Owner)
	}
	running, cancel := workflow.WithCancel(ctx)
	defer cancel()
	in.Started = workflow.GetInfo(ctx).WorkflowStartTime
	result := workflow.ExecuteActivity(workflow.WithActivityOptions(running, workflow.ActivityOptions{
		StartToCloseTimeout: forever,
		HeartbeatTimeout:    in.Lease,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: lostDelay, BackoffCoefficient: 1},
	}), in.Func, in, argument)

	if err := workflow.Await(ctx, func() bool { return messages.Len() > 0 || result.IsReady() }); err == nil {
		cancel()
	}
	var out sealed
	err := result.Get(ctx, &out)
	switch {
	case err != nil && ctx.Err() != nil: // by an operator: the owner sends a message
		err = ctx.Err()
	case temporal.IsCanceledError(err):
		err = neverBegun(in.Owner)
	}
	return out, err
}

// discard takes what has come. It has been heard by then, but the SDK warns of signals that a workflow
// has not taken.
func discard(messages workflow.ReceiveChannel) {
	for messages.ReceiveAsync(nil) {
	}
}

// lostDelay is the time after which the engine gives a lost attempt to another worker.
const lostDelay = 100 * time.Millisecond

// neverBegun is the error of a task that was canceled before its function began.
func neverBegun(owner string) error {
	return temporal.NewApplicationErrorWithOptions("canceled before it began", "traigo.Canceled", temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{outcome{Kind: canceled, Owner: owner}},
	})
}

// outdatedType is the type of the failure of unknownWorkflow.
const outdatedType = "traigo.Outdated"

// unknownWorkflow answers for types that this release does not know: an owner that is newer than
// the workers gets an error, and does not wait for ever.
func unknownWorkflow(ctx workflow.Context, _ converter.EncodedValues) error {
	discard(workflow.GetSignalChannel(ctx, signalName))
	info := workflow.GetInfo(ctx)
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("the workers of queue %q are of an older release of traigo, which has no workflow %q: upgrade workers before owners", info.TaskQueueName, info.WorkflowType.Name),
		outdatedType, nil)
}
