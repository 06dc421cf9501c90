package temporal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdktemporal "go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Workers replay what the workers of earlier releases have begun. testdata/histories has what our
// two workflows did in each release, on every path. Those of an older release are never recorded again.
const (
	histories = "testdata/histories"
	thisOne   = "v0" // what UPDATE=1 records
)

// replay replays a history with the workflows of this release. The SDK compares the commands, but neither
// the steps in which they are given nor how the workflow ends. So each beginning of the history
// that ends with a step is replayed as well, and what the workflow returns is compared.
func replay(h *historypb.History) error {
	var returned error
	values, failures := temporal.Converters()
	replayer, err := sdkworker.NewWorkflowReplayerWithOptions(sdkworker.WorkflowReplayerOptions{
		DataConverter: values, FailureConverter: failures,
		DisableDeadlockDetection: true, // on a busy machine a step may take its second
		Interceptors:             []interceptor.WorkerInterceptor{&endings{of: &returned}},
	})
	if err != nil {
		return err
	}
	temporal.RegisterWorkflows(replayer)
	for i, ev := range h.GetEvents() {
		if ev.GetEventType() != stepBegan {
			continue
		}
		if err := replayer.ReplayWorkflowHistory(nil, &historypb.History{Events: h.GetEvents()[:i+1]}); err != nil {
			return fmt.Errorf("up to event %d: %w", ev.GetEventId(), err)
		}
	}
	if err := replayer.ReplayWorkflowHistory(nil, h); err != nil {
		return err
	}
	return endsAs(h.GetEvents()[len(h.GetEvents())-1], returned)
}

// endsAs returns an error if a workflow that has ended with the event returns something else.
func endsAs(ev *historypb.HistoryEvent, returned error) error {
	is := completed
	switch {
	case sdktemporal.IsCanceledError(returned):
		is = isCanceled
	case workflow.IsContinueAsNewError(returned):
		is = continued
	case returned != nil:
		is = hasFailed
	}
	if is != ev.GetEventType() {
		return fmt.Errorf("the history ends with %v, the workflow with %v (%w)", ev.GetEventType(), is, returned)
	}
	failure := ev.GetWorkflowExecutionFailedEventAttributes().GetFailure()
	for failure.GetApplicationFailureInfo() == nil && failure != nil {
		failure = failure.GetCause()
	}
	var got string
	if err, ok := errors.AsType[*sdktemporal.ApplicationError](returned); ok {
		got = err.Type()
	}
	if want := failure.GetApplicationFailureInfo().GetType(); got != want {
		return fmt.Errorf("the history ends with a failure of type %q, the workflow with one of type %q", want, got)
	}
	return nil
}

// endings keeps what a workflow has returned.
type endings struct {
	interceptor.WorkerInterceptorBase
	interceptor.WorkflowInboundInterceptorBase
	of *error
}

func (e *endings) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &endings{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, of: e.of}
}

func (e *endings) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	out, err := e.Next.ExecuteWorkflow(ctx, in)
	*e.of = err
	return out, err
}

func TestHistoriesOfAllReleasesReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(histories, "*", "*.json"))
	require.NoError(t, err)
	of := map[string][]string{}
	for _, file := range files {
		release := filepath.Base(filepath.Dir(file))
		of[release] = append(of[release], strings.TrimSuffix(filepath.Base(file), ".json"))
		t.Run(release+"/"+filepath.Base(file), func(t *testing.T) {
			text, err := os.Open(file)
			require.NoError(t, err)
			defer text.Close()
			h, err := client.HistoryFromJSON(text, client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, replay(h))
		})
	}
	for _, p := range paths {
		assert.Contains(t, of[thisOne], p.name, "not recorded: see CONTRIBUTING.md")
	}
	assert.Len(t, of[thisOne], len(paths), "a history that no test records is in %s", thisOne)
}

// TestHistoriesOfThisReleaseReplay goes each path on a real server, and replays what has come of
// it. With UPDATE=1 it writes that down.
func TestHistoriesOfThisReleaseReplay(t *testing.T) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			c := &company{t: t, name: p.name, engine: connectAs(t, "owner")}
			if os.Getenv("UPDATE") == "" {
				c.name = queueOf(t)
			}
			id, run := p.walk(c)
			h := c.history(id, run)
			c.mustHave(h, p.has)
			require.NoError(t, replay(h))
			if os.Getenv("UPDATE") != "" {
				keep(t, p.name, h)
			}
		})
	}
}

