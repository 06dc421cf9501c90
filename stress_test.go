package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// Random trees on the real scheduler and clock. observe_test.go runs them in bubbles, many
// more of them. A failure names the seed.
func TestStressRandomTrees(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 50
	}
	if more, err := strconv.Atoi(os.Getenv("TRAIGO_SEEDS")); err == nil { // for a long run by hand
		runs = more
	}
	quiet := traigo.Logger(slog.New(slog.DiscardHandler))
	for seed := range runs {
		p, tr := newProgram(uint64(seed), 60), newTrace()
		_ = p.run(context.Background(), quiet, traigo.Observe(tr))
		require.NoError(t, p.check(), "seed %d", seed)
		require.Empty(t, tr.check(), "seed %d", seed)
	}
}

// Goroutines spawn, fork, cancel and take Snapshots at the same time. Every task that was
// accepted runs, none that was refused does, and the scope ends.
func TestStressSpawnAgainstCancel(t *testing.T) {
	rounds := 100
	if testing.Short() || raceEnabled {
		rounds = 20
	}
	for range rounds {
		var ran, accepted atomic.Int64
		s := traigo.New(context.Background())
		var spawners sync.WaitGroup
		for range 4 {
			spawners.Go(func() {
				for {
					_, ok := s.TrySpawn(func(context.Context) error { ran.Add(1); return nil })
					if !ok {
						return
					}
					accepted.Add(1)
					_ = s.Fork(traigo.Name("f")).Close()
				}
			})
		}
		spawners.Go(func() {
			_ = s.Snapshot().String()
			s.Cancel(nil)
		})
		spawners.Wait()
		require.NoError(t, s.Wait())
		require.NoError(t, s.CheckInvariants())
		require.Equal(t, accepted.Load(), ran.Load())
	}
}

// A fork that has been waited for is not in a Snapshot any more.
func TestStressClosedForksAreNotInTheSnapshot(t *testing.T) {
	parent := traigo.New(context.Background())
	for range 2000 {
		fork := parent.Fork()
		fork.Spawn(succeed)
		require.NoError(t, fork.Wait())
		require.Empty(t, parent.Snapshot().Scopes)
	}
	require.NoError(t, parent.Close())
}

// Run leaves no goroutines. Those that are about to exit have a while to do so.
func TestStressLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for seed := range 20 {
		_ = newProgram(uint64(seed), 60).run(context.Background(), traigo.Logger(slog.New(slog.DiscardHandler)))
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, now:\n%s", before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// A program is a random tree of scopes and tasks, the same for the same seed, but for the
// order in which the scheduler runs it. It counts the functions that are accepted and
// those that have run, which have to be the same.
type program struct {
	mu       sync.Mutex
	rand     *rand.Rand
	budget   int // scopes and tasks still to be made
	accepted atomic.Int64
	entered  atomic.Int64
	left     atomic.Int64
	scopes   []*traigo.Scope
	faults   []error
}

var errRandom = errors.New("random failure")

func newProgram(seed uint64, budget int) *program {
	return &program{rand: rand.New(rand.NewPCG(seed, 1)), budget: budget}
}

func (p *program) n(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

func (p *program) spend() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget--
	return p.budget >= 0
}

func (p *program) know(s *traigo.Scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scopes = append(p.scopes, s)
}

func (p *program) any() *traigo.Scope {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scopes[p.rand.IntN(len(p.scopes))]
}

func (p *program) fault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, err)
}

// run opens the root. The tasks that wait to be canceled end by its timeout.
func (p *program) run(ctx context.Context, opts ...traigo.ScopeOption) error {
	return traigo.Run(ctx, p.body, append(opts, traigo.PanicAsError(), traigo.Timeout(20*time.Millisecond))...)
}

func (p *program) body(ctx context.Context, s *traigo.Scope) error {
	p.know(s)
	for range 1 + p.n(4) {
		p.step(ctx, s)
	}
	return p.outcome(ctx)
}

// step does one thing that a user of s might do.
func (p *program) step(ctx context.Context, s *traigo.Scope) {
	if !p.spend() {
		return
	}
	switch p.n(17) {
	case 0, 1, 2, 3, 4:
		p.spawn(s)
	case 5:
		f := traigo.Async(s, func(ctx context.Context) (int, error) { return 1, p.task(ctx) }, p.taskOptions()...)
		p.count(f.Task())
		if p.n(2) == 0 {
			if v, err := f.Await(ctx); err == nil && v != 1 {
				p.fault(fmt.Errorf("awaited %d", v))
			}
		}
	case 6:
		t, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
			p.accepted.Add(1)
			if p.n(2) == 0 {
				ready()
			}
			return p.task(ctx)
		}, p.taskOptions()...)
		if (t == nil) == (err == nil) {
			p.fault(fmt.Errorf("Start returned %v, %w", t, err))
		}
	case 7, 8:
		fork := s.Fork(p.scopeOptions()...)
		p.know(fork)
		for range p.n(3) {
			p.step(ctx, fork)
		}
		switch p.n(4) {
		case 0:
			_ = fork.Close()
		case 1:
			fork.Cancel(errRandom)
		default:
			fork.Finalize()
		}
	case 9:
		own := traigo.New(ctx, p.scopeOptions()...)
		p.know(own)
		p.spawn(own)
		if p.n(2) == 0 {
			_ = own.Close()
		}
	case 10:
		_ = traigo.Run(ctx, p.body, p.scopeOptions()...)
	case 11:
		_ = p.nap(ctx)
	case 12:
		if t := traigo.CurrentTask(ctx); t != nil && p.n(3) == 0 {
			t.Cancel(errRandom)
		}
	case 13:
		switch p.n(6) {
		case 0:
			p.any().Cancel(nil)
		case 1:
			p.any().Cancel(errRandom)
		case 2:
			p.any().Finalize()
		case 3:
			p.any().SetTimeout(time.Duration(1+p.n(5)) * time.Millisecond)
		default:
			_ = p.any().Snapshot().String()
		}
	case 14:
		derived, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_ = traigo.Run(derived, p.body, p.scopeOptions()...)
	case 15:
		_, _ = traigo.MoveOnAfter(ctx, time.Duration(p.n(3))*time.Millisecond, func(ctx context.Context) error {
			p.step(ctx, s)
			return p.nap(ctx)
		})
	case 16:
		names := []string{"Map", "ForEach", "AsCompleted", "Ordered"}
		_ = itemJoins[names[p.n(len(names))]](ctx, upTo(p.n(9)), p.item, p.scopeOptions()...)
	}
}

