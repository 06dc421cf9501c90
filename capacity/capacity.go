package capacity

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/hold"
	"github.com/traigo/traigo/internal/limits"
)

const (
	patience  = 10 * time.Second // how long a call waits before that is logged
	maxLogged = 16               // how many holders a log record names

	// shownAfter is how long a call waits before package live can show it. Most waits are
	// shorter, and cost nothing for that.
	shownAfter = 100 * time.Millisecond
)

// A Limiter has a number of units that callers take and release. Callers that have to wait
// are served strictly in the order of their calls: no caller overtakes one that waits, even
// if it wants fewer units and these are free.
//
// The zero Limiter has no units, like that of New(0). A Limiter must not be copied after
// its first use. Its methods may be called by any number of goroutines at the same time.
type Limiter struct {
	// mu guards the fields below and those of the claims that say so. It is a leaf: while it
	// is held, no function of a user, no logger and no method of a context or task is called.
	//
	// Invariant: when mu is released, the first claim in waiting wants more units than are
	// free.
	mu      sync.Mutex
	limit   int
	inUse   int       // the units of all claims in holding; above limit only after SetLimit
	holding list.List // of *claim, in the order in which they got their units
	waiting list.List // of *claim, in the order in which they came
}

// New returns a Limiter with n units. If n is 0, all callers wait until [Limiter.SetLimit]
// raises the number. New panics if n is negative.
func New(n int) *Limiter {
	mustBeLimit("New", n)
	return &Limiter{limit: n}
}

// Acquire takes n units and returns a function that releases them. It waits until n units
// are free and all earlier callers have been served. If n is more than the limit, Acquire
// waits until SetLimit has raised the limit, and later callers wait behind it.
//
// If ctx is done, Acquire takes no units and returns the cause of ctx and a nil release. It
// does so too if units are free when it is called, and if ctx ends in the moment in which
// the units become free: these then go to the next caller.
//
// Any goroutine may call release. Calls after the first have no effect. If a call of
// [traigo.Blocking] is abandoned while the units are held, release does not wait for the
// end of that call. [Limiter.Do] keeps the units until then.
//
// A caller that has waited for 10 s is logged once to [slog.Default], at level WARN, with
// the paths of up to 16 holders. Acquire panics if n is less than 1 or ctx is nil.
func (l *Limiter) Acquire(ctx context.Context, n int) (release func(), err error) {
	c, err := l.acquire(ctx, "Acquire", n)
	if err != nil {
		return nil, err
	}
	return c.releaseOnce(), nil
}

// TryAcquire takes n units if they are free and no caller waits, and reports whether it has
// taken them. If it has not, release is nil. TryAcquire has no context that would tell which
// task calls it, so [Stats] counts the holder but does not name it. TryAcquire panics if n is
// less than 1.
func (l *Limiter) TryAcquire(n int) (release func(), ok bool) {
	l.check("TryAcquire", n)
	c := &claim{limiter: l, units: n}
	if !l.enter(c, false) {
		return nil, false
	}
	return c.releaseOnce(), true
}

// Do takes n units as [Limiter.Acquire] does, calls fn, and releases the units when fn has
// returned, or has panicked. It returns the error of fn, or the cause of ctx if ctx is done
// before the units have been taken.
//
// If fn passes its context to a call of [traigo.Blocking], and that call is abandoned, the
// units stay in use until the call has ended. Do does not wait for that. Do panics if n is
// less than 1, or if ctx or fn is nil.
func (l *Limiter) Do(ctx context.Context, n int, fn func(ctx context.Context) error) error {
	if fn == nil {
		panic("traigo: capacity.Limiter.Do: nil function; pass what is to be done with the units")
	}
	c, err := l.acquire(ctx, "Do", n)
	if err != nil {
		return err
	}
	defer c.release()
	return fn(hold.With(ctx, c))
}

