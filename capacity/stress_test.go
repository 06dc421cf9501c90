package capacity_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/capacity"
	"github.com/traigo/traigo/internal/hold"
)

// The test takes random steps in a bubble. After each step the Limiter must be in the state
// of a model without locks and goroutines. So no caller is overtaken, and no unit is lost.
func TestStressAgainstAModel(t *testing.T) {
	runs := 100
	if testing.Short() || raceEnabled {
		runs = 20
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	for run := range runs {
		synctest.Test(t, func(t *testing.T) {
			m := &model{rnd: rand.New(rand.NewPCG(seed, uint64(run)))}
			m.scope = traigo.New(t.Context(), traigo.Name("s"))
			defer func() { _ = m.scope.Close() }()
			for step := range 150 {
				m.step(t)
				synctest.Wait()
				m.check(t, fmt.Sprintf("seed %d, run %d, step %d", seed, run, step))
			}
			for len(m.holding) > 0 {
				m.release()
			}
			m.setLimit(maxUnits)
			for len(m.holding) > 0 {
				m.release()
			}
			synctest.Wait()
			m.check(t, fmt.Sprintf("seed %d, run %d, at the end", seed, run))
			require.Equal(t, capacity.Stats{Limit: maxUnits}, m.limiter.Stats(), "seed %d, run %d", seed, run)
		})
	}
}

const maxUnits = 6

// A model is a Limiter without locks and goroutines. It takes each step together with
// limiter.
type model struct {
	limiter capacity.Limiter
	scope   *traigo.Scope
	rnd     *rand.Rand

	limit, inUse     int
	all              []*taker
	waiting, holding []*taker
}

// A taker is a task that takes units, and then ends.
type taker struct {
	task     *traigo.Task
	units    int
	uses     int // how many releases there are to come
	canceled bool

	releases []func()        // one for each use; the task adds the first
	ctx      context.Context //nolint:containedctx // what Do gives to its function; nil for Acquire
	got      error           // what Acquire or Do has returned
}

func (m *model) step(t *testing.T) {
	switch m.rnd.IntN(10) {
	case 0, 1, 2:
		m.take()
	case 3, 4, 5:
		m.release()
	case 6:
		m.cancel()
		if m.rnd.IntN(2) == 0 {
			m.release() // at the same time
		}
	case 7:
		m.setLimit(m.rnd.IntN(maxUnits + 1))
	case 8:
		m.keep()
	case 9:
		n := 1 + m.rnd.IntN(maxUnits)
		release, ok := m.limiter.TryAcquire(n)
		require.Equal(t, len(m.waiting) == 0 && m.inUse+n <= m.limit, ok)
		if ok {
			release()
		}
	}
}

func (m *model) take() {
	k := &taker{units: 1 + m.rnd.IntN(maxUnits)}
	fn := func(ctx context.Context) error {
		release, err := m.limiter.Acquire(ctx, k.units)
		k.got = err
		if err == nil {
			k.releases = append(k.releases, release)
		}
		return nil
	}
	if m.rnd.IntN(2) == 0 {
		fn = func(ctx context.Context) error {
			k.got = m.limiter.Do(ctx, k.units, func(ctx context.Context) error {
				finish := make(chan struct{})
				k.ctx = ctx
				k.releases = append(k.releases, sync.OnceFunc(func() { close(finish) }))
				<-finish
				return nil
			})
			return nil
		}
	}
	k.task = m.scope.Spawn(fn, traigo.Name(fmt.Sprint(len(m.all))))
	m.all = append(m.all, k)
	m.waiting = append(m.waiting, k)
	m.admit()
}

func (m *model) admit() {
	for len(m.waiting) > 0 && m.inUse+m.waiting[0].units <= m.limit {
		k := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.holding = append(m.holding, k)
		m.inUse += k.units
		k.uses = 1
	}
}

// release ends one use of a holder. A second call of the same release has no effect.
func (m *model) release() {
	if len(m.holding) == 0 {
		return
	}
	synctest.Wait()
	k := m.holding[m.rnd.IntN(len(m.holding))]
	i := m.rnd.IntN(len(k.releases))
	for range 1 + m.rnd.IntN(2) {
		k.releases[i]()
	}
	k.releases = slices.Delete(k.releases, i, i+1)
	if k.uses--; k.uses == 0 {
		m.holding = slices.DeleteFunc(m.holding, func(other *taker) bool { return other == k })
		m.inUse -= k.units
		m.admit()
	}
}

func (m *model) cancel() {
	if len(m.waiting) == 0 {
		return
	}
	k := m.waiting[m.rnd.IntN(len(m.waiting))]
	k.task.Cancel(errBoom)
	k.canceled = true
	m.waiting = slices.DeleteFunc(m.waiting, func(other *taker) bool { return other == k })
	m.admit()
}

func (m *model) setLimit(n int) {
	m.limiter.SetLimit(n)
	m.limit = n
	m.admit()
}

// keep keeps what a Do has taken, also when that has returned, or has released it.
func (m *model) keep() {
	for _, k := range m.all {
		if k.ctx == nil || m.rnd.IntN(4) > 0 {
			continue
		}
		release := hold.Keep(k.ctx)
		if k.uses == 0 {
			release()
			continue
		}
		k.uses++
		k.releases = append(k.releases, release)
	}
}

func (m *model) check(t *testing.T, where string) {
	t.Helper()
	want := capacity.Stats{Limit: m.limit, InUse: m.inUse, Waiting: len(m.waiting)}
	for _, k := range m.holding {
		want.Holders = append(want.Holders, k.task.Path())
	}
	require.Equal(t, want, m.limiter.Stats(), where)
	for _, k := range m.all {
		require.Len(t, k.releases, k.uses, "%s: %s", where, k.task.Path())
		if k.canceled {
			require.ErrorIs(t, k.got, errBoom, "%s: %s", where, k.task.Path())
		} else {
			require.NoError(t, k.got, "%s: %s", where, k.task.Path())
		}
	}
}

// Eight goroutines take units on the real scheduler while the limit changes. The units in
// use are never more than the highest limit, and at the end all units are free.
func TestStressUnitsAreNeitherLostNorInvented(t *testing.T) {
	rounds := 2000
	if testing.Short() || raceEnabled {
		rounds = 300
	}
	for _, isResized := range []bool{false, true} {
		seed := rand.Uint64()
		t.Log("resized:", isResized, "seed:", seed)
		l := capacity.New(maxUnits)
		var use gauge
		var acquired, canceled atomic.Int64
		var workers sync.WaitGroup
		for worker := range 8 {
			rnd := rand.New(rand.NewPCG(seed, uint64(worker)))
			workers.Go(func() {
				for range rounds {
					if takeOnce(l, &use, rnd) == nil {
						acquired.Add(1)
					} else {
						canceled.Add(1)
					}
				}
			})
		}
		var stop atomic.Bool
		var resizer sync.WaitGroup
		resizer.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 100))
			for isResized && !stop.Load() {
				l.SetLimit(rnd.IntN(maxUnits + 1))
				_ = l.Stats()
				runtime.Gosched()
			}
			l.SetLimit(maxUnits)
		})
		workers.Wait()
		stop.Store(true)
		resizer.Wait()
		release, err := l.Acquire(context.Background(), maxUnits) // when the calls that were abandoned have ended
		require.NoError(t, err)
		release()
		require.LessOrEqual(t, use.most.Load(), int64(maxUnits), "seed %d", seed)
		require.Equal(t, capacity.Stats{Limit: maxUnits}, l.Stats(), "seed %d", seed)
		t.Log("acquired", acquired.Load(), "canceled", canceled.Load(), "most in use", use.most.Load())
	}
}

