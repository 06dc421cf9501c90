package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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
			time.Sleep(5 * time.Millisecond)
			return "", context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
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

// A call returns when its function has, or when that will never begin, whenever it is canceled.
func TestCancelRacesWithBegin(t *testing.T) {
	t.Parallel()
	const tries = 200
	queue := queueOf(t)
	e := connect(t)
	races := newRace()
	f := races.function()
	work := traigo.New(t.Context())
	defer work.Close()
	work.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
	canceled := 0
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := f.Run(ctx, r, "first")
		require.NoError(t, err)
		var all sync.WaitGroup
		var mu sync.Mutex
		turn := make(chan struct{}, 8)
		for i := range tries {
			turn <- struct{}{}
			all.Go(func() {
				defer func() { <-turn }()
				alone, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				delay := time.Duration(rand.IntN(150)) * time.Millisecond
				if i%4 == 0 {
					delay = 0
				}
				timer := time.AfterFunc(delay, func() { cancel(errStop) })
				defer timer.Stop()
				key := fmt.Sprint(i)
				out, err := f.Run(alone, r, key)
				races.hasReturned(key)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, errStop) {
					canceled++
				} else if err != nil || out != key {
					t.Errorf("call %s has returned %q, %v", key, out, err)
				}
			})
		}
		all.Wait()
		return nil
	}, leases(long)))
	begun := races.check(t)
	t.Logf("%d of %d were canceled, %d have begun", canceled, tries, begun)
	require.Positive(t, canceled)
	require.Greater(t, begun, 1)
}

// The same of whole scopes.
func TestScopeEndRacesWithBegin(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connect(t)
	races := newRace()
	f := races.function()
	work := traigo.New(t.Context())
	defer work.Close()
	work.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, f) })
	var ids []string
	for i := range 20 {
		err := within(t, e, queue, func(_ context.Context, s *traigo.Scope, r *temporal.Remote) error {
			ids = append(ids, r.ID())
			for j := range 5 {
				key := fmt.Sprint(i, " ", j)
				s.Spawn(func(ctx context.Context) error {
					defer races.hasReturned(key)
					_, err := f.Run(ctx, r, key)
					return err
				})
			}
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			s.Cancel(errStop)
			return nil
		}, leases(long))
		require.ErrorIs(t, err, errStop)
	}
	t.Logf("%d of 100 have begun", races.check(t))
	for _, id := range ids {
		closes(t, e, id)
	}
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
	defer work.Close()
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
					_, err := f.Run(alone, r, key)
					races.hasReturned(key)
					if !errors.Is(err, errStop) {
						t.Errorf("call %s has returned %v", key, err)
					}
				})
			}
			time.Sleep(100 * time.Millisecond) // most requests are on their way
			cancel(errStop)
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
			s.signal(sigcont)
			all.Wait()
		}
		_, err = f.Run(ctx, r, "last") // what was started before has its turn before
		return err
	}, leases(long)))
	races.check(t)
}
