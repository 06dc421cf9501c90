package errgroup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo"
)

// enter takes a slot if there is a limit. It gives up if the context is canceled,
// or at once if it may not block.
func (g *Group) enter(call string, f func() error, block bool) (slots chan struct{}, ok bool) {
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
		ctx, before := g.heeds()
		select {
		case slots <- struct{}{}:
			return slots, true
		case <-ctx.Done():
		}
		if _, waited := g.heeds(); waited == before {
			g.refuse(fmt.Errorf("%w: %w (%w)", traigo.ErrRefused, context.Cause(ctx), ctx.Err()))
			return slots, false
		}
	}
}

// heeds is what a Go that is blocked listens to, and whether a Wait has returned.
// That this has canceled the context is no reason to turn anybody away.
func (g *Group) heeds() (ctx context.Context, waited bool) {
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

// A failure is no matter of the scope's: functions that come after it run too.
var stay = traigo.Bubble(false)

// spawn runs f as a task, and returns why it does not. A scope that Wait has just
// ended is followed by another.
func (g *Group) spawn(f func() error, slots chan struct{}) error {
	run := func(ctx context.Context) error { return g.run(ctx, f, slots) }
	var why error
	for {
		s := g.open()
		t, ok := s.TrySpawn(run, stay, g.nameOf(f))
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
	leave(slots)
	return why
}

// run is what the task of f does.
func (g *Group) run(ctx context.Context, f func() error, slots chan struct{}) error {
	t, returned := traigo.CurrentTask(ctx), false
	g.begin(t)
	defer func() {
		g.end(t)
		if returned {
			leave(slots)
			return
		}
		value := recover()
		if value == nil {
			g.fail(traigo.ErrGoexit)
			leave(slots)
			return
		}
		p := newPanicError(t.Path(), value)
		g.fail(p)
		if ctx.Err() != nil {
			leave(slots) // who waited for it has gone
		} else {
			// Not before the scope knows of it: who waits for the slot is to be refused.
			afterFunc(ctx, func() { leave(slots) })
		}
		panic(p)
	}()
	err := f()
	returned = true
	if err != nil {
		g.fail(err)
	}
	return err
}

// newPanicError makes the error that the scope would make of the value, while the
// stack of the panic is still there: the context is to have it as its cause.
func newPanicError(task string, value any) *traigo.PanicError {
	if p, ok := value.(*traigo.PanicError); ok {
		return p // from further down: it stays the one it was
	}
	recovered := panics.NewRecovered(2, value)
	return &traigo.PanicError{Task: task, Recovered: &recovered}
}

// begin and end keep account of the functions that are to hear of a cancellation
// as tasks too: one that takes no notice is then warned of, or given up, like any
// task that does so.
func (g *Group) begin(t *traigo.Task) {
	if g.ctx == nil {
		return
	}
	g.mu.Lock()
	g.running[t] = struct{}{}
	g.mu.Unlock()
	ctx, _ := g.heeds()
	if g.outer.Err() != nil { // ctx may hear of that later than cancelRunning
		ctx = g.outer
	}
	if ctx.Err() != nil {
		t.Cancel(context.Cause(ctx))
	}
}

func (g *Group) end(t *traigo.Task) {
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

func leave(slots chan struct{}) {
	if slots != nil {
		<-slots
	}
}

// refuse notes that a function was not run: Wait must not be silent about it.
func (g *Group) refuse(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		g.refused = fmt.Errorf("errgroup: a function was not run: %w", why)
	}
}

func endedByWait(s *traigo.Scope) bool {
	c, ok := errors.AsType[*traigo.Cancellation](context.Cause(s.Context()))
	return ok && c.Kind == traigo.Completed && c.Scope == s.Path() // and not that of one above
}

// A label is the option that names a task after the function with code at pc.
type label struct {
	pc   uintptr
	name traigo.TaskOption
}

// nameOf names a task after its function. The last label is kept: most groups call Go in
// a loop, with the same code each time.
func (g *Group) nameOf(f func() error) traigo.TaskOption {
	pc := reflect.ValueOf(f).Pointer()
	l := g.label.Load()
	if l == nil || l.pc != pc {
		l = &label{pc, traigo.NameOf(f)}
		g.label.Store(l)
	}
	return l.name
}
