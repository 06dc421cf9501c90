package temporal_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/traigo/traigo/temporal"
)

// These run the workflows without a server, for what comes together in one step: there a
// server does as it likes.

// A play is a workflow in the SDK's environment for tests.
type play struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	log    *records
	owners []string          // for which Hold was begun
	tokens map[string][]byte // of Hold, by owner
}

func newPlay(t *testing.T) *play {
	t.Helper()
	p := &play{t: t, log: &records{}, tokens: map[string][]byte{}}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(&lineWriter{to: p.log.add}, nil))))
	p.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	values, _ := temporal.Converters()
	p.SetDataConverter(values)
	temporal.RegisterWorkflows(p)
	p.RegisterActivityWithOptions(func(ctx context.Context, owner string) error {
		p.owners = append(p.owners, owner)
		p.tokens[owner] = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}, activity.RegisterOptions{Name: temporal.HoldType})
	return p
}

// takeover is the message with which an owner takes a scope over.
func takeover(owner string) temporal.Message { return temporal.Message{Own: owned(owner)} }

func owned(owner string) *temporal.Ownership {
	return &temporal.Ownership{Owner: owner, Queue: "queue of " + owner, Lease: time.Minute}
}

func end(owner string) temporal.Message { return temporal.Message{Owner: owner, End: true} }

// at makes something happen when the workflow has run for so many seconds.
func (p *play) at(seconds int, what func()) {
	p.RegisterDelayedCallback(what, time.Duration(seconds)*time.Second)
}

// tell sends messages that come in one step.
func (p *play) tell(messages ...any) {
	for i, m := range messages {
		if i < len(messages)-1 {
			p.SignalWorkflowSkippingWorkflowTask(temporal.SignalName, m)
		} else {
			p.SignalWorkflow(temporal.SignalName, m)
		}
	}
}

// silent is the end of an owner's lease.
func (p *play) silent(owner string) {
	assert.NoError(p.t, p.CompleteActivity(p.tokens[owner], nil, errors.New("heartbeat timeout")))
}

// isOpen checks that the workflow goes on, and by whom the lease was held.
func (p *play) isOpen(owners ...string) {
	assert.False(p.t, p.IsWorkflowCompleted())
	assert.Equal(p.t, owners, p.owners)
}

// scope runs the workflow of a scope that has the owner a.
func (p *play) scope() error {
	p.t.Helper()
	p.ExecuteWorkflow(temporal.ScopeType, temporal.ScopeInput{Own: owned("a")})
	require.True(p.t, p.IsWorkflowCompleted())
	return p.GetWorkflowError()
}

func failureType(t *testing.T, err error) string {
	t.Helper()
	failure, ok := errors.AsType[*sdktemporal.ApplicationError](err)
	require.True(t, ok, "%v", err)
	return failure.Type()
}

func TestScopeEndIsThatOfItsOwner(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell(end("b")) })
	p.at(2, func() { p.isOpen("a"); p.tell(end("a")) })
	require.NoError(t, p.scope())
}

func TestScopeThatIsTakenOverIgnoresTheEndOfTheOlderOwnerInTheSameStep(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell(takeover("b"), end("a")) })
	p.at(2, func() { p.isOpen("a", "b"); p.tell(end("b")) })
	require.NoError(t, p.scope())
}

func TestScopeThatIsTakenOverIgnoresTheEndOfTheOlderOwner(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell(takeover("b")) })
	p.at(2, func() { p.tell(end("a")) })
	p.at(3, func() { p.isOpen("a", "b"); p.tell(end("b")) })
	require.NoError(t, p.scope())
}

func TestScopeIsTakenOverAndEndsInOneStep(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell(takeover("b"), takeover("c"), end("c")) })
	require.NoError(t, p.scope())
}

// The engine begins another run for the owner that came too late, who sees that this one has ended
// before it knew of him.
func TestScopeEndsBeforeATakeoverInTheSameStep(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell(end("a"), takeover("b")) })
	require.NoError(t, p.scope())
	require.Equal(t, []string{"a"}, p.owners)
}

func TestScopeLosesItsLease(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.silent("a") })
	require.Equal(t, "traigo.Lease", failureType(t, p.scope()))
}

func TestScopeIsTakenOverInTheStepInWhichItsLeaseIsLost(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() {
		p.SignalWorkflowSkippingWorkflowTask(temporal.SignalName, takeover("b"))
		p.silent("a")
	})
	p.at(2, func() { p.isOpen("a", "b"); p.tell(end("b")) })
	require.NoError(t, p.scope())
}

func TestScopeEndsInTheStepInWhichItsLeaseIsLost(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() {
		p.SignalWorkflowSkippingWorkflowTask(temporal.SignalName, end("a"))
		p.silent("a")
	})
	require.NoError(t, p.scope())
}

func TestScopeIsCanceledByAnOperator(t *testing.T) {
	p := newPlay(t)
	p.at(1, p.CancelWorkflow)
	require.True(t, sdktemporal.IsCanceledError(p.scope()))
}

