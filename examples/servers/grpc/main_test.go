package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/traigo/traigo"
)

const (
	// patience bounds each wait of a test. A test that reaches it has failed.
	patience = 30 * time.Second

	well   = healthpb.HealthCheckResponse_SERVING
	unwell = healthpb.HealthCheckResponse_NOT_SERVING
)

var (
	errDown   = errors.New("down")
	errEnough = errors.New("enough")
)

type running struct {
	t      *testing.T
	scope  *traigo.Scope
	addr   string
	client healthpb.HealthClient
}

func start(t *testing.T, probes map[string]probe) *running {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return startService(t, &health{probes: probes, log: log}, log)
}

func startService(t *testing.T, service healthpb.HealthServer, log *slog.Logger) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	run := &running{t: t, scope: newScope(t, log), addr: ln.Addr().String()}
	open(run.scope, ln, service, log)
	run.client = dial(t, run.addr)
	t.Cleanup(func() {
		_ = run.scope.Close()
		run.assertNothingIsLeft()
	})
	return run
}

func newScope(t *testing.T, log *slog.Logger) *traigo.Scope {
	return traigo.New(t.Context(), append(options, traigo.Logger(log))...)
}

func dial(t *testing.T, addr string) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func (run *running) check(ctx context.Context, service string) (healthpb.HealthCheckResponse_ServingStatus, error) {
	resp, err := run.client.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return resp.GetStatus(), err
}

type answer struct {
	status healthpb.HealthCheckResponse_ServingStatus
	err    error
}

// begin calls check on another goroutine.
func (run *running) begin(ctx context.Context, service string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		status, err := run.check(ctx, service)
		answers <- answer{status, err}
	}()
	return answers
}

// stop shuts the server down, and lets all calls finish.
func (run *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return run.scope.Shutdown(ctx)
}

// beginStop begins a shutdown, and returns when Stopping is closed. A call of cutOff ends
// the grace period.
func (run *running) beginStop() (cutOff context.CancelCauseFunc, ended <-chan error) {
	ctx, cutOff := context.WithCancelCause(context.Background())
	run.t.Cleanup(func() { cutOff(nil) })
	outcome := make(chan error, 1)
	go func() { outcome <- run.scope.Shutdown(ctx) }()
	<-traigo.Stopping(run.scope.Context())
	return cutOff, outcome
}

// assertNothingIsLeft looks for tasks, and for goroutines that are no tasks. Those of the
// server may end a little later than the scope, so it looks more than once.
func (run *running) assertNothingIsLeft() {
	run.t.Helper()
	left := run.scope.Snapshot()
	assert.Equal(run.t, traigo.Closed, left.State)
	assert.Empty(run.t, left.Tasks)
	assert.Empty(run.t, left.Scopes)
	assert.Eventually(run.t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("grpc.(*Server)")) && !bytes.Contains(stacks, []byte("servers/grpc.calls."))
	}, patience, time.Millisecond)
}

// hanging is a probe that answers when release is closed. It sends to asked when it is
// called, and to stopped the cause if its context ends first.
type hanging struct {
	asked   chan context.Context
	release chan struct{}
	stopped chan error
}

func newHanging() *hanging {
	return &hanging{make(chan context.Context, 1), make(chan struct{}), make(chan error, 1)}
}

func (h *hanging) probe(ctx context.Context) error {
	h.asked <- ctx
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		h.stopped <- context.Cause(ctx)
		return context.Cause(ctx)
	}
}

