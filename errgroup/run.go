package errgroup

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo"
)

// The steps of a function in a group: it acquires a slot, is spawned as a task, runs, and
// its error becomes that of the group.

// acquire takes a slot for f if there is a limit. If none is free it blocks, unless
// block is false; it returns false if the context is canceled meanwhile.
func (g *Group) acquire(call string, f func() error, block bool) (slots chan struct{}, ok bool) {
	if f == nil {
		panic("errgroup: " + call + ": nil function")
	}
	g.mu.Lock()
	slots = g.slots
	g.mu.Unlock()
	if slots == nil {
		return nil, true
	}
	select {
	case slots <- struct{}{}:
		return slots, true
	default:
	}
	if !block {
		return slots, false
	}
	for {
		ctx, before := g.currentContext()
		select {
		case slots <- struct{}{}:
			return slots, true
		case <-ctx.Done():
		}
		// If Wait has canceled the context, f is not refused: the loop waits again, with
		// the outer context.
		if _, waited := g.currentContext(); waited == before {
			g.refuse(fmt.Errorf("%w: %w (%w)", traigo.ErrRefused, context.Cause(ctx), ctx.Err()))
			return slots, false
		}
	}
}

// currentContext returns the context whose end refuses blocked calls of Go and cancels
// tasks, and whether Wait has returned. Wait has then canceled the context of the group,
// so it is the outer one.
func (g *Group) currentContext() (ctx context.Context, waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.ctx == nil:
		return context.Background(), g.waited
	case g.waited:
		return g.outer, true
	default:
		return g.ctx, false
	}
}

func release(slots chan struct{}) {
	if slots != nil {
		<-slots
	}
}

// refuse records that a function was not run: Wait must not return nil then.
func (g *Group) refuse(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		g.refused = fmt.Errorf("errgroup: a function was not run: %w", why)
	}
}

// A failure of a function does not cancel the scope: functions that are added later
// still run.
var noBubble = traigo.Bubble(false)

// spawn runs f as a task, or returns why the scope has refused it. If a Wait has just
// closed the scope, spawn goes on with another one.
func (g *Group) spawn(f func() error, slots chan struct{}) error {
	run := func(ctx context.Context) error { return g.run(ctx, f, slots) }
	var why error
	for {
		s := g.open()
		t, ok := s.TrySpawn(run, noBubble, nameOf(f))
		if ok {
			return nil
		}
		if why = t.Err(); !endedByWait(s) {
			break
		}
		g.mu.Lock()
		if g.scope == s {
			g.scope = nil
		}
		g.mu.Unlock()
	}
	release(slots)
	return why
}

// A funcName is the option that names a task after the function with code at pc.
type funcName struct {
	pc   uintptr
	name traigo.TaskOption
}

// names keeps the options that were made last, so that a function that is given to Go again
// and again, in one group or in many, costs no allocation. An entry is never changed, only
// replaced by that of another function; it does not keep what a closure holds.
var names [64]atomic.Pointer[funcName]

// nameOf returns the option that names a task after f.
func nameOf(f func() error) traigo.TaskOption {
	pc := reflect.ValueOf(f).Pointer()
	entry := &names[uint64(pc)*0x9E3779B97F4A7C15>>58] // Fibonacci hashing: the upper bits depend on all bits of pc
	n := entry.Load()
	if n == nil || n.pc != pc {
		n = &funcName{pc, traigo.NameOf(f)}
		entry.Store(n)
	}
	return n.name
}

// run is the function of the task that runs f.
func (g *Group) run(ctx context.Context, f func() error, slots chan struct{}) error {
	t, returned := traigo.CurrentTask(ctx), false
	g.track(t)
	defer func() {
		g.untrack(t)
		if returned {
			release(slots)
		} else {
			g.aborted(ctx, t, recover(), slots)
		}
	}()
	err := f()
	returned = true
	if err != nil {
		g.fail(err)
	}
	return err
}

// aborted is called by the deferred function of run when f has panicked or, if value
// is nil, has called runtime.Goexit. The error of a panic is made here, and not left
// to the scope: it has to be the cause of the context before the task has ended, and
// the stack is still that of the panic.
func (g *Group) aborted(ctx context.Context, t *traigo.Task, value any, slots chan struct{}) {
	if value == nil {
		g.fail(traigo.ErrGoexit)
		release(slots)
		return
	}
	p, ok := value.(*traigo.PanicError) // of a scope that f has waited for: it stays as it is
	if !ok {
		recovered := panics.NewRecovered(2, value)
		p = &traigo.PanicError{Task: t.Path(), Recovered: &recovered}
	}
	g.fail(p)
	if ctx.Err() != nil {
		release(slots) // after a cancellation no Go is blocked, or the scope refuses its function
	} else {
		// A Go that is blocked must be refused. It would run its function if it got the
		// slot before the scope has recorded the panic, which is when ctx ends.
		afterFunc(ctx, func() { release(slots) })
	}
	panic(p)
}

// fail records the error of a function. The first one cancels the context and the
// tasks that run.
func (g *Group) fail(err error) {
	g.mu.Lock()
	first := g.err == nil
	if first {
		g.err = err
	}
	g.mu.Unlock()
	if first && g.cancel != nil {
		g.cancel(err)
		g.cancelRunning()
	}
}

// track adds t to the tasks that are canceled when the context is. The functions look
// at that context; their tasks are canceled as well so that the scope knows, and
// warns of or gives up a task that ignores the cancellation.
func (g *Group) track(t *traigo.Task) {
	if g.ctx == nil {
		return
	}
	g.mu.Lock()
	g.running[t] = struct{}{}
	g.mu.Unlock()
	// A call of cancelRunning before this line has not found t. If outer has ended, that
	// call may have come before g.ctx is canceled: so outer is asked as well.
	ctx, _ := g.currentContext()
	if g.outer.Err() != nil {
		ctx = g.outer
	}
	if ctx.Err() != nil {
		t.Cancel(context.Cause(ctx))
	}
}

func (g *Group) untrack(t *traigo.Task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, t)
}

func (g *Group) cancelRunning() {
	g.mu.Lock()
	tasks := slices.Collect(maps.Keys(g.running))
	g.mu.Unlock()
	for _, t := range tasks {
		t.Cancel(context.Cause(g.ctx))
	}
}
