package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Cancellations that race with the beginning of a function. Owner and worker are one process, so
// what happens before what can be told.

// A race has the calls whose functions must not run any more.
type race struct {
	mu       sync.Mutex
	running  map[string]int
	returned map[string]bool
	begun    int
	wrong    []string
}

func newRace() *race { return &race{running: map[string]int{}, returned: map[string]bool{}} }

// function returns one that runs for some time, and takes a little to end when it is canceled.
func (r *race) function() *temporal.Function[string, string] {
	return temporal.Func("races", func(ctx context.Context, key string) (string, error) {
		r.mu.Lock()
		r.begun++
		r.running[key]++
		if r.returned[key] {
			r.wrong = append(r.wrong, key+" has begun after its call had returned")
		}
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.running[key]--
			r.mu.Unlock()
		}()
		select {
		case <-ctx.Done():
			a := temporal.Current(ctx) // to ask the engine takes a little
			_, _ = a.Engine().Client().DescribeWorkflowExecution(context.WithoutCancel(ctx), a.Task, "")
			return "", context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
			return key, nil
		}
	})
}

// hasReturned is called when a call has.
func (r *race) hasReturned(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returned[key] = true
	if r.running[key] > 0 {
		r.wrong = append(r.wrong, key+" runs after its call had returned")
	}
}

// check reports what has gone wrong, and how many functions have begun.
func (r *race) check(t *testing.T) (begun int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.wrong)
	return r.begun
}

// A delay is a random one that is as often too short as too long for what it is to end.
type delay struct {
	mu    sync.Mutex
	scale time.Duration
}

func (d *delay) next() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(rand.Int64N(int64(2 * d.scale)))
}

// was is told how it was.
func (d *delay) was(tooShort bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if tooShort {
		d.scale += d.scale / 8
	} else {
		d.scale -= d.scale / 8
	}
}

// A call returns when its function has, or when that will never begin, whenever it is canceled.
func TestCancelRacesWithBegin(t *testing.T) {
	t.Parallel()
	const tries = 100
	queue := queueOf(t)
	e := connect(t)
	races := newRace()
	f := races.function()
	work := traigo.New(t.Context())
	defer func() { _ = work.Close() }()
	work.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
	var canceled, done atomic.Int32
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := f.Run(ctx, r, "first")
		require.NoError(t, err)
		random := delay{scale: 100 * time.Millisecond}
		var all sync.WaitGroup
		turn := make(chan struct{}, 4)
		for i := range tries {
			turn <- struct{}{}
			all.Go(func() {
				defer func() { <-turn }()
				alone, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				var after time.Duration
				if i%4 > 0 {
					after = random.next()
				}
				defer time.AfterFunc(after, func() { cancel(errStop) }).Stop()
				key := fmt.Sprint(i)
				out, err := f.Run(alone, r, key)
				races.hasReturned(key)
				random.was(err != nil)
				if errors.Is(err, errStop) {
					canceled.Add(1)
				} else if done.Add(1); err != nil || out != key {
					t.Errorf("call %s has returned %q, %v", key, out, err)
				}
			})
		}
		all.Wait()
		return nil
	}, leases(long)))
	begun := races.check(t)
	t.Logf("of %d calls %d were canceled, and %d of their functions had begun", tries, canceled.Load(), begun-1-int(done.Load()))
	require.Positive(t, canceled.Load())
	require.Positive(t, done.Load())
}

// The same of whole scopes.
func TestScopeEndRacesWithBegin(t *testing.T) {
	t.Parallel()
	const scopes, each = 20, 5
	queue := queueOf(t)
	e := connect(t)
	races := newRace()
	f := races.function()
	work := traigo.New(t.Context())
	defer func() { _ = work.Close() }()
	work.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
	random := delay{scale: 300 * time.Millisecond}
	var ids []string
	for i := range scopes {
		before := races.check(t)
		err := within(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
			ids = append(ids, r.ID())
			for j := range each {
				key := fmt.Sprint(i, " ", j)
				s.Spawn(func(ctx context.Context) error {
					defer races.hasReturned(key)
					_, err := f.Run(ctx, r, key)
					return err
				})
			}
			time.AfterFunc(random.next(), func() { s.Cancel(errStop) })
			<-ctx.Done()
			return nil
		}, leases(long))
		require.ErrorIs(t, err, errStop)
		random.was(races.check(t)-before < each/2)
	}
	for _, id := range ids {
		closes(t, e, id)
		for j := range each {
			if task := fmt.Sprintf("%s/races-%d", id, j+1); statusOf(t, e, task) != 0 {
				closes(t, e, task)
			}
		}
	}
	begun := races.check(t)
	t.Logf("%d of %d functions have begun", begun, scopes*each)
	require.Positive(t, begun)
	require.Less(t, begun, scopes*each)
}

// A call that is canceled while the engine does not answer may have been started, or may be
// later: its function does not begin after it has returned.
func TestCancelWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	s := ownServer(t)
	e := at(t, s)
	races := newRace()
	f := races.function()
	work := traigo.New(t.Context())
	defer func() { _ = work.Close() }()
	work.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := f.Run(ctx, r, "first")
		require.NoError(t, err)
		for i := range 4 {
			alone, cancel := context.WithCancelCause(ctx)
			s.signal(sigstop)
			var all sync.WaitGroup
			for j := range 10 {
				all.Go(func() {
					key := fmt.Sprint(i, " ", j)
					out, err := f.Run(alone, r, key)
					races.hasReturned(key)
					if !errors.Is(err, errStop) && (err != nil || out != key) { // the function may have been done before it could hear
						t.Errorf("call %s has returned %q, %v", key, out, err)
					}
				})
			}
			passes(t, 100*time.Millisecond) // most requests are on their way
			cancel(errStop)
			passes(t, time.Duration(i)*700*time.Millisecond) // for some it is too late then
			s.signal(sigcont)
			all.Wait()
		}
		_, err = f.Run(ctx, r, "last") // what was started before has its turn before
		return err
	}, leases(long)))
	races.check(t)
}
