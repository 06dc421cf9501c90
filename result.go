package traigo

import (
	"context"
	"fmt"
)

// The result of a task, for those who wait for it.

// Wait waits until the task has ended and returns the error of its function,
// as it was returned. If ctx ends first it returns the cause of that, and the
// task is not touched; if the task is given up, a [*StuckError]. A task that
// waits for itself, or for one that waits for it by way of Run, gets an error at
// once.
func (t *Task) Wait(ctx context.Context) error {
	mustHaveContext("Wait", ctx)
	_, err := t.wait(ctx)
	return err
}

// wait says as well whether the error is the task's.
func (t *Task) wait(ctx context.Context) (ended bool, err error) {
	if t.has(hasEnded) {
		return true, t.receive()
	}
	if t.has(givenUp) {
		return false, t.stuck()
	}
	if t.waitsFor(ctx) {
		return false, fmt.Errorf("traigo: task %q waits for itself", t.Path())
	}
	defer t.scope.lend(ctx.Done())()
	done, gaveUp := t.expect(+1)
	for {
		select {
		case <-done:
			return true, t.receive()
		case <-gaveUp:
			if t.has(givenUp) {
				return false, t.stuck()
			}
			_, gaveUp = t.expect(0)
		case <-ctx.Done():
			t.expect(-1)
			// The end of the task may be what has ended ctx: its result comes first.
			if t.has(hasEnded) {
				return true, t.receive()
			}
			return false, context.Cause(ctx)
		}
	}
}

// expect counts who waits, so that a task that ends knows that its error will
// be received. It returns what to wait for: the end of t, or of hope for some
// task of the scope.
func (t *Task) expect(n int32) (done, gaveUp <-chan struct{}) {
	s := t.scope
	s.mu.Lock()
	defer s.mu.Unlock()
	t.demand().waiters += n
	if t.has(givenUp) {
		closed := make(chan struct{})
		close(closed)
		return t.doneLocked(), closed
	}
	if t.patience() == 0 {
		return t.doneLocked(), nil
	}
	return t.doneLocked(), s.ownRareLocked().gaveUp.waitLocked(false)
}

// stuck is what a task that was given up has instead of a result.
func (t *Task) stuck() error {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.special().stuck
}

// Done returns a channel that is closed when the task's function has returned.
func (t *Task) Done() <-chan struct{} {
	t.scope.mu.Lock()
	defer t.scope.mu.Unlock()
	return t.doneLocked()
}

func (t *Task) doneLocked() <-chan struct{} {
	m := t.demand()
	if m.done == nil {
		m.done = make(chan struct{})
		if t.has(hasEnded) {
			close(m.done)
		}
	}
	return m.done
}

// Err returns nil before the task is done, and the error of its function after:
// as it was returned, or a [*TimeoutError], a [*PanicError], [ErrGoexit], or
// [ErrRefused] with the cause.
func (t *Task) Err() error {
	if !t.has(hasEnded) {
		return nil
	}
	return t.receive()
}

// receive returns the result to somebody who asked for it.
func (t *Task) receive() error {
	err := t.result()
	if err != nil && t.flags&forAwait != 0 && !t.has(received) {
		t.scope.mu.Lock()
		t.scope.receivedLocked(t)
		t.scope.mu.Unlock()
	}
	return err
}

// result is the error of a task that has ended.
func (t *Task) result() error {
	if m := t.more.Load(); m != nil {
		return m.err
	}
	return nil
}
