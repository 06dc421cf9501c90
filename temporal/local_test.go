package temporal_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Workers in the process of the test: what they are given passes the engine as everything does, and
// their functions can be closures.

// longLease is a lease within which no heartbeat falls due: what happens in a test with it happens
// without one.
const longLease = time.Hour

// identity makes a process known by a name.
func identity(name string) func(*client.Options) {
	return func(o *client.Options) { o.Identity = name }
}

// connectWith connects, with options.
func connectWith(t *testing.T, with ...func(*client.Options)) *temporal.Engine {
	t.Helper()
	e, err := temporal.Connect(t.Context(), with...)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// workHere runs a worker with the identity "here", in a scope that is returned, until the end of the test.
func workHere(t *testing.T, queue string, with ...temporal.WorkOption) *traigo.Scope {
	t.Helper()
	return workWith(t, connectWith(t, identity("here")), queue, with...)
}

func workWith(t *testing.T, e *temporal.Engine, queue string, with ...temporal.WorkOption) *traigo.Scope {
	t.Helper()
	s := traigo.New(context.WithoutCancel(t.Context()), traigo.Name("worker process"))
	s.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, with...) })
	t.Cleanup(func() {
		s.Cancel(nil)
		assert.NoError(t, s.Close())
	})
	return s
}

// A remoteBody is the body of a scope that has a Remote.
type remoteBody func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error

// owning runs body in a scope "owner" whose Remote has a long lease.
func owning(t *testing.T, queue string, body remoteBody, opts ...traigo.ScopeOption) error {
	t.Helper()
	return owningWith(t, connect(t), queue, body, opts...)
}

func owningWith(t *testing.T, e *temporal.Engine, queue string, body remoteBody, opts ...traigo.ScopeOption) error {
	t.Helper()
	return traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		r, err := temporal.Open(s, e, queue, temporal.Lease(longLease))
		require.NoError(t, err)
		return body(ctx, s, r)
	}, append([]traigo.ScopeOption{traigo.Name("owner")}, opts...)...)
}

// A journal has what happened, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(entry string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// await waits for an entry.
func (j *journal) await(t *testing.T, entry string) {
	t.Helper()
	eventually(t, func() bool { return slices.Contains(j.all(), entry) }, "%q has not happened", entry)
}

// ended waits for the end of a task, and returns its error.
func ended(t *testing.T, task *traigo.Task) error {
	t.Helper()
	select {
	case <-task.Done():
	case <-time.After(patience):
		require.Fail(t, "the task has not ended", task.Path())
	}
	return task.Err()
}

// find returns the scopes of a snapshot, at any depth, whose names begin with prefix.
func find(shot traigo.Snapshot, prefix string) (all []traigo.Snapshot) {
	if strings.HasPrefix(shot.Name, prefix) {
		all = append(all, shot)
	}
	for _, below := range shot.Scopes {
		all = append(all, find(below, prefix)...)
	}
	return all
}

// waiting is a function that begins, waits for its context, and returns the cause.
func waiting(j *journal) *temporal.Function[string, string] {
	return temporal.Func("waiting", func(ctx context.Context, key string) (string, error) {
		j.add("begun " + key)
		<-ctx.Done()
		j.add("ended " + key)
		return "", context.Cause(ctx)
	})
}
