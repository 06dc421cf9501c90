package temporal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Scopes that a later owner goes on with.

// failsAlways says "did KEY", and fails.
var failsAlways = register(temporal.Func("failsAlways", func(_ context.Context, key string) (string, error) {
	say("did %s", key)
	return "", errors.New("it fails")
}))

// resumer is an owner with three calls: of a function that succeeds, of one that fails, and of one
// that waits for the gate TRAIGO_TEST_GATE. It says "result NAME OUT ERR" of each.
var resumer = role("resumer", func(ctx context.Context) error {
	return owns(ctx, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		result := func(name, out string, err error) {
			say("result %s %s lease=%t %v", name, out, errors.Is(err, temporal.ErrLease), err)
		}
		out, err := did.Run(ctx, r, "succeeds")
		result("succeeds", out, err)
		out, err = failsAlways.Run(ctx, r, "fails")
		result("fails", out, err)
		out, err = waits.Run(ctx, r, gate{"waits", os.Getenv("TRAIGO_TEST_GATE")})
		result("waits", out, err)
		return nil
	})
})

// A killed owner that is back within its lease loses nothing: what has succeeded is not done again,
// what runs is joined, and what has failed is run.
func TestResumeWithinTheLease(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, id := startOwner(t, resumer, queue, long, env...)
	require.Equal(t, queue, id)
	w.await(t, "began waits")
	first.signal(sigkill)
	receive(t, first.exited, "the first owner")
	second, id := startOwner(t, resumer, queue, long, env...)
	require.Equal(t, queue, id)
	require.Contains(t, second.await(t, "result succeeds"), "succeeds lease=false <nil>")
	require.Contains(t, second.await(t, "result fails"), "it fails")
	openGate(t, file)
	require.Contains(t, second.await(t, "result waits"), "waits by attempt 1 lease=false <nil>")
	receive(t, second.exited, "the second owner")
	require.Empty(t, second.said("error"))
	w.await(t, "did waits")
	require.Len(t, w.said("did succeeds"), 1)
	require.Len(t, w.said("did fails"), 2)
	require.Len(t, w.said("began waits"), 1)
	require.Len(t, w.said("did waits"), 1)
	closes(t, connect(t), id)
}

// One that comes later does what is left.
func TestResumeAfterTheLease(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, id := startOwner(t, resumer, queue, leaseOf, env...)
	w.await(t, "began waits")
	first.signal(sigkill)
	require.Contains(t, w.await(t, "ended waits"), "lease=true")
	closes(t, e, id)
	openGate(t, file)
	second, _ := startOwner(t, resumer, queue, leaseOf, env...)
	require.Contains(t, second.await(t, "result waits"), "lease=false <nil>")
	receive(t, second.exited, "the second owner")
	w.await(t, "did waits")
	require.Len(t, w.said("did succeeds"), 1)
	require.Len(t, w.said("did fails"), 2)
	require.Len(t, w.said("began waits"), 2)
	require.Len(t, w.said("did waits"), 1)

	// A job that is done, and is started again, does nothing that has succeeded.
	third, _ := startOwner(t, resumer, queue, leaseOf, env...)
	require.Contains(t, third.await(t, "result waits"), "lease=false <nil>")
	receive(t, third.exited, "the third owner")
	awaits(t, 3, "did fails", w)
	require.Len(t, w.said("did succeeds"), 1)
	require.Len(t, w.said("did waits"), 1)
}

// An owner that opens the id of a scope that lives takes it over. The older one gets ErrLease, and
// what runs goes on.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, _ := startOwner(t, resumer, queue, leaseOf, env...)
	w.await(t, "began waits")
	second, id := startOwner(t, resumer, queue, leaseOf, env...)
	require.Contains(t, first.await(t, "result waits"), "lease=true")
	require.Contains(t, first.await(t, "error "), temporal.ErrLease.Error())
	receive(t, first.exited, "the first owner")
	renewed(t, connect(t), id, leaseOf)
	require.Empty(t, w.said("ended waits"), "the lease is that of the second owner")
	openGate(t, file)
	require.Contains(t, second.await(t, "result waits"), "waits by attempt 1 lease=false <nil>")
	receive(t, second.exited, "the second owner")
	require.Len(t, w.said("began waits"), 1)
}