func TestACheckAsksAllAtOnce(t *testing.T) {
	meet := func(here, there chan struct{}) probe {
		return func(ctx context.Context) error {
			close(here)
			select {
			case <-there:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	a, b := make(chan struct{}), make(chan struct{})
	run := start(t, map[string]probe{"a": meet(a, b), "b": meet(b, a)})
	got, err := run.check(t.Context(), "")
	assert.NoError(t, err)
	assert.Equal(t, well, got)

	_, err = run.check(t.Context(), "c")
	assert.Equal(t, codes.NotFound, status.Code(err))
	assert.Equal(t, `no service "c"`, status.Convert(err).Message(), "and nothing of scopes")
	assert.NoError(t, run.stop())
}

func TestAProbeThatFailsCancelsTheOthers(t *testing.T) {
	slow := newHanging()
	run := start(t, map[string]probe{"slow": slow.probe, "down": func(context.Context) error {
		<-slow.asked
		return errDown
	}})
	got, err := run.check(t.Context(), "")
	assert.NoError(t, err)
	assert.Equal(t, unwell, got)
	assert.ErrorIs(t, <-slow.stopped, errDown)
	assert.NoError(t, run.stop())
}

func TestAClientThatCancelsReachesTheProbes(t *testing.T) {
	slow := newHanging()
	run := start(t, map[string]probe{"slow": slow.probe})
	ctx, cancel := context.WithCancel(t.Context())
	answers := run.begin(ctx, "")
	<-slow.asked
	cancel()

	var why *traigo.Cancellation
	require.ErrorAs(t, <-slow.stopped, &why)
	assert.Equal(t, "server/grpc.health.v1.Health/Check", why.Task, "this call and no other")
	assert.ErrorIs(t, why, context.Canceled)
	assert.Equal(t, codes.Canceled, status.Code((<-answers).err))
	assert.Equal(t, traigo.Open, run.scope.State(), "nobody else has noticed")
	assert.NoError(t, run.stop())
}

func TestProbesKnowTheDeadlineOfTheClient(t *testing.T) {
	slow := newHanging()
	run := start(t, map[string]probe{"slow": slow.probe})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answers := run.begin(ctx, "")
	_, known := (<-slow.asked).Deadline()
	assert.True(t, known)
	close(slow.release)
	assert.Equal(t, answer{status: well}, <-answers)
	assert.NoError(t, run.stop())
}

func TestShutdownLetsACallFinish(t *testing.T) {
	slow := newHanging()
	run := start(t, map[string]probe{"slow": slow.probe})
	answers := run.begin(t.Context(), "")
	<-slow.asked
	_, ended := run.beginStop()
	assert.Eventually(t, func() bool {
		_, err := run.check(t.Context(), "none")
		return status.Code(err) == codes.Unavailable
	}, patience, time.Millisecond, "nobody new comes in")
	select {
	case err := <-ended:
		assert.Fail(t, "the server did not wait for the call", err)
	default:
	}
	close(slow.release)
	assert.Equal(t, answer{status: well}, <-answers)
	assert.NoError(t, <-ended)
}

func TestAWatchEndsAtAShutdown(t *testing.T) {
	run := start(t, nil)
	watch, err := run.client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	resp, err := watch.Recv()
	require.NoError(t, err)
	assert.Equal(t, well, resp.GetStatus())

	_, ended := run.beginStop()
	resp, err = watch.Recv()
	assert.NoError(t, err)
	assert.Equal(t, unwell, resp.GetStatus())
	_, err = watch.Recv()
	assert.ErrorIs(t, err, io.EOF)
	assert.NoError(t, <-ended)
}

func TestTheEndOfTheGracePeriodCutsOff(t *testing.T) {
	slow := newHanging()
	run := start(t, map[string]probe{"slow": slow.probe})
	answers := run.begin(t.Context(), "")
	<-slow.asked
	cutOff, ended := run.beginStop()
	cutOff(errEnough)
	assert.ErrorIs(t, <-slow.stopped, errEnough)
	assert.EqualError(t, <-ended, `scope "server": enough`)
	assert.Equal(t, codes.Unavailable, status.Code((<-answers).err))
}

// A handler that is blocked in Send notices only the end of the stream.
func TestAClientThatDoesNotReadIsNotWaitedForLonger(t *testing.T) {
	talker := &talking{began: make(chan struct{})}
	run := startService(t, talker, slog.New(slog.NewTextHandler(t.Output(), nil)))
	_, err := run.client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	<-talker.began
	cutOff, ended := run.beginStop()
	cutOff(errEnough)
	assert.ErrorIs(t, <-ended, errEnough)
}

type talking struct {
	healthpb.UnimplementedHealthServer

	began chan struct{}
}

func (l *talking) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	close(l.began)
	for {
		if err := stream.Send(&healthpb.HealthCheckResponse{}); err != nil {
			return nil //nolint:nilerr // the stream has ended, as it should
		}
	}
}

func TestAPanicIsOneCallsOwn(t *testing.T) {
	run := start(t, map[string]probe{"fine": func(context.Context) error { return nil }})
	_, err := startService(t, panicking{}, slog.New(slog.DiscardHandler)).check(t.Context(), "")
	assert.Equal(t, codes.Internal, status.Code(err))
	assert.Equal(t, "internal error", status.Convert(err).Message(), "the stack is not for the client")
	got, err := run.check(t.Context(), "")
	assert.NoError(t, err)
	assert.Equal(t, well, got)
}

type panicking struct {
	healthpb.UnimplementedHealthServer
}

func (panicking) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	panic("what a bug")
}

func TestWhatACallSpawnsEndsWithIt(t *testing.T) {
	left := &leaving{release: make(chan struct{}), asked: make(chan struct{})}
	run := startService(t, left, slog.New(slog.NewTextHandler(t.Output(), nil)))
	answers := run.begin(t.Context(), "")
	<-left.asked
	select {
	case <-answers:
		assert.Fail(t, "answered before its task has ended")
	default:
	}
	close(left.release)
	assert.EqualError(t, (<-answers).err, status.Error(codes.DataLoss, "gone").Error(), "a task's failure is the call's")
	assert.NoError(t, run.stop())
}

type leaving struct {
	healthpb.UnimplementedHealthServer

	asked, release chan struct{}
}

func (l *leaving) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	traigo.Current(ctx).Spawn(func(context.Context) error {
		close(l.asked)
		<-l.release
		return status.Error(codes.DataLoss, "gone")
	})
	return &healthpb.HealthCheckResponse{}, nil
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	log := slog.New(slog.DiscardHandler)
	scope := newScope(t, log)
	open(scope, ln, panicking{}, log)
	<-scope.Done()
	assert.ErrorIs(t, scope.Err(), net.ErrClosed)
	assert.ErrorContains(t, scope.Err(), `scope "server": task "serve": `)
}

func TestAShutdownMayComeBeforeAnythingElse(t *testing.T) {
	for range 20 {
		assert.NoError(t, start(t, nil).stop())
	}
}