// SetLimit changes the number of units to n. If that makes room for callers that wait, they
// get their units at once. If more than n units are in use, their holders keep them, and
// no caller gets units until enough have been released. SetLimit panics if n is negative.
func (l *Limiter) SetLimit(n int) {
	l.mustExist("SetLimit")
	mustBeLimit("Limiter.SetLimit", n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = n
	l.admitLocked()
}

// Stats describe a [Limiter] at one moment.
type Stats struct {
	Limit   int // the number of units
	InUse   int // the units that are held; more than Limit if SetLimit has lowered it since
	Waiting int // the number of calls that wait

	// Holders are the paths of the tasks that have taken units, one for each call, in the
	// order in which they got them. A call by the body of a scope that no task has opened has
	// the path of the scope.
	Holders []string
	// Unnamed is the number of holders that have no path: those that called TryAcquire, and
	// those whose context carries neither a task nor a scope.
	Unnamed int
}

// Stats returns how many units there are and are in use, and which tasks hold them.
func (l *Limiter) Stats() Stats {
	l.mustExist("Stats")
	return l.stats(math.MaxInt)
}

// stats names at most maxNamed holders and counts the others as unnamed.
func (l *Limiter) stats(maxNamed int) Stats {
	l.mu.Lock()
	stats := Stats{Limit: l.limit, InUse: l.inUse, Waiting: l.waiting.Len()}
	named := callersIn(&l.holding, maxNamed)
	stats.Unnamed = l.holding.Len() - len(named)
	l.mu.Unlock()
	stats.Holders = pathsOf(named)
	return stats
}

// describe is for package live, which names those that wait too.
func (l *Limiter) describe(most int) limits.State {
	l.mu.Lock()
	s := limits.State{Limit: l.limit, InUse: l.inUse, Waiting: l.waiting.Len()}
	holders, waiters := callersIn(&l.holding, most), callersIn(&l.waiting, most)
	l.mu.Unlock()
	s.Holders, s.Waiters = pathsOf(holders), pathsOf(waiters)
	return s
}

// callersIn returns the first callers in a list of claims that are known.
func callersIn(claims *list.List, most int) (named []caller) {
	for e := claims.Front(); e != nil && len(named) < most; e = e.Next() {
		if c := claimIn(e); c.by != nil {
			named = append(named, c.by)
		}
	}
	return named
}

// pathsOf is called without mu: Path is a method of another package.
func pathsOf(callers []caller) (paths []string) {
	for _, by := range callers {
		paths = append(paths, by.Path())
	}
	return paths
}

// A claim is one call for units. It may wait for them, then holds them, and then has released
// them. It is in the list of the Limiter for each of the first two.
type claim struct {
	limiter *Limiter
	units   int
	by      caller        // nil if unknown
	granted chan struct{} // closed when it gets its units; nil if it did not have to wait

	// Guarded by limiter.mu.
	place *list.Element // in limiter.waiting or limiter.holding
	uses  int           // the call itself and each Keep, until released; 0 while it holds nothing
}

// A caller is a *traigo.Task or a *traigo.Scope.
type caller interface{ Path() string }

func callerOf(ctx context.Context) caller {
	if t := traigo.CurrentTask(ctx); t != nil {
		return t
	}
	if s := traigo.Current(ctx); s != nil {
		return s
	}
	return nil
}

func claimIn(e *list.Element) *claim {
	c, _ := e.Value.(*claim)
	return c
}

func (l *Limiter) acquire(ctx context.Context, method string, n int) (*claim, error) {
	l.check(method, n)
	if ctx == nil {
		panic("traigo: capacity.Limiter." + method + ": nil context; pass context.Background() if there is none")
	}
	if ctx.Err() != nil {
		return nil, causeOf(ctx)
	}
	c := &claim{limiter: l, units: n, by: callerOf(ctx)}
	if l.enter(c, true) {
		return c, nil
	}
	return c, c.wait(ctx)
}

// enter grants c its units if they are free and no claim waits, and reports whether it did.
// Otherwise, if wait is set, it puts c behind the claims that wait.
func (l *Limiter) enter(c *claim, wait bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting.Len() == 0 && l.fitsLocked(c) {
		l.grantLocked(c)
		return true
	}
	if wait {
		c.granted = make(chan struct{})
		c.place = l.waiting.PushBack(c)
	}
	return false
}

// fitsLocked subtracts because inUse + units could overflow.
func (l *Limiter) fitsLocked(c *claim) bool { return c.units <= l.limit-l.inUse }

func (l *Limiter) grantLocked(c *claim) {
	l.inUse += c.units
	c.uses = 1
	c.place = l.holding.PushBack(c)
}

// admitLocked grants units to the claims that wait, until the first wants more than are
// free. Each change that may make room for the first, or make another the first, calls it.
func (l *Limiter) admitLocked() {
	for e := l.waiting.Front(); e != nil && l.fitsLocked(claimIn(e)); e = l.waiting.Front() {
		c := claimIn(e)
		l.waiting.Remove(e)
		l.grantLocked(c)
		close(c.granted)
	}
}

// wait returns nil when c has got its units. If ctx has ended by then, wait returns the
// cause of ctx, and c neither holds units nor waits for them.
func (c *claim) wait(ctx context.Context) error {
	isAdmitted := false
	defer func() {
		// This is deferred because a log handler may call runtime.Goexit, and a method of ctx
		// may panic. A claim that stayed in the list would get units that are never released.
		if !isAdmitted {
			c.withdraw()
		}
	}()
	long := time.NewTimer(shownAfter)
	defer long.Stop()
	shown := func() {}
	defer func() { shown() }()
	for isShown := false; ; {
		select {
		case <-c.granted:
			// If ctx is done too, select has chosen at random.
			if ctx.Err() != nil {
				return causeOf(ctx)
			}
			isAdmitted = true
			return nil
		case <-ctx.Done():
			return causeOf(ctx)
		case <-long.C:
			if !isShown {
				isShown, shown = true, limits.Wait(c.limiter, c.limiter.describe)
				long.Reset(patience - shownAfter)
				continue
			}
			c.warn()
		}
	}
}

// withdraw removes c from the claims that wait. If c was granted units between the end of
// its context and this call, they go to the next claim.
func (c *claim) withdraw() {
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.uses > 0 {
		c.releaseLocked()
		return
	}
	l.waiting.Remove(c.place)
	l.admitLocked() // the claims behind c may want fewer units
}

// release ends one use of c.
func (c *claim) release() {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	c.releaseLocked()
}

func (c *claim) releaseLocked() {
	c.uses--
	if c.uses > 0 {
		return
	}
	l := c.limiter
	l.holding.Remove(c.place)
	l.inUse -= c.units
	l.admitLocked()
}

// releaseOnce returns a function that ends one use of c when it is first called.
func (c *claim) releaseOnce() func() {
	var called atomic.Bool
	return func() {
		if !called.Swap(true) {
			c.release()
		}
	}
}

// Keep makes c hold its units until release is called. traigo.Blocking finds c in the
// context that Do gives to its function, and calls Keep when it abandons a call. Code
// that has stored this context can do so after Do has returned. If the units have been
// released by then, another claim may have them, and there is nothing to keep.
func (c *claim) Keep() (release func()) {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	if c.uses == 0 {
		return func() {}
	}
	c.uses++
	return c.releaseOnce()
}

// warn logs that c has waited for long. A panic of the log handler is dropped, as in package
// traigo: the caller of Acquire is not to fail because of it.
func (c *claim) warn() {
	defer func() { _ = recover() }()
	stats := c.limiter.stats(maxLogged)
	if stats.Unnamed > 0 {
		stats.Holders = append(stats.Holders, fmt.Sprintf("%d not named", stats.Unnamed))
	}
	waiter := "unknown"
	if c.by != nil {
		waiter = c.by.Path()
	}
	slog.Default().Warn(fmt.Sprintf("traigo: capacity: a caller has waited %v for units", patience), "waiter", waiter,
		"units", c.units, "limit", stats.Limit, "in_use", stats.InUse, "holders", stats.Holders)
}

// causeOf returns the cause of ctx, which is done. It is never nil, even if ctx is of a
// foreign type whose Err is nil again after its end.
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return context.Canceled
}

func (l *Limiter) mustExist(method string) {
	if l == nil {
		panic("traigo: capacity.Limiter." + method + " on a nil *Limiter; New makes one")
	}
}

func (l *Limiter) check(method string, n int) {
	l.mustExist(method)
	if n < 1 {
		panic(fmt.Sprintf("traigo: capacity.Limiter.%s of %d units: it has to be at least 1", method, n))
	}
}

func mustBeLimit(call string, n int) {
	if n < 0 {
		panic(fmt.Sprintf("traigo: capacity.%s(%d): the number of units is negative; with 0 everyone waits", call, n))
	}
}