// The next owner takes over one that is frozen, which learns of that when it goes on, and does no
// harm to what is the other's.
func TestTakeOverOfFrozenOwner(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	env := []string{"TRAIGO_TEST_ID=" + queue, "TRAIGO_TEST_GATE=" + file}
	first, _ := startOwner(t, resumer, queue, leaseOf, env...)
	w.await(t, "began waits")
	first.signal(sigstop)
	second, id := startOwner(t, resumer, queue, leaseOf, env...)
	awaits(t, 2, "did fails", w)
	renewed(t, connect(t), id, leaseOf)
	first.signal(sigcont)
	receive(t, first.exited, "the first owner")
	require.Contains(t, first.await(t, "error "), temporal.ErrLease.Error())
	require.Empty(t, w.said("ended waits"))
	openGate(t, file)
	require.Contains(t, second.await(t, "result waits"), "waits by attempt 1 lease=false <nil>")
	receive(t, second.exited, "the second owner")
}

// Owners that take over from one another in one process, many at once: one of them has it in the
// end, all others get ErrLease, and the call is made once.
func TestManyTakeOver(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	const n = 8
	all := make(chan returned, n)
	for range n {
		go func() {
			var out string
			err := within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) (err error) {
				out, err = waits.Run(ctx, r, gate{"a", file})
				return err
			}, leases(leaseOf), temporal.Resume(queue))
			all <- returned{out, err}
		}()
	}
	for range n - 1 {
		require.ErrorIs(t, receive(t, all, "of one that was taken over").err, temporal.ErrLease)
	}
	openGate(t, file)
	require.Equal(t, returned{"a by attempt 1", nil}, receive(t, all, "of the last one"))
	require.Len(t, w.said("began a"), 1)
}

// resumes opens a scope with an id, and calls did with keys, one after the other.
func resumes(t *testing.T, e *temporal.Engine, queue string, keys ...string) {
	t.Helper()
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		for _, key := range keys {
			out, err := did.Run(ctx, r, key)
			require.NoError(t, err)
			require.Equal(t, key, out)
		}
		return nil
	}, temporal.Resume(queue)))
}

// The k-th equal call is known by its k.
func TestResumeOfEqualCalls(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	resumes(t, e, queue, "a", "a", "b")
	awaits(t, 3, "did ", w)
	resumes(t, e, queue, "b", "a", "a", "a")
	awaits(t, 4, "did ", w)
	require.Len(t, w.said("did a"), 3)
	require.Len(t, w.said("did b"), 1)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := did.Run(ctx, r, "a")
		return err
	}, temporal.Resume(queue+"-2")))
	awaits(t, 5, "did ", w)
	require.Len(t, w.said("did a"), 4, "a new id is a new run of everything")
}

// A call that was canceled runs when it is made again, and so does one that never began.
func TestResumeOfCanceledCalls(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue, "TRAIGO_TEST_SLOTS=1")
	e := connect(t)
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		waits.Spawn(r, gate{"a", file})
		w.await(t, "began a")
		task := did.Spawn(r, "b")
		eventually(t, func() bool { return task.State() == traigo.Running }, "it does not run")
		s.Cancel(errStop)
		return nil
	}, leases(long), temporal.Resume(queue))
	require.ErrorIs(t, err, errStop)
	w.await(t, "ended a")
	require.Empty(t, w.said("did "))
	openGate(t, file)
	require.NoError(t, within(t, e, queue, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		waits.Spawn(r, gate{"a", file})
		did.Spawn(r, "b")
		return nil
	}, leases(long), temporal.Resume(queue)))
	awaits(t, 2, "did ", w)
	require.Len(t, w.said("began a"), 2)
	require.Len(t, w.said("did a"), 1)
	require.Len(t, w.said("did b"), 1)
}

// A task that one owner has canceled runs when the next owner, who has taken the scope over, calls it.
func TestCallThatTheFormerOwnerHasCanceled(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e, canceled := connect(t), make(chan struct{})
	former := calls(func() (string, error) {
		return "", within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
			task := waits.Spawn(r, gate{"a", file}, traigo.Bubble(false))
			w.await(t, "began a")
			task.Cancel(errStop)
			<-task.Done()
			close(canceled)
			<-ctx.Done()
			return nil
		}, leases(longLease), temporal.Resume(queue))
	})
	receive(t, canceled, "the call that was canceled")
	openGate(t, file)
	var out string
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) (err error) {
		out, err = waits.Run(ctx, r, gate{"a", file})
		return err
	}, leases(longLease), temporal.Resume(queue)))
	require.Equal(t, "a by attempt 1", out)
	require.ErrorIs(t, receive(t, former, "of the former owner").err, temporal.ErrLease)
}

