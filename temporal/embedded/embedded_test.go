package embedded_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/traigo/traigo/temporal/embedded"
	"github.com/traigo/traigo/temporal/internal/linked"
)

// Far more than is needed on a machine that does nothing else.
const patience = 2 * time.Minute

func start(t *testing.T) *embedded.Server {
	t.Helper()
	s, err := embedded.Start()
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func dial(t *testing.T, s *embedded.Server) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.Address(), Namespace: s.Namespace(), Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

func workflowOfOne(ctx workflow.Context, n int) (out int, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, double, n).Get(ctx, &out)
	return out, err
}

func TestServerRunsAWorkflowAtOnce(t *testing.T) {
	s := start(t)
	assert.Equal(t, "default", s.Namespace())
	c := dial(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "queue"}, workflowOfOne, 21)
	require.NoError(t, err)

	w := worker.New(c, "queue", worker.Options{})
	w.RegisterActivity(double)
	w.RegisterWorkflow(workflowOfOne)
	require.NoError(t, w.Start())
	defer w.Stop()
	var out int
	require.NoError(t, run.Get(ctx, &out))
	assert.Equal(t, 42, out)
}

// A parent's end is passed on to more children than the server does by itself in a cluster,
// where the worker service does it, which does not run here.
func TestServerEndsManyChildrenWithTheirParent(t *testing.T) {
	const children = 100
	c := dial(t, start(t))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	child := func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) }
	parent := func(ctx workflow.Context) error {
		for range children {
			ctx := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_TERMINATE})
			if err := workflow.ExecuteChildWorkflow(ctx, "child").GetChildWorkflowExecution().Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}
	w := worker.New(c, "queue", worker.Options{})
	w.RegisterWorkflowWithOptions(child, workflow.RegisterOptions{Name: "child"})
	w.RegisterWorkflowWithOptions(parent, workflow.RegisterOptions{Name: "parent"})
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "queue"}, "parent")
	require.NoError(t, err)
	require.NoError(t, run.Get(ctx, nil))

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		ended, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "WorkflowType = 'child' AND ExecutionStatus = 'Terminated'"})
		if assert.NoError(t, err) {
			assert.EqualValues(t, children, ended.GetCount())
		}
	}, patience, 50*time.Millisecond)
}

func TestServersAreApart(t *testing.T) {
	one, other := start(t), start(t)
	assert.NotEqual(t, one.Address(), other.Address())
	_, err := dial(t, one).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "here", TaskQueue: "queue"}, workflowOfOne, 1)
	require.NoError(t, err)
	_, err = dial(t, other).DescribeWorkflowExecution(t.Context(), "here", "")
	assert.ErrorContains(t, err, "not found")

	one.Stop()
	_, err = dial(t, other).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "queue"}, workflowOfOne, 1)
	assert.NoError(t, err, "the end of one is nothing to the other")
}

func TestServersStartAtOnce(t *testing.T) {
	const n = 4
	servers, errs := make([]*embedded.Server, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { servers[i], errs[i] = embedded.Start() })
	}
	wg.Wait()
	addresses := map[string]bool{}
	for i, s := range servers {
		if assert.NoError(t, errs[i]) {
			addresses[s.Address()] = true
			s.Stop()
		}
	}
	assert.Len(t, addresses, n)
}

func TestStopLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		s, err := embedded.Start()
		require.NoError(t, err)
		c, err := client.Dial(client.Options{HostPort: s.Address(), Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		require.NoError(t, err)
		_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "queue"}, workflowOfOne, 1)
		require.NoError(t, err, "so that a queue and a workflow are in memory")
		c.Close()

		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				s.Stop()
				_, err := net.Dial("tcp", s.Address())
				assert.ErrorContains(t, err, "refused", "all calls return when it has stopped")
			})
		}
		wg.Wait()
		s.Stop()
		// Goroutines that were told to end need not have done so. One is there to count them.
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, patience, time.Millisecond,
			"goroutines: %d before, %s", before, stacks{})
	}
}

// stacks are those of all goroutines when they are printed.
type stacks struct{}

func (stacks) String() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

func TestConnectFindsIt(t *testing.T) {
	require.NotNil(t, linked.Start, "set by the import")
	s, err := linked.Start()
	require.NoError(t, err)
	defer s.Stop()
	assert.Equal(t, "default", s.Namespace())
	conn, err := net.Dial("tcp", s.Address())
	require.NoError(t, err)
	assert.NoError(t, conn.Close())
}