// A company is who takes part in a path: owners and workers, on a queue of the path's name.
type company struct {
	t      *testing.T
	name   string
	engine *temporal.Engine
}

func connectAs(t *testing.T, identity string) *temporal.Engine {
	t.Helper()
	e, err := temporal.Connect(t.Context(), func(o *client.Options) { o.Identity = identity })
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// work starts a worker in this process, until the end of the test.
func (c *company) work(with ...temporal.WorkOption) {
	c.t.Helper()
	e := connectAs(c.t, "worker")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- temporal.Work(ctx, e, c.name, with...) }()
	c.t.Cleanup(func() {
		stop()
		assert.ErrorIs(c.t, <-ended, context.Canceled)
	})
}

// open opens a scope with a lease that no pause of the machine ends (the paths in which one is to end
// have 20 s), and returns what its body
// returns.
func (c *company) open(e *temporal.Engine, body func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error, opts ...temporal.OpenOption) error {
	c.t.Helper()
	return traigo.Run(c.t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, c.name, append([]temporal.OpenOption{temporal.Lease(patience)}, opts...)...)
		if err != nil {
			return err
		}
		return body(ctx, s, r)
	}, traigo.Name("job"))
}

// events returns the history of a workflow as it is at the moment.
func (c *company) events(id, run string) (all []*historypb.HistoryEvent) {
	for it := c.engine.Client().GetWorkflowHistory(c.t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		ev, err := it.Next()
		if err != nil {
			return nil // it is not known yet
		}
		all = append(all, ev)
	}
	return all
}

// awaitEvent waits until the history has n events of a type.
func (c *company) awaitEvent(id string, what enumspb.EventType, n int) {
	c.t.Helper()
	eventually(c.t, func() bool { return count(c.events(id, ""), what) >= n }, "%s has no %d %v", id, n, what)
}

func count(events []*historypb.HistoryEvent, what enumspb.EventType) (n int) {
	for _, ev := range events {
		if ev.GetEventType() == what {
			n++
		}
	}
	return n
}

// history waits for the end of a workflow, and returns its history without what is of this machine.
func (c *company) history(id, run string) *historypb.History {
	c.t.Helper()
	h := &historypb.History{}
	for it := c.engine.Client().GetWorkflowHistory(c.t.Context(), id, run, true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		ev, err := it.Next()
		require.NoError(c.t, err)
		if queue := ev.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue(); queue.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			queue.Name = "sticky" // begins with the name of the host
		}
		h.Events = append(h.Events, ev)
	}
	return h
}

// mustHave checks that the path is the one that was meant: the history has these events, in this
// order, and the last of them is its last.
func (c *company) mustHave(h *historypb.History, want []enumspb.EventType) {
	c.t.Helper()
	var got []enumspb.EventType
	left := want
	for _, ev := range h.GetEvents() {
		got = append(got, ev.GetEventType())
		if len(left) > 0 && left[0] == ev.GetEventType() {
			left = left[1:]
		}
	}
	require.Empty(c.t, left, "the events are %v", got)
	require.Equal(c.t, want[len(want)-1], got[len(got)-1])
}

// keep writes a history, an event in each line.
func keep(t *testing.T, name string, h *historypb.History) {
	t.Helper()
	var file bytes.Buffer
	file.WriteString("{\"events\":[\n")
	for i, ev := range h.GetEvents() {
		text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(ev)
		require.NoError(t, err)
		if i > 0 {
			file.WriteString(",\n")
		}
		require.NoError(t, json.Compact(&file, text))
	}
	file.WriteString("\n]}\n")
	mustBeOfNoMachine(t, file.String(), h)
	dir := filepath.Join(histories, thisOne)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), file.Bytes(), 0o644))
}

