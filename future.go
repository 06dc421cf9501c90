package traigo

import "context"

// A Future is the result of a function that runs as a task: see [Async].
type Future[T any] struct {
	task  Task
	more  taskMore
	value T
}

// Async runs fn as a task of s, as [Scope.Spawn] does, and returns its result to
// whoever awaits it.
//
// The error of fn belongs to whoever awaits: it does not cancel the scope,
// unless Bubble(true) is given. If fn fails and nobody has received the error
// by the time the end of the scope is decided, it joins the outcome; a failure
// after that which nobody receives is logged.
func Async[T any](s *Scope, fn func(ctx context.Context) (T, error), opts ...TaskOption) *Future[T] {
	s.check("Async")
	mustHaveFunc("Async", fn != nil, "the function whose result is wanted")
	f := &Future[T]{}
	t := &f.task
	t.scope, t.flags = s, bubbles|awaited|forAwait
	f.more.pc = pcOf(fn)
	t.more.Store(&f.more)
	t.fn = func(ctx context.Context) (err error) {
		f.value, err = fn(ctx)
		return err
	}
	t.configure("Async", opts)
	s.accept(t, true, nil)
	return f
}

// Await waits until the function has ended and returns what it returned: the error
// as it is, without the name of the task. If ctx
// ends first it returns the cause of that, and the task is not touched. It may
// be called any number of times, from any number of goroutines.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	mustHaveContext("Await", ctx)
	ended, err := f.task.wait(ctx)
	if !ended {
		var none T
		return none, err
	}
	return f.value, err
}

// Task returns the task that computes the result.
func (f *Future[T]) Task() *Task { return &f.task }
