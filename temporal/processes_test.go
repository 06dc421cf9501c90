package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// What the tests of lost owners, workers and servers have in common.

// leaseOf is the lease of a test that waits for its end. A shorter one is lost without reason on a
// machine that has much else to do.
const leaseOf = 10 * time.Second

// long is a lease that no test waits for: what happens within it does not come from its end.
const long = time.Hour

// how says how a context has ended.
func how(ctx context.Context) string {
	return fmt.Sprintf("lease=%t handover=%t %v", errors.Is(context.Cause(ctx), temporal.ErrLease),
		errors.Is(context.Cause(ctx), temporal.ErrHandover), context.Cause(ctx))
}

// holds says "began KEY attempt N", waits for its context, and says "ended KEY HOW".
var holds = register(temporal.Func("holds", func(ctx context.Context, key string) (string, error) {
	say("began %s attempt %d", key, temporal.Current(ctx).Number)
	<-ctx.Done()
	say("ended %s %s", key, how(ctx))
	return "", context.Cause(ctx)
}))

// A gate is the argument of waits: a file, which opens it.
type gate struct{ Key, File string }

// waits says "began KEY attempt N", waits for its gate, and says "did KEY".
var waits = register(temporal.Func("waits", func(ctx context.Context, g gate) (string, error) {
	n := temporal.Current(ctx).Number
	say("began %s attempt %d", g.Key, n)
	if !opens(ctx, g.File) {
		say("ended %s %s", g.Key, how(ctx))
		return "", context.Cause(ctx)
	}
	say("did %s", g.Key)
	return fmt.Sprintf("%s by attempt %d", g.Key, n), nil
}))

// opens waits for a gate, and reports whether it has opened before ctx was done.
func opens(ctx context.Context, file string) bool {
	for {
		if _, err := os.Stat(file); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// did says "did KEY", and returns it.
var did = register(temporal.Func("did", func(_ context.Context, key string) (string, error) {
	say("did %s", key)
	return key, nil
}))

// newGate returns the path of a gate that is closed.
func newGate(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "gate")
}

func openGate(t *testing.T, file string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
}

// owns is the body of roles that own a scope on the queue TRAIGO_TEST_QUEUE. It says "scope ID".
func owns(ctx context.Context, body func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error, opts ...temporal.OpenOption) error {
	e, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if d, err := time.ParseDuration(os.Getenv("TRAIGO_TEST_LEASE")); err == nil {
		opts = append(opts, temporal.Lease(d))
	}
	if id := os.Getenv("TRAIGO_TEST_ID"); id != "" {
		opts = append(opts, temporal.Resume(id))
	}
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, os.Getenv("TRAIGO_TEST_QUEUE"), opts...)
		if err != nil {
			return err
		}
		say("scope %s", r.ID())
		return body(ctx, s, r)
	})
}

// owner is a process with a scope in which six tasks hold. It says "called KEY HOW" when one of its
// calls has returned.
var owner = role("owner", func(ctx context.Context) error {
	return owns(ctx, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		for i := range 6 {
			s.Spawn(func(ctx context.Context) error {
				_, err := holds.Run(ctx, r, fmt.Sprint(i))
				say("called %d lease=%t %v", i, errors.Is(err, temporal.ErrLease), err)
				return err
			})
		}
		return nil
	})
})

// startOwner starts an owner, and returns it with the ID of its scope.
func startOwner(t *testing.T, role, queue string, lease time.Duration, env ...string) (p *process, id string) {
	t.Helper()
	p = start(t, role, append([]string{"TRAIGO_TEST_QUEUE=" + queue, "TRAIGO_TEST_LEASE=" + lease.String()}, env...)...)
	_, err := fmt.Sscanf(p.await(t, "scope "), "scope %s", &id)
	require.NoError(t, err)
	return p, id
}

// statusOf returns the status of a workflow.
func statusOf(t *testing.T, e *temporal.Engine, id string) enumspb.WorkflowExecutionStatus {
	t.Helper()
	d, err := e.Client().DescribeWorkflowExecution(context.WithoutCancel(t.Context()), id, "")
	if err != nil {
		t.Logf("%s: %v", id, err)
		return enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
	}
	return d.GetWorkflowExecutionInfo().GetStatus()
}

// closes waits until a workflow has closed.
func closes(t *testing.T, e *temporal.Engine, id string) {
	t.Helper()
	eventually(t, func() bool {
		s := statusOf(t, e, id)
		return s != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && s != enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
	}, "workflow %s is still open", id)
}

// saidBy returns what all of them have said that begins with prefix.
func saidBy(prefix string, all ...*process) (lines []string) {
	for _, p := range all {
		lines = append(lines, p.said(prefix)...)
	}
	return lines
}

// awaits waits until n lines that begin with prefix were said by all of them together.
func awaits(t *testing.T, n int, prefix string, all ...*process) {
	t.Helper()
	eventually(t, func() bool { return len(saidBy(prefix, all...)) >= n }, "not %d lines %q", n, prefix)
}

// passes waits for time to pass: where a process or a server is frozen, there is nothing else to wait
// for.
func passes(t *testing.T, d time.Duration) {
	t.Helper()
	begun := time.Now()
	eventually(t, func() bool { return time.Since(begun) >= d }, "time does not pass")
}

// renewed waits until the engine has heard for d from an owner that holds the lease of a scope.
func renewed(t *testing.T, e *temporal.Engine, id string, d time.Duration) {
	t.Helper()
	eventually(t, func() bool {
		answer, err := e.Client().DescribeWorkflowExecution(t.Context(), id, "")
		if err != nil || len(answer.GetPendingActivities()) == 0 {
			return false
		}
		hold := answer.GetPendingActivities()[0]
		return hold.GetLastHeartbeatTime() != nil && hold.GetLastHeartbeatTime().AsTime().Sub(hold.GetLastStartedTime().AsTime()) > d
	}, "the lease of %s is not renewed", id)
}

// leases returns the option for a lease.
func leases(d time.Duration) temporal.OpenOption { return temporal.Lease(d) }

// within runs body in a scope with a Remote, and returns the outcome.
func within(t *testing.T, e *temporal.Engine, queue string, body func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error, opts ...temporal.OpenOption) error {
	t.Helper()
	return traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, opts...)
		if err != nil {
			return err
		}
		return body(ctx, s, r)
	})
}

// returned is what a call has returned.
type returned struct {
	out string
	err error
}

// calls runs fn in a goroutine.
func calls(fn func() (string, error)) <-chan returned {
	c := make(chan returned, 1)
	go func() {
		out, err := fn()
		c <- returned{out, err}
	}()
	return c
}

// receive waits for what a call returns.
func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.FailNow(t, "a call has not returned: "+what)
	}
	return v
}

// holder returns the first of them that has said something that begins with prefix.
func holder(t *testing.T, prefix string, all ...*process) (it *process, others []*process) {
	t.Helper()
	eventually(t, func() bool {
		it, others = nil, nil
		for _, p := range all {
			if it == nil && len(p.said(prefix)) > 0 {
				it = p
			} else {
				others = append(others, p)
			}
		}
		return it != nil
	}, "nobody has said %q", prefix)
	return it, others
}

const (
	sigkill = syscall.SIGKILL
	sigstop = syscall.SIGSTOP
	sigcont = syscall.SIGCONT
	sigterm = syscall.SIGTERM
)