// mustBeOfNoMachine fails if a history tells where it was recorded.
func mustBeOfNoMachine(t *testing.T, text string, h *historypb.History) {
	t.Helper()
	var all strings.Builder
	all.WriteString(text)
	require.NoError(t, proxy.VisitPayloads(t.Context(), h, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, p []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, one := range p {
				all.Write(one.GetData())
			}
			return p, nil
		},
	}))
	host, err := os.Hostname()
	require.NoError(t, err)
	dir, err := os.Getwd()
	require.NoError(t, err)
	who, err := user.Current()
	require.NoError(t, err)
	for _, is := range []string{host, dir, filepath.Dir(os.Args[0]), who.HomeDir, "\"" + who.Username + "\"", os.Getenv("TEMPORAL_ADDRESS")} {
		require.NotContains(t, all.String(), is)
	}
}

// namelessWorker is a worker, as the role worker is one, that has an identity of no machine.
var namelessWorker = role("identified worker", func(ctx context.Context) error {
	e, err := temporal.Connect(ctx, func(o *client.Options) { o.Identity = "worker" })
	if err != nil {
		return err
	}
	defer e.Close()
	return temporal.Work(ctx, e, os.Getenv("TRAIGO_TEST_QUEUE"), until)
})

var (
	errBroken = errors.New("it is broken")

	breaks = temporal.Func("breaks", func(context.Context, int) (int, error) { return 0, errBroken })
	// recovers fails the first time.
	recovers = temporal.Func("recovers", func(ctx context.Context, n int) (int, error) {
		if temporal.Current(ctx).Number == 1 {
			return 0, errBroken
		}
		return n, nil
	}, temporal.Retry(1))
)

// A patient function waits for its context, and then returns what it is told to.
type patient struct {
	*temporal.Function[string, string]
	began  chan string
	answer chan error
}

func newPatient() *patient {
	p := &patient{began: make(chan string, 10), answer: make(chan error, 10)}
	p.Function = temporal.Func("patient", func(ctx context.Context, key string) (string, error) {
		p.began <- key
		<-ctx.Done()
		return key, <-p.answer
	})
	return p
}

// The names of events, as they are called in paths.
const (
	signaled      = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
	stepBegan     = enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED
	stepped       = enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
	askedToCancel = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
	completed     = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
	hasFailed     = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
	isCanceled    = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
	continued     = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW

	scheduled      = enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
	activityBegan  = enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED
	activityDone   = enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
	activityFailed = enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED
	activityLate   = enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT
	activityStop   = enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
	activityOff    = enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED
)