// An owner that ends its scope before it has heard that another one has it ends nothing of that one.
func TestEndOfAnOwnerThatWasTakenOver(t *testing.T) {
	t.Parallel()
	queue, file, told := queueOf(t), newGate(t), make(chan struct{})
	w := startWorker(t, queue)
	first := connectWith(t, func(o *client.Options) {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				switch {
				case strings.HasSuffix(method, "/GetWorkflowExecutionHistory"):
					select {
					case <-told:
					case <-ctx.Done():
					}
				case strings.HasSuffix(method, "/SignalWorkflowExecution"):
					defer close(told)
				}
				return next(ctx, method, in, out, c, opts...)
			}))
	})
	e := connect(t)
	var second <-chan returned
	require.ErrorIs(t, within(t, first, queue, func(_ context.Context, s *traigo.Scope, _ *temporal.Remote) error {
		second = calls(func() (out string, err error) {
			err = within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) (err error) {
				out, err = waits.Run(ctx, r, gate{"a", file})
				return err
			}, leases(longLease), temporal.Resume(queue))
			return out, err
		})
		w.await(t, "began a")
		s.Cancel(errStop)
		return nil
	}, leases(longLease), temporal.Resume(queue)), errStop)
	openGate(t, file)
	require.Equal(t, returned{"a by attempt 1", nil}, receive(t, second, "of the second owner"))
	require.Empty(t, w.said("ended a"))
}

// options is an argument whose encoding does not depend on the order in which it was filled.
type options map[string]int

// A nonce makes an encoding that differs each time.
type nonce struct{}

func (nonce) Encode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	for i, p := range all {
		all[i] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("nonce"), "nonce": []byte(rand.Text())}, Data: append([]byte(rand.Text()), must(proto.Marshal(p))...)}
	}
	return all, nil
}

func (nonce) Decode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	for i, p := range all {
		if string(p.GetMetadata()["encoding"]) != "nonce" {
			continue
		}
		inner := &commonpb.Payload{}
		if err := proto.Unmarshal(p.GetData()[len(rand.Text()):], inner); err != nil {
			return nil, err
		}
		all[i] = inner
	}
	return all, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Equal arguments are equal calls, also if they are encoded otherwise each time.
func TestResumeKnowsEqualArguments(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(*client.Options){
		"json": func(*client.Options) {},
		"nonce": func(o *client.Options) {
			o.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), nonce{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := queueOf(t)
			e, err := temporal.Connect(t.Context(), with)
			require.NoError(t, err)
			t.Cleanup(e.Close)
			var n atomic.Int32
			scope := traigo.New(t.Context())
			defer func() { _ = scope.Close() }()
			f := temporal.Func("counts", func(_ context.Context, o options) (int, error) {
				n.Add(1)
				return len(o), nil
			})
			scope.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
			for range 5 {
				arg := options{}
				for i := range 20 {
					arg[fmt.Sprint(i)] = i
				}
				require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
					got, err := f.Run(ctx, r, arg)
					require.Equal(t, 20, got)
					return err
				}, temporal.Resume(queue)))
			}
			require.EqualValues(t, 1, n.Load())
		})
	}
}

// A call that was canceled by one owner runs for the next one that takes the scope over.
func TestTakeOverOfCanceledCall(t *testing.T) {
	t.Parallel()
	queue, file := queueOf(t), newGate(t)
	w := startWorker(t, queue)
	e := connect(t)
	err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		task := waits.Spawn(r, gate{"a", file})
		w.await(t, "began a")
		task.Cancel(errStop)
		require.ErrorIs(t, ended(t, task), errStop)
		s.Cancel(temporal.ErrHandover)
		return nil
	}, leases(long), temporal.Resume(queue))
	require.ErrorIs(t, err, temporal.ErrHandover)
	openGate(t, file)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		out, err := waits.Run(ctx, r, gate{"a", file})
		require.NoError(t, err)
		require.Equal(t, "a by attempt 1", out)
		return nil
	}, leases(long), temporal.Resume(queue)))
}
