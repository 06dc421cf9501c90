package temporal_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdktemporal "go.temporal.io/sdk/temporal"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// newer makes an engine that of an owner of a newer release: instead of a type of workflow it starts
// one that the workers of this release do not know.
type newer struct {
	interceptor.ClientInterceptorBase
	interceptor.ClientOutboundInterceptorBase
	instead string
}

func (n *newer) InterceptClient(next interceptor.ClientOutboundInterceptor) interceptor.ClientOutboundInterceptor {
	return &newer{ClientOutboundInterceptorBase: interceptor.ClientOutboundInterceptorBase{Next: next}, instead: n.instead}
}

func (n *newer) ExecuteWorkflow(ctx context.Context, in *interceptor.ClientExecuteWorkflowInput) (client.WorkflowRun, error) {
	if in.WorkflowType == n.instead {
		in.WorkflowType += ".9"
	}
	return n.Next.ExecuteWorkflow(ctx, in)
}

func (n *newer) SignalWithStartWorkflow(ctx context.Context, in *interceptor.ClientSignalWithStartWorkflowInput) (client.WorkflowRun, error) {
	if in.WorkflowType == n.instead {
		in.WorkflowType += ".9"
	}
	return n.Next.SignalWithStartWorkflow(ctx, in)
}

// connectNewer connects an owner of a newer release.
func connectNewer(t *testing.T, instead string, with ...func(*client.Options)) *temporal.Engine {
	t.Helper()
	e, err := temporal.Connect(t.Context(), append(with, func(o *client.Options) {
		o.Interceptors = append(o.Interceptors, &newer{instead: instead})
	})...)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func mustSayWhatToDo(t *testing.T, err error, queue, workflow string) {
	t.Helper()
	assert.ErrorContains(t, err, queue)
	assert.ErrorContains(t, err, workflow)
	assert.ErrorContains(t, err, "upgrade workers before owners")
}

func TestWorkflowOfANewerReleaseFails(t *testing.T) {
	queue := queueOf(t)
	startWorker(t, queue)
	run, err := connect(t).Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "traigo.Task.9", 1, "two")
	require.NoError(t, err)
	err = run.Get(t.Context(), nil)
	mustSayWhatToDo(t, err, queue, "traigo.Task.9")
	failure, ok := errors.AsType[*sdktemporal.ApplicationError](err)
	require.True(t, ok)
	require.True(t, failure.NonRetryable())
}

// doubles is an owner with one call.
func doubles(ctx context.Context, e *temporal.Engine, queue string, opts ...temporal.OpenOption) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, opts...)
		if err != nil {
			return err
		}
		_, err = double.Run(ctx, r, 21)
		return err
	})
}

func TestOwnerAheadOfItsWorkersGetsAnErrorOfItsTasks(t *testing.T) {
	queue := queueOf(t)
	startWorker(t, queue)
	e := connectNewer(t, temporal.TaskType)
	err := doubles(t.Context(), e, queue)
	require.ErrorIs(t, err, temporal.ErrEngine)
	mustSayWhatToDo(t, err, queue, "traigo.Task.9")
}

// With a data converter of the user's, the texts of failures are encoded as well.
func TestOwnerAheadOfItsWorkersCanReadTheError(t *testing.T) {
	queue := queueOf(t)
	encoded := func(o *client.Options) {
		o.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), converter.NewZlibCodec(converter.ZlibCodecOptions{AlwaysEncode: true}))
	}
	e := connectNewer(t, temporal.TaskType, encoded)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		worker := s.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, double) }, traigo.Bubble(false))
		defer worker.Cancel(nil)
		return doubles(ctx, e, queue)
	})
	require.ErrorIs(t, err, temporal.ErrEngine)
	mustSayWhatToDo(t, err, queue, "traigo.Task.9")
}

func TestOwnerAheadOfItsWorkersGetsAnErrorOfItsScope(t *testing.T) {
	for name, opts := range map[string][]temporal.OpenOption{"plain": nil, "resumed": {temporal.Resume("newer-" + time.Now().String())}} {
		t.Run(name, func(t *testing.T) {
			queue := queueOf(t)
			startWorker(t, queue)
			e := connectNewer(t, temporal.ScopeType)
			err := doubles(t.Context(), e, queue, opts...)
			require.ErrorIs(t, err, temporal.ErrLease)
			mustSayWhatToDo(t, err, queue, "traigo.Scope.9")
		})
	}
}

// Where no worker is any more, a call that is canceled terminates its workflow, and returns.
func TestCanceledCallTerminatesATaskThatNoWorkerHasSeen(t *testing.T) {
	queue := queueOf(t)
	p := startWorker(t, queue)
	e := connect(t)
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(patience))
		if err != nil {
			return err
		}
		_, err = double.Run(ctx, r, 1) // the lease is held
		assert.NoError(t, err)
		p.signal(syscall.SIGTERM)
		<-p.exited
		task := double.Spawn(r, 21, traigo.Bubble(false))
		id := r.ID() + "/double-2"
		eventually(t, func() bool { return statusOf(t, e, id) == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING }, "it is not started")
		task.Cancel(errBroken)
		<-task.Done()
		assert.ErrorIs(t, task.Err(), errBroken)
		assert.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, statusOf(t, e, id))
		return nil
	})
	require.NoError(t, err)
}

// A worker that comes between the message and the termination finds the message in the first step.
func TestTaskThatWasCanceledBeforeAWorkerCameNeverBegins(t *testing.T) {
	c := &company{t: t, name: queueOf(t), engine: connect(t)}
	id := c.startTask("until", "x")
	c.signal(id, temporal.Message{Owner: "owner"})
	p := startWorker(t, c.name)
	h := c.history(id, "")
	c.mustHave(h, []enumspb.EventType{signaled, stepBegan, stepped, hasFailed})
	require.Zero(t, count(h.GetEvents(), scheduled))
	require.Empty(t, p.said("began"))
}
