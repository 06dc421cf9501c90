package temporal_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Remote functions that are owners themselves.

// An errand is the argument of nests: a queue for the inner call, and its key.
type errand struct{ Queue, Key string }

// nests opens a Remote, and calls holds. It says "inner ID".
var nests = register(temporal.Func("nests", func(ctx context.Context, to errand) (out string, err error) {
	a := temporal.Current(ctx)
	say("began outer attempt %d", a.Number)
	defer func() { say("ended outer %s", how(ctx)) }()
	return out, traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, a.Engine(), to.Queue, temporal.Lease(leaseOf))
		if err != nil {
			return err
		}
		say("inner %s", r.ID())
		out, err = holds.Run(ctx, r, to.Key)
		return err
	})
}))

// If the worker of a nested owner is killed, what hangs on it ends with ErrLease, and the next
// attempt opens anew.
func TestKilledNestedOwner(t *testing.T) {
	t.Parallel()
	outer, inner := queueOf(t), queueOf(t)+"-inner"
	one, two := startWorker(t, outer), startWorker(t, outer)
	below := startWorker(t, inner)
	e := connect(t)
	err := within(t, e, outer, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		nests.Spawn(r, errand{inner, "a"})
		first, others := holder(t, "began outer attempt 1", one, two)
		below.await(t, "began a")
		first.signal(sigkill)
		require.Contains(t, below.await(t, "ended a"), "lease=true")
		others[0].await(t, "began outer attempt 2")
		others[0].await(t, "inner ")
		awaits(t, 2, "began a", below)
		ids := saidBy("inner ", one, two)
		require.Len(t, ids, 2)
		require.NotEqual(t, ids[0], ids[1])
		closes(t, e, strings.TrimPrefix(first.said("inner ")[0], "inner "))

		// A cause goes through all levels.
		s.Cancel(errStop)
		awaits(t, 2, "ended a", below)
		last := below.said("ended a")[1]
		require.Contains(t, last, "lease=false")
		require.Contains(t, last, "stop")
		others[0].await(t, "ended outer")
		closes(t, e, strings.TrimPrefix(others[0].said("inner ")[0], "inner "))
		return nil
	}, leases(leaseOf))
	require.ErrorIs(t, err, errStop)
}

// If the outer owner is killed, everything ends.
func TestKilledOwnerOfNested(t *testing.T) {
	t.Parallel()
	outer, inner := queueOf(t), queueOf(t)+"-inner"
	one, below := startWorker(t, outer), startWorker(t, inner)
	e := connect(t)
	o, id := startOwner(t, nesting, outer, leaseOf, "TRAIGO_TEST_INNER="+inner)
	below.await(t, "began a")
	o.signal(sigkill)
	require.Contains(t, below.await(t, "ended a"), "lease=true", "that of the outermost owner")
	require.Contains(t, one.await(t, "ended outer"), "lease=true")
	closes(t, e, id)
	closes(t, e, strings.TrimPrefix(one.await(t, "inner "), "inner "))
	require.Len(t, one.said("began outer"), 1)
}

// If the attempt ends in another way, so does what hangs on it: here its worker is frozen, and
// goes on when the task is at another one.
func TestFrozenNestedOwner(t *testing.T) {
	t.Parallel()
	outer, inner := queueOf(t), queueOf(t)+"-inner"
	one, two := startWorker(t, outer), startWorker(t, outer)
	below := startWorker(t, inner)
	e := connect(t)
	err := within(t, e, outer, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
		nests.Spawn(r, errand{inner, "a"})
		first, others := holder(t, "began outer attempt 1", one, two)
		below.await(t, "began a")
		first.signal(sigstop)
		require.Contains(t, below.await(t, "ended a"), "lease=true")
		others[0].await(t, "began outer")
		first.signal(sigcont)
		require.Contains(t, first.await(t, "ended outer"), "lease=true")
		awaits(t, 2, "began a", below)
		s.Cancel(errStop)
		return nil
	}, leases(leaseOf))
	require.ErrorIs(t, err, errStop)
	eventually(t, func() bool { return len(below.said("began a")) == len(below.said("ended a")) }, "something is left")
}

// nesting is an owner of a task that is an owner.
var nesting = role("nesting", func(ctx context.Context) error {
	return owns(ctx, func(_ context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		nests.Spawn(r, errand{os.Getenv("TRAIGO_TEST_INNER"), "a"})
		return nil
	})
})
