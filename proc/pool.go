package proc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/traigo/traigo"
)

// A Pool has the worker processes that the calls under a scope share. See [Open].
//
// A call takes a place, of which there are as many as workers are allowed, and then a worker:
// the one that became idle last, or a new one. So there are never more workers at work than
// places, and never more alive than places and those that are leaving.
type Pool struct {
	options
	scope *traigo.Scope // "pool"; nil for the pool of calls that have none

	mu       sync.Mutex
	isEnded  bool      // end was called: calls are refused, and no worker becomes idle
	busy     int       // places that are taken; ≤ limit
	waiting  []*ticket // calls that wait for a place, in the order of arrival
	idle     []*worker // that which became idle last is the last one
	workers  []*worker // alive, or so it seems
	counters counters
}

type counters struct{ started, retired, broken, killed, calls uint64 }

// A ticket is a call that waits for a place.
type ticket struct {
	ready   chan struct{} // closed when the wait is over
	isTaken bool          // it has a place
}

// Open opens a pool of worker processes for the scope s and all that are below it. Calls
// there use it, unless a pool was opened further down, or later in s. A worker is started
// when a call finds none that is idle.
//
// The pool is a scope below s, and ends when s does. Then calls are refused, those that wait
// too, idle workers leave, and those that run go on to the end of their job: their own
// context says when. When s is closed, none of the processes exists. To end a pool earlier,
// open it in a fork. Open panics if s or an option is nil.
func Open(s *traigo.Scope, opts ...Option) *Pool {
	if s == nil {
		panic("traigo: proc.Open: the scope is nil")
	}
	p := &Pool{options: newOptions("Open", opts)}
	p.scope = traigo.New(s.Context(), traigo.Name("pool"))
	pools.add(s, p)
	context.AfterFunc(p.scope.Context(), p.end)
	return p
}

// With returns a context under which calls use p. It counts as if p were opened just inside
// the scope that ctx carries: a pool that is opened further down takes precedence. If a
// context carries no scope, With alone says which pool it is under. With panics if ctx or p
// is nil.
func With(ctx context.Context, p *Pool) context.Context {
	if ctx == nil || p == nil {
		panic("traigo: proc.With: the context or the pool is nil")
	}
	return context.WithValue(ctx, poolKey{}, &with{p, traigo.Current(ctx), withOf(ctx)})
}

type poolKey struct{}

// A with is a call of With.
type with struct {
	pool  *Pool
	scope *traigo.Scope // in which it was called; nil for none
	outer *with
}

func withOf(ctx context.Context) *with {
	w, _ := ctx.Value(poolKey{}).(*with)
	return w
}

// pools has the pools of each scope, in the order of opening.
var pools = poolTable{of: map[*traigo.Scope][]*Pool{}}

type poolTable struct {
	mu sync.Mutex
	of map[*traigo.Scope][]*Pool
}

func (t *poolTable) add(s *traigo.Scope, p *Pool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[s] = append(t.of[s], p); len(t.of[s]) > 1 {
		return
	}
	go func() {
		<-s.Done() // until then calls are to find its pools, and be refused
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.of, s)
	}()
}

// poolOf returns the pool that calls under ctx use.
func poolOf(ctx context.Context) *Pool {
	w, s := withOf(ctx), traigo.Current(ctx)
	pools.mu.Lock()
	defer pools.mu.Unlock()
	for ; s != nil; s = s.Parent() {
		for v := w; v != nil; v = v.outer {
			if v.scope == s {
				return v.pool
			}
		}
		if all := pools.of[s]; len(all) > 0 {
			return all[len(all)-1]
		}
	}
	if w != nil {
		return w.pool // of a context that carries no scope, or whose values were taken elsewhere
	}
	return single
}

// single is the pool of calls that are under none. Its workers have one job each.
var single = &Pool{options: newOptions("", nil)}

// places returns how many calls may run at once.
func (p *Pool) places() int {
	if p.scope == nil {
		return runtime.GOMAXPROCS(0) // which may change
	}
	return p.limit
}

// enter takes a place, and waits for one if none is free. Who came first gets it first.
func (p *Pool) enter(ctx context.Context) error {
	if p.scope != nil && p.scope.Context().Err() != nil { // end may be called a little later
		return p.refusal()
	}
	p.mu.Lock()
	if p.isEnded {
		p.mu.Unlock()
		return p.refusal()
	}
	if p.busy < p.places() && len(p.waiting) == 0 {
		p.busy++
		p.mu.Unlock()
		return nil
	}
	t := &ticket{ready: make(chan struct{})}
	p.waiting = append(p.waiting, t)
	p.mu.Unlock()
	p.await(ctx, t)
	p.mu.Lock()
	isTaken := t.isTaken
	if !isTaken {
		p.waiting = slices.DeleteFunc(p.waiting, func(o *ticket) bool { return o == t })
	}
	p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		if isTaken {
			p.exit()
		}
		return context.Cause(ctx)
	case !isTaken:
		return p.refusal()
	}
	return nil
}

// patience is how long a wait takes before it is logged that it may never end.
const patience = 10 * time.Second

// await waits until the wait for a place is over, or ctx is done.
func (p *Pool) await(ctx context.Context, t *ticket) {
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case <-t.ready:
			return
		case <-ctx.Done():
			return
		case <-long.C:
			path := "of calls without a pool"
			if p.scope != nil {
				path = p.scope.Path()
			}
			var jobs []string
			for _, w := range p.Stats().Workers {
				jobs = append(jobs, w.Func)
			}
			slog.WarnContext(ctx, "traigo: a call has waited 10s for a worker; one in the loop over a Source may wait for itself",
				"pool", path, "limit", p.places(), "running", jobs)
		}
	}
}

