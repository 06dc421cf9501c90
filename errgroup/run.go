package errgroup

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// The steps of a function in a group: it gets a slot, is spawned as a task, and runs.

func (g *Group) slots() chan struct{} {
	if p := g.limit.Load(); p != nil {
		return *p
	}
	return nil
}

func tryAcquire(slots chan struct{}) bool {
	if slots == nil {
		return true
	}
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func release(slots chan struct{}) {
	if slots != nil {
		<-slots
	}
}

// acquire takes a slot, if there is a limit. If none is free it blocks, and returns an
// error if the group is canceled before it has one.
//
// The slot may come from a function that has failed, and the scope may not have decided yet
// what follows. acquire waits for that. Otherwise a function would run, or not, depending on
// whether the failure or the caller of Go came to the scope first.
func (g *Group) acquire(slots chan struct{}) error {
	if tryAcquire(slots) {
		return nil
	}
	for {
		acquired := false
		select {
		case slots <- struct{}{}:
			acquired = true
			if f := g.failed.Load(); f != nil {
				f.await()
			}
		case <-g.lifetime().Done():
		}
		err := g.refusal()
		if acquired && err != nil {
			release(slots)
		}
		if acquired || err != nil {
			return err
		}
		// A Wait has ended the context of the group: that refuses nothing.
	}
}

// lifetime returns the context whose end refuses blocked calls of Go and cancels the tasks
// of a later scope. Once Wait has ended the context of the group, that is the outer one.
func (g *Group) lifetime() context.Context {
	if g.origin == nil {
		return context.Background()
	}
	if e := g.ended(); e != nil && e.isNormal {
		return g.outer
	}
	return (*groupContext)(g)
}

// refusal returns why a call of Go that is blocked is refused; nil if it is not.
func (g *Group) refusal() error {
	if ctx := g.lifetime(); isDone(ctx) {
		return fmt.Errorf("%w: %w (%w)", traigo.ErrRefused, context.Cause(ctx), ctx.Err())
	}
	return nil
}

// isDone reports whether ctx is done. The channel of a context of package traigo may be
// closed a moment after its Err is set, and other contexts may lose their Err when they are
// used a second time.
func isDone(ctx context.Context) bool { return ctx.Err() != nil || isClosed(ctx.Done()) }

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

var (
	scopeName = traigo.Name("errgroup")
	noBubble  = traigo.Bubble(false)
)

// spawn runs f as a task, or releases its slot and returns why it does not.
func (g *Group) spawn(f func() error, slots chan struct{}) error {
	run := func(ctx context.Context) (err error) {
		// If f panics or calls runtime.Goexit, what that means is left to the scope; Err of
		// the task will tell.
		returned := false
		defer func() {
			if err != nil && !g.addsNothing(err) || !returned {
				g.failures().add(traigo.CurrentTask(ctx), err)
			}
			release(slots)
		}()
		err = f()
		returned = true
		return err
	}
	name := nameOf(f)
	for s := g.Scope(); ; s = g.openAfter(s) {
		t, ok := g.spawnIn(s, run, name)
		if ok {
			return nil
		}
		if !g.goesOnAfter(s) {
			release(slots)
			return t.Err()
		}
	}
}

func (g *Group) spawnIn(s *traigo.Scope, run func(context.Context) error, name traigo.TaskOption) (*traigo.Task, bool) {
	if s == g.origin {
		return s.TrySpawn(run, name)
	}
	t, ok := s.TrySpawn(run, name, noBubble)
	// A later scope is open although the group is canceled. Its tasks are canceled one by
	// one, so that it warns of those that do not end, or gives them up.
	if ctx := g.lifetime(); ok && isDone(ctx) {
		t.Cancel(context.Cause(ctx))
	}
	return t, ok
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