// paths are the paths of both workflows. walk returns the workflow whose history is recorded; run is
// empty if it is the last one of that id.
var paths = []struct {
	name string
	has  []enumspb.EventType
	walk func(c *company) (id, run string)
}{
	{"task-succeeds", []enumspb.EventType{scheduled, activityBegan, activityDone, completed}, func(c *company) (id, run string) {
		c.work(double)
		err := c.open(c.engine, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/double-1"
			n, err := double.Run(ctx, r, 21)
			assert.Equal(c.t, 42, n)
			return err
		})
		require.NoError(c.t, err)
		return id, ""
	}},
	{"task-fails", []enumspb.EventType{scheduled, activityBegan, activityFailed, hasFailed}, func(c *company) (id, run string) {
		c.work(breaks)
		err := c.open(c.engine, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/breaks-1"
			_, err := breaks.Run(ctx, r, 1)
			return err
		})
		require.ErrorContains(c.t, err, errBroken.Error())
		return id, ""
	}},
	{"task-is-retried", []enumspb.EventType{scheduled, activityBegan, activityDone, completed}, func(c *company) (id, run string) {
		c.work(recovers)
		err := c.open(c.engine, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/recovers-1"
			_, err := recovers.Run(ctx, r, 1)
			return err
		})
		require.NoError(c.t, err)
		for _, ev := range c.events(id, "") {
			if a := ev.GetActivityTaskStartedEventAttributes(); a != nil {
				require.EqualValues(c.t, 2, a.GetAttempt())
			}
		}
		return id, ""
	}},
	{"task-canceled-before-its-first-step", []enumspb.EventType{signaled, stepped, hasFailed}, func(c *company) (id, run string) {
		id = c.startTask("double", 21)
		c.signal(id, temporal.Message{Owner: "owner"})
		c.work(double)
		return id, ""
	}},
	{"task-canceled-before-its-function", []enumspb.EventType{stepped, scheduled, signaled, activityStop, activityOff, hasFailed}, func(c *company) (id, run string) {
		// The worker has no slot for the second task.
		p := newPatient()
		c.work(p, double, temporal.Slots(1))
		err := c.open(c.engine, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			first := p.Spawn(r, "first")
			<-p.began
			second := double.Spawn(r, 21)
			id = r.ID() + "/double-2"
			c.awaitEvent(id, scheduled, 1)
			second.Cancel(errBroken)
			<-second.Done()
			p.answer <- nil
			first.Cancel(errBroken)
			<-first.Done()
			return nil
		})
		require.NoError(c.t, err)
		return id, ""
	}},
	{"task-canceled", []enumspb.EventType{scheduled, activityBegan, activityFailed, hasFailed}, func(c *company) (id, run string) {
		// The function ends at once, by the push, before the task itself is told.
		p := newPatient()
		c.work(p)
		p.answer <- context.Canceled
		err := c.open(c.engine, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/patient-1"
			task := p.Spawn(r, "")
			<-p.began
			task.Cancel(errBroken)
			<-task.Done()
			return nil
		})
		require.NoError(c.t, err)
		return id, ""
	}},
	{"task-canceled-and-told", []enumspb.EventType{scheduled, signaled, activityStop, activityBegan, activityFailed, hasFailed}, func(c *company) (id, run string) {
		return c.toldTask(errBroken), ""
	}},
	{"task-canceled-and-succeeds", []enumspb.EventType{scheduled, signaled, activityStop, activityBegan, activityDone, completed}, func(c *company) (id, run string) {
		return c.toldTask(nil), ""
	}},
	{"task-loses-its-worker", []enumspb.EventType{scheduled, activityBegan, activityDone, completed}, func(c *company) (id, run string) {
		first := start(c.t, namelessWorker, "TRAIGO_TEST_QUEUE="+c.name)
		err := c.open(c.engine, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/until-1"
			task := until.Spawn(r, "x")
			first.await(c.t, "began x attempt 1")
			first.signal(syscall.SIGKILL)
			c.work(temporal.Func("until", func(ctx context.Context, key string) (string, error) {
				assert.Greater(c.t, temporal.Current(ctx).Number, 1)
				return key, nil
			}))
			<-task.Done()
			return task.Err()
		}, temporal.Lease(20*time.Second))
		require.NoError(c.t, err)
		return id, ""
	}},
	{"task-canceled-by-an-operator", []enumspb.EventType{scheduled, askedToCancel, activityStop, activityBegan, activityFailed, isCanceled}, func(c *company) (id, run string) {
		p := newPatient()
		c.work(p)
		p.answer <- context.Canceled
		err := c.open(c.engine, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
			id = r.ID() + "/patient-1"
			task := p.Spawn(r, "", traigo.Bubble(false))
			<-p.began
			assert.NoError(c.t, c.engine.Client().CancelWorkflow(ctx, id, ""))
			<-task.Done()
			assert.ErrorIs(c.t, task.Err(), temporal.ErrLost)
			return nil
		}, temporal.Lease(20*time.Second)) // it hears of that by its heartbeat
		require.NoError(c.t, err)
		return id, ""
	}},
	{"task-canceled-by-an-operator-before-its-function", []enumspb.EventType{scheduled, askedToCancel, activityStop, activityOff, isCanceled}, func(c *company) (id, run string) {
		p := newPatient()
		c.work(p, double, temporal.Slots(1))
		err := c.open(c.engine, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
			first := p.Spawn(r, "first")
			<-p.began
			second := double.Spawn(r, 21, traigo.Bubble(false))
			id = r.ID() + "/double-2"
			c.awaitEvent(id, scheduled, 1)
			assert.NoError(c.t, c.engine.Client().CancelWorkflow(ctx, id, ""))
			<-second.Done()
			assert.ErrorIs(c.t, second.Err(), temporal.ErrLost)
			p.answer <- nil
			first.Cancel(errBroken)
			<-first.Done()
			return nil
		})
		require.NoError(c.t, err)
		return id, ""
	}},

	{"scope-ends", []enumspb.EventType{scheduled, signaled, activityStop, completed}, func(c *company) (id, run string) {
		c.work(double)
		err := c.open(c.engine, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID()
			c.awaitEvent(id, scheduled, 1)
			return nil
		})
		require.NoError(c.t, err)
		return id, ""
	}},
	{"scope-ends-with-a-cause", []enumspb.EventType{scheduled, signaled, activityStop, completed}, func(c *company) (id, run string) {
		c.work(double)
		err := c.open(c.engine, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			id = r.ID()
			c.awaitEvent(id, scheduled, 1)
			s.Cancel(errBroken)
			return nil
		})
		require.ErrorIs(c.t, err, errBroken)
		return id, ""
	}},
	{"scope-ends-before-its-first-step", []enumspb.EventType{signaled, stepped, scheduled, activityStop, completed}, func(c *company) (id, run string) {
		own := temporal.Ownership{Owner: "owner", Queue: c.name + "-owner", Lease: patience}
		id = c.startScope(temporal.ScopeInput{Own: &own})
		c.signal(id, temporal.Message{Owner: "owner", End: true})
		c.work(double)
		return id, ""
	}},
	{"scope-cancels-tasks", []enumspb.EventType{scheduled, signaled, signaled, signaled, completed}, func(c *company) (id, run string) {
		p := newPatient()
		c.work(p)
		err := c.open(c.engine, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID()
			for i := range 2 {
				task := p.Spawn(r, "")
				<-p.began
				p.answer <- context.Canceled
				task.Cancel(errBroken)
				<-task.Done()
				c.awaitEvent(id, signaled, i+1)
			}
			return nil
		})
		require.NoError(c.t, err)
		return id, ""
	}},
	{"scope-loses-its-lease", []enumspb.EventType{scheduled, activityBegan, activityLate, hasFailed}, func(c *company) (id, run string) {
		c.work(double)
		e := connectAs(c.t, "owner")
		err := c.open(e, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID()
			_, err := double.Run(ctx, r, 21) // the lease is held
			assert.NoError(c.t, err)
			e.Close()
			<-ctx.Done()
			return nil
		}, temporal.Lease(20*time.Second))
		require.ErrorIs(c.t, err, temporal.ErrLease)
		return id, ""
	}},
	{"scope-of-an-owner-that-never-came", []enumspb.EventType{scheduled, activityLate, hasFailed}, func(c *company) (id, run string) {
		own := temporal.Ownership{Owner: "owner", Queue: c.name + "-owner", Lease: time.Second}
		id = c.startScope(temporal.ScopeInput{Own: &own})
		c.work(double)
		return id, ""
	}},
	{"scope-without-an-owner", []enumspb.EventType{signaled, stepped, hasFailed}, func(c *company) (id, run string) {
		id = c.startScope(temporal.ScopeInput{})
		c.signal(id, temporal.Message{Owner: "owner", End: true})
		c.work(double)
		return id, ""
	}},
	{"scope-is-resumable", []enumspb.EventType{signaled, scheduled, signaled, completed}, func(c *company) (id, run string) {
		c.work(double)
		c.takeOver(c.name+"-1", 1)
		return c.name + "-1", ""
	}},
	{"scope-is-taken-over", []enumspb.EventType{signaled, scheduled, signaled, activityStop, scheduled, signaled, activityStop, completed}, func(c *company) (id, run string) {
		c.work(double)
		c.takeOver(c.name+"-1", 2)
		return c.name + "-1", ""
	}},
	{"scope-is-taken-over-twice", []enumspb.EventType{signaled, scheduled, signaled, activityStop, scheduled, signaled, activityStop, scheduled, signaled, activityStop, completed}, func(c *company) (id, run string) {
		c.work(double)
		c.takeOver(c.name+"-1", 3)
		return c.name + "-1", ""
	}},
	{"scope-canceled-by-an-operator", []enumspb.EventType{scheduled, askedToCancel, activityStop, isCanceled}, func(c *company) (id, run string) {
		c.work(double)
		err := c.open(c.engine, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			id = r.ID()
			c.awaitEvent(id, scheduled, 1)
			assert.NoError(c.t, c.engine.Client().CancelWorkflow(ctx, id, ""))
			<-ctx.Done()
			return nil
		})
		require.ErrorIs(c.t, err, temporal.ErrLease)
		return id, ""
	}},
	{"scope-is-continued", []enumspb.EventType{scheduled, signaled, activityStop, continued}, func(c *company) (id, run string) {
		return c.continuedScope()
	}},
}