// exit gives the place to the call that has waited longest.
func (p *Pool) exit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if len(p.waiting) > 0 && p.busy < p.places() {
		t := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.busy++
		t.isTaken = true
		close(t.ready)
	}
}

func (p *Pool) refusal() error {
	return fmt.Errorf("%w: pool %q has ended: %w", traigo.ErrRefused, p.scope.Path(), context.Cause(p.scope.Context()))
}

// end is called when the scope has ended.
func (p *Pool) end() {
	p.mu.Lock()
	p.isEnded = true
	for _, t := range p.waiting {
		close(t.ready)
	}
	p.waiting = nil
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		w.leave()
	}
}

// take returns the worker for a call that has a place. isNew is set if it was started for it.
func (p *Pool) take(ctx context.Context, name string) (w *worker, isNew bool, err error) {
	p.mu.Lock()
	for w == nil && len(p.idle) > 0 {
		last := len(p.idle) - 1
		w, p.idle = p.idle[last], p.idle[:last]
		if !w.isAlive() {
			w = nil
		}
	}
	p.mu.Unlock()
	if w == nil {
		isNew = true
		if w, err = p.startWorker(ctx, name); err != nil {
			return nil, isNew, err
		}
	}
	p.mu.Lock()
	w.job = name
	p.mu.Unlock()
	return w, isNew, nil
}

// put is called when a call does not need its worker any more. The worker leaves, unless it
// can be used again.
func (p *Pool) put(w *worker, answered, reusable bool) {
	p.mu.Lock()
	w.job = ""
	if w.isGone {
		_ = w.link.conn.Close()
	}
	if answered {
		w.calls++
		p.counters.calls++
	}
	shot := w.describeLocked()
	p.mu.Unlock()
	reusable = reusable && p.scope != nil
	if reusable && p.retire != nil {
		reusable = !p.isToRetire(w, shot)
	}
	p.mu.Lock()
	if reusable = reusable && !w.isGone && !p.isEnded; reusable {
		p.idle = append(p.idle, w)
		w.restLocked()
	}
	p.mu.Unlock()
	if !reusable {
		w.leave()
	}
}

// isToRetire asks the function of Retire. If that panics, the worker leaves.
func (p *Pool) isToRetire(w *worker, shot Worker) bool {
	hasReturned := false
	defer func() {
		if !hasReturned {
			w.leave()
		}
	}()
	shot.RSS, _ = residentSize(shot.Pid)
	is := p.retire(shot)
	hasReturned = true
	return is
}

// leaveIdle is called by the idle timer of w.
func (p *Pool) leaveIdle(w *worker) {
	p.mu.Lock()
	i := slices.Index(p.idle, w)
	rest := p.idleTimeout - time.Since(w.idleSince)
	switch {
	case i < 0:
		w.idleTimer = nil
	case rest > 0:
		w.idleTimer.Reset(rest)
		i = -1
	default:
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		w.leave()
	}
}

// forget is called when a worker has ended: by whoever learns of that.
func (p *Pool) forget(w *worker) {
	isThis := func(o *worker) bool { return o == w }
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.isGone {
		return
	}
	w.isGone = true
	w.isKilled = w.isKilled && diedOf(w.child.cmd.ProcessState, syscall.SIGKILL) // it may have been quicker
	if w.job == "" {                                                             // else the call may still have to read what it has sent
		_ = w.link.conn.Close()
	}
	p.idle = slices.DeleteFunc(p.idle, isThis)
	p.workers = slices.DeleteFunc(p.workers, isThis)
	if w.idleTimer != nil {
		w.idleTimer.Stop()
	}
	switch {
	case w.isKilled:
		p.counters.killed++
	case !w.isLeaving:
		p.counters.broken++
	}
}

// Stats describes a pool at one moment.
type Stats struct {
	Limit   int      // of workers
	Busy    int      // calls that have a place
	Idle    int      // workers without a job
	Waiting int      // calls that wait for a place
	Started uint64   // workers that were started
	Retired uint64   // workers that were asked to leave
	Broken  uint64   // workers that have ended by themselves, or had too much memory
	Killed  uint64   // workers that were killed because a call was canceled
	Calls   uint64   // jobs that were answered
	Workers []Worker // those that are alive, in the order in which they were started
}

// A Worker describes a process of a pool.
type Worker struct {
	Pid     int
	Func    string // what it runs now; "" if it is idle
	Calls   int    // jobs that it has answered
	Started time.Time
	RSS     int64 // resident size in bytes; 0 if it is not known
}

// Stats returns what the pool does now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	n := p.counters
	stats := Stats{
		Limit: p.places(), Busy: p.busy, Idle: len(p.idle), Waiting: len(p.waiting),
		Started: n.started, Retired: n.retired, Broken: n.broken, Killed: n.killed, Calls: n.calls,
	}
	for _, w := range p.workers {
		if w.isAlive() {
			stats.Workers = append(stats.Workers, w.describeLocked())
		}
	}
	p.mu.Unlock()
	for i := range stats.Workers {
		stats.Workers[i].RSS, _ = residentSize(stats.Workers[i].Pid)
	}
	return stats
}