func TestScopeIgnoresMessagesOfUnknownShape(t *testing.T) {
	p := newPlay(t)
	unknown := []any{"text", 7, []int{1}, nil, map[string]any{"newer": true}, map[string]any{"own": "text"}}
	p.at(1, func() { p.tell(unknown...) })
	p.at(2, func() { p.isOpen("a"); p.tell(append(unknown, end("a"))...) })
	require.NoError(t, p.scope())
}

// What cannot be read is skipped. What can be read, and names no owner, is not from one.
func TestScopeWaitsForItsFirstOwner(t *testing.T) {
	p := newPlay(t)
	p.at(1, func() { p.tell("text", takeover("a")) })
	p.at(2, func() { p.isOpen("a"); p.tell(end("a")) })
	p.ExecuteWorkflow(temporal.ScopeType, temporal.ScopeInput{})
	require.NoError(t, p.GetWorkflowError())

	p = newPlay(t)
	p.at(1, func() { p.tell(end("a")) })
	p.ExecuteWorkflow(temporal.ScopeType, temporal.ScopeInput{})
	require.Equal(t, "traigo.Lease", failureType(t, p.GetWorkflowError()))
}

// continuedBy returns the owner with which the scope is continued as new.
func continuedBy(t *testing.T, err error) string {
	t.Helper()
	next, ok := errors.AsType[*workflow.ContinueAsNewError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, temporal.ScopeType, next.WorkflowType.Name)
	var in temporal.ScopeInput
	values, _ := temporal.Converters()
	require.NoError(t, values.FromPayloads(next.Input, &in))
	require.Equal(t, owned(in.Own.Owner), in.Own)
	return in.Own.Owner
}

func TestScopeIsContinuedAsNew(t *testing.T) {
	t.Run("after many events", func(t *testing.T) {
		p := newPlay(t)
		p.at(1, func() { p.SetCurrentHistoryLength(temporal.MaxEvents); p.tell(temporal.Message{}) })
		p.at(2, func() { p.isOpen("a"); p.SetCurrentHistoryLength(temporal.MaxEvents + 1); p.tell(temporal.Message{}) })
		require.Equal(t, "a", continuedBy(t, p.scope()))
	})
	t.Run("when the engine suggests it", func(t *testing.T) {
		p := newPlay(t)
		p.at(1, func() { p.SetContinueAsNewSuggested(true); p.tell(temporal.Message{}) })
		require.Equal(t, "a", continuedBy(t, p.scope()))
	})
	t.Run("but ends if the end came as well", func(t *testing.T) {
		p := newPlay(t)
		p.at(1, func() { p.SetCurrentHistoryLength(temporal.MaxEvents + 1); p.tell(temporal.Message{}, end("a")) })
		require.NoError(t, p.scope())
	})
	t.Run("with the owner that came as well", func(t *testing.T) {
		p := newPlay(t)
		p.at(1, func() {
			p.SetCurrentHistoryLength(temporal.MaxEvents + 1)
			p.tell(temporal.Message{}, takeover("b"), end("a"), temporal.Message{})
		})
		require.Equal(t, "b", continuedBy(t, p.scope()))
	})
	t.Run("but not if the lease is lost", func(t *testing.T) {
		p := newPlay(t)
		p.at(1, func() { p.SetCurrentHistoryLength(temporal.MaxEvents + 1); p.silent("a") })
		require.Equal(t, "traigo.Lease", failureType(t, p.scope()))
	})
}

// task runs the workflow of a task whose function is fn.
func (p *play) task(fn func(ctx context.Context, in temporal.TaskInput, n int) (int, error)) error {
	p.t.Helper()
	p.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: "fn"})
	p.ExecuteWorkflow(temporal.TaskType, temporal.TaskInput{Owner: "a", Func: "fn", Lease: time.Minute}, 7)
	require.True(p.t, p.IsWorkflowCompleted())
	return p.GetWorkflowError()
}

// mustNeverBegin checks that a task has ended so since it was canceled before it began.
func (p *play) mustNeverBegin(err error) {
	p.t.Helper()
	failure, ok := errors.AsType[*sdktemporal.ApplicationError](err)
	require.True(p.t, ok, "%v", err)
	require.Equal(p.t, "traigo.Canceled", failure.Type())
	var o temporal.Outcome
	require.NoError(p.t, failure.Details(&o))
	require.Equal(p.t, temporal.Outcome{Kind: temporal.OutcomeCanceled, Owner: "a"}, o)
}

func TestTaskIsRun(t *testing.T) {
	p := newPlay(t)
	require.NoError(t, p.task(func(_ context.Context, in temporal.TaskInput, n int) (int, error) {
		assert.False(t, in.Started.IsZero())
		return 2 * n, nil
	}))
	var out int
	require.NoError(t, p.GetWorkflowResult(&out))
	require.Equal(t, 14, out)
}

func TestTaskThatIsCanceledBeforeItsFirstStepNeverBegins(t *testing.T) {
	for _, m := range []any{temporal.Message{Owner: "a"}, "text", nil} { // that there is one is enough
		p := newPlay(t)
		p.at(0, func() { p.tell(m) })
		p.mustNeverBegin(p.task(func(context.Context, temporal.TaskInput, int) (int, error) {
			t.Error("it has begun")
			return 0, nil
		}))
		require.Empty(t, p.log.having("unhandled"))
	}
}