// startTask starts a task as an owner does that has no worker.
func (c *company) startTask(function string, argument any) (id string) {
	c.t.Helper()
	id = c.name + "/task-1"
	in := temporal.TaskInput{Scope: c.name, Owner: "owner", Func: function, Lease: patience}
	_, err := c.engine.Client().ExecuteWorkflow(c.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: c.name}, temporal.TaskType, in, argument)
	require.NoError(c.t, err)
	return id
}

func (c *company) startScope(in temporal.ScopeInput) (id string) {
	c.t.Helper()
	id = c.name + "-1"
	_, err := c.engine.Client().ExecuteWorkflow(c.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: c.name}, temporal.ScopeType, in)
	require.NoError(c.t, err)
	return id
}

func (c *company) signal(id string, m temporal.Message) {
	c.t.Helper()
	require.NoError(c.t, c.engine.Client().SignalWorkflow(c.t.Context(), id, "", temporal.SignalName, m))
}

// toldTask runs a task that goes on after its cancellation, until its workflow has asked the engine
// to cancel the activity, and then ends with err.
func (c *company) toldTask(err error) (id string) {
	p := newPatient()
	c.work(p)
	outcome := c.open(c.engine, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		id = r.ID() + "/patient-1"
		task := p.Spawn(r, "", traigo.Bubble(false))
		<-p.began
		task.Cancel(errBroken)
		c.awaitEvent(id, activityStop, 1)
		p.answer <- err
		<-task.Done()
		return nil
	})
	require.NoError(c.t, outcome)
	return id
}

