package errgroup

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// failures are the functions of a group that have failed, and those that were not run. Most
// groups have none.
//
// A function that has failed is added before it gives back its slot, and before its task
// ends. So whoever gets that slot, or finds a scope canceled by that task, finds it here.
// Only the task knows whether the failure is one for the scope as well: a Wrapper may have
// replaced the error, and PanicAsError may be set. So the task is kept until it has ended.
type failures struct {
	origin *traigo.Scope // of the group

	hasErr atomic.Bool // err is not nil

	// mu protects the fields below. No code of users is called while it is held.
	mu       sync.Mutex
	err      error          // the first error of a function; once a Wait has returned another one, that
	refused  error          // of the first function that was not run; Wait prefers err
	ending   []*traigo.Task // of functions that have failed, and that the scope may not have decided about
	canceler *traigo.Task   // of the function that has canceled origin; nil if none has, or it is in ending
	inOrigin int            // how many failures of functions the outcome of origin holds or counts
	waited   bool           // a Wait has dealt with the outcome of origin,
	reported *traigo.Scope  // and with that of this later scope, the last one
}

func (g *Group) failures() *failures {
	if f := g.failed.Load(); f != nil {
		return f
	}
	g.failed.CompareAndSwap(nil, &failures{origin: g.origin})
	return g.failed.Load()
}

// add records that the function of t has returned err or, if that is nil, has panicked or
// called runtime.Goexit.
func (f *failures) add(t *traigo.Task, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || len(f.ending) == cap(f.ending) {
		f.settleLocked() // of those in ending one may be the first; and their number stays small
	}
	if f.err == nil {
		f.err = err
	}
	f.hasErr.Store(f.err != nil)
	if err == nil || t.Scope() == f.origin { // in other scopes functions do not bubble
		f.ending = append(f.ending, t)
	}
}

// addsNothing reports whether a function has failed, and err, that of another one, is what Err of
// the canceled context says: so that it adds nothing.
func (g *Group) addsNothing(err error) bool {
	f := g.failed.Load()
	return f != nil && f.hasErr.Load() && g.origin != nil &&
		(err == context.Canceled || err == context.DeadlineExceeded) && err == g.origin.Context().Err() //nolint:errorlint // the error itself
}

// refuse records that a function was not run: Wait must not return nil then.
func (f *failures) refuse(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		f.refused = fmt.Errorf("errgroup: a function was not run: %w", why)
	}
}

// settleLocked takes the tasks that have ended out of ending.
func (f *failures) settleLocked() {
	f.ending = slices.DeleteFunc(f.ending, func(t *traigo.Task) bool {
		if t.State() != traigo.Ended {
			return false
		}
		if f.err == nil {
			f.err = t.Err() // nil if a Wrapper has recovered a panic
		}
		if t.Failed() && t.Scope() == f.origin {
			f.inOrigin++
			if t == f.origin.CanceledBy() {
				f.canceler = t
			}
		}
		return true
	})
}

// await waits until the scope has decided about all failures so far.
func (f *failures) await() {
	f.mu.Lock()
	ending := slices.Clone(f.ending)
	f.mu.Unlock()
	for _, t := range ending {
		<-t.Done()
	}
}

// haveCanceled reports whether a function of the group has canceled origin, and not another
// task that somebody has spawned there.
func (f *failures) haveCanceled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settleLocked()
	return f.canceler != nil
}

// conclude returns what Wait returns, unless it panics, and the outcomes that it has to log
// because nobody else tells of them. first is the outcome of origin, and later that of
// last, the later scope.
func (f *failures) conclude(first, later error, last *traigo.Scope, panics bool) (unsaid []error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settleLocked()
	if f.canceler != nil {
		f.err = f.canceler.Err() // also if another function was a moment earlier with its error
	}
	if f.err == nil {
		f.err = f.refused
	}
	if !f.waited && saysMore(first, f.inOrigin) {
		unsaid = append(unsaid, first)
	}
	if f.reported != last && saysMore(later, 0) {
		unsaid = append(unsaid, later)
	}
	f.waited, f.reported = true, last
	if f.err == nil && !panics && len(unsaid) > 0 {
		f.err, unsaid = unsaid[0], unsaid[1:]
	}
	return unsaid, f.err
}

// saysMore reports whether the outcome of a scope says more than that the outer context
// has ended, and that so many functions of the group have failed.
//
//nolint:errorlint // it looks at the errors themselves, not at what they wrap
func saysMore(outcome error, failed int) bool {
	e, _ := outcome.(*traigo.Error)
	if e == nil {
		return false
	}
	tasks := len(e.Others) + e.More
	switch cause := e.Err.(type) {
	case *traigo.TaskError:
		tasks++
	case *traigo.Cancellation:
		if cause.Kind != traigo.ParentCanceled {
			return true
		}
	default:
		return true
	}
	for _, err := range e.Others {
		if _, ok := err.(*traigo.TaskError); !ok {
			return true
		}
	}
	return tasks > failed
}