// takeOnce takes units in one of the ways there are. Sometimes its context ends meanwhile.
func takeOnce(l *capacity.Limiter, use *gauge, rnd *rand.Rand) error {
	n := 1 + rnd.IntN(maxUnits)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if rnd.IntN(2) == 0 {
		go cancel(errBoom)
	}
	work := func() { use.during(n, runtime.Gosched) }
	switch rnd.IntN(4) {
	case 0:
		release, ok := l.TryAcquire(n)
		if !ok {
			return errBoom
		}
		work()
		release()
		return nil
	case 1:
		release, err := l.Acquire(ctx, n)
		if err != nil {
			return err
		}
		work()
		go release()
		release()
		return nil
	case 2:
		return l.Do(ctx, n, func(context.Context) error { work(); return nil })
	default:
		// If ctx ends the call is abandoned, and keeps the units until it has ended.
		return l.Do(ctx, n, traigo.Blocking(func() error { work(); return nil }))
	}
}

// Callers get the unit in the order of their calls, on the real scheduler too, while the
// contexts of some of them end.
func TestStressOrderOnTheRealScheduler(t *testing.T) {
	rounds := 200
	if testing.Short() || raceEnabled {
		rounds = 30
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		l := capacity.New(1)
		first := taken(t, l, 1)
		var served, stayed []int
		var callers sync.WaitGroup
		var cancels []func()
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			callers.Go(func() {
				if release, err := l.Acquire(ctx, 1); err == nil {
					served = append(served, i) // one at a time
					release()
				}
			})
			for l.Stats().Waiting <= i {
				runtime.Gosched()
			}
			if rnd.IntN(4) == 0 {
				cancels = append(cancels, cancel)
			} else {
				stayed = append(stayed, i)
			}
		}
		for _, cancel := range cancels {
			go cancel()
		}
		first()
		callers.Wait()
		require.True(t, slices.IsSorted(served), "seed %d: %v", seed, served)
		for _, i := range stayed {
			require.Contains(t, served, i, "seed %d", seed)
		}
		require.Equal(t, capacity.Stats{Limit: 1}, l.Stats(), "seed %d", seed)
	}
}