// item does what a task does, or nothing at all.
func (p *program) item(ctx context.Context, i int) error {
	if i%3 < 2 {
		return nil
	}
	p.accepted.Add(1)
	return p.task(ctx)
}

func (p *program) spawn(s *traigo.Scope) {
	if p.n(4) == 0 {
		if t, ok := s.TrySpawn(p.task, p.taskOptions()...); ok {
			p.count(t)
		}
		return
	}
	p.count(s.Spawn(p.task, p.taskOptions()...))
}

// count counts t as accepted, unless it was refused.
func (p *program) count(t *traigo.Task) {
	if !errors.Is(t.Err(), traigo.ErrRefused) || t.ID() != 0 {
		p.accepted.Add(1)
	}
}

func (p *program) task(ctx context.Context) error {
	p.entered.Add(1)
	defer p.left.Add(1)
	s := traigo.Current(ctx)
	if err := s.CheckInvariants(); err != nil {
		p.fault(err)
	}
	for range p.n(3) {
		p.step(ctx, s)
	}
	return p.outcome(ctx)
}

func (p *program) nap(ctx context.Context) error {
	return traigo.Sleep(ctx, time.Duration(p.n(4))*time.Millisecond)
}

// outcome ends a task or body in one of the ways that there are.
func (p *program) outcome(ctx context.Context) error {
	switch p.n(12) {
	case 0:
		return errRandom
	case 1:
		panic("random panic")
	case 2:
		if traigo.CurrentTask(ctx) != nil && traigo.CurrentTask(ctx).Scope() == traigo.Current(ctx) {
			runtime.Goexit()
		}
		return nil
	case 3, 4:
		<-ctx.Done()
		return ctx.Err()
	case 5:
		<-ctx.Done()
		return fmt.Errorf("cleaning up: %w", errRandom)
	case 6, 7:
		return p.nap(ctx)
	default:
		return nil
	}
}

func (p *program) taskOptions() []traigo.TaskOption {
	var opts []traigo.TaskOption
	if p.n(4) == 0 {
		opts = append(opts, traigo.Bubble(p.n(2) == 0))
	}
	if p.n(6) == 0 {
		opts = append(opts, traigo.Master(true))
	}
	if p.n(4) == 0 {
		opts = append(opts, traigo.Awaited(false))
	}
	if p.n(6) == 0 {
		opts = append(opts, traigo.Timeout(time.Duration(p.n(4))*time.Millisecond))
	}
	if p.n(6) == 0 {
		opts = append(opts, traigo.OnDone(func(error) {}))
	}
	if p.n(6) == 0 {
		opts = append(opts, traigo.Dedicated())
	}
	if p.n(6) == 0 {
		opts = append(opts, traigo.AdmitBefore(p.any().Context()))
	}
	return opts
}

func (p *program) scopeOptions() []traigo.ScopeOption {
	var opts []traigo.ScopeOption
	if p.n(4) == 0 {
		opts = append(opts, traigo.Timeout(time.Duration(p.n(5))*time.Millisecond))
	}
	if p.n(4) == 0 {
		opts = append(opts, traigo.Limit(1+p.n(3)))
	}
	return opts
}

// check is called when run has returned.
func (p *program) check() error {
	for _, s := range p.scopes {
		if err := s.CheckInvariants(); err != nil {
			p.fault(fmt.Errorf("scope %d: %w", s.ID(), err))
		}
		if s.State() != traigo.Closed {
			p.fault(fmt.Errorf("scope %d is %v after Run has returned", s.ID(), s.State()))
		}
		select {
		case <-s.Done():
		default:
			p.fault(fmt.Errorf("scope %d is not done", s.ID()))
		}
		if s.Context().Err() == nil {
			p.fault(fmt.Errorf("the context of scope %d is alive", s.ID()))
		}
	}
	accepted, entered, left := p.accepted.Load(), p.entered.Load(), p.left.Load()
	if accepted != entered || entered != left {
		p.fault(fmt.Errorf("accepted %d, run %d, ended %d", accepted, entered, left))
	}
	return errors.Join(p.faults...)
}