// takeOver opens a scope n times. Each owner but the last one loses it to the next.
func (c *company) takeOver(id string, n int) {
	c.t.Helper()
	err := c.open(connectAs(c.t, "owner"), func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := double.Run(ctx, r, n) // the lease is held
		assert.NoError(c.t, err)
		if n > 1 {
			c.takeOver(id, n-1)
			<-ctx.Done()
		}
		return nil
	}, temporal.Resume(id))
	if n > 1 {
		assert.ErrorIs(c.t, err, temporal.ErrLease)
	} else {
		assert.NoError(c.t, err)
	}
}

// continuedScope opens a scope, and sends it messages until it goes on as another run.
func (c *company) continuedScope() (id, first string) {
	c.t.Helper()
	c.work(double)
	err := c.open(c.engine, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		id = r.ID()
		look := func() *workflowservice.DescribeWorkflowExecutionResponse {
			d, err := c.engine.Client().DescribeWorkflowExecution(ctx, id, first)
			assert.NoError(c.t, err)
			return d
		}
		first = look().GetWorkflowExecutionInfo().GetExecution().GetRunId()
		_, err := double.Run(ctx, r, 1) // the lease is held
		assert.NoError(c.t, err)
		signal := func() error {
			return c.engine.Client().SignalWorkflow(ctx, id, first, temporal.SignalName, struct{}{})
		}
		// A message makes up to four events, with those of a step. The last ones have a step each.
		for _, n := range []int{100, 20} {
			for look().GetWorkflowExecutionInfo().GetHistoryLength() < int64(temporal.MaxEvents-4*n) {
				var all errgroup.Group
				for range n {
					all.Go(signal)
				}
				assert.NoError(c.t, all.Wait())
			}
		}
		eventually(c.t, func() bool {
			d := look()
			if d.GetPendingWorkflowTask() == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				assert.NoError(c.t, signal())
			}
			return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
		}, "the scope is not continued")
		_, err = double.Run(ctx, r, 2)
		return err
	})
	require.NoError(c.t, err)
	return id, first
}
