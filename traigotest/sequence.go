package traigotest

import (
	"context"
	"fmt"
	"sync"
)

// A Sequence makes goroutines do things in a fixed order: each step is done when
// all before it have been. The zero value is a sequence of which no step has been
// done. It must not be copied.
//
// The idea is Trio's Sequencer.
type Sequence struct {
	mu     sync.Mutex
	next   int                   // the first step that has not been done
	turns  map[int]chan struct{} // of the steps taken and not done; closed to wake the one that waits
	broken error
}

// Do waits until the steps 0 to n-1 have been done, calls f, and so has done step
// n, also if f panics or calls t.FailNow. What f does is done when step n+1 begins.
//
// If ctx ends before the turn has come, the sequence is broken, since step n will
// never be done: Do calls no f any more and returns an error, to all that wait and
// to all that come. It says which step was missing, and wraps the cause of ctx.
//
// Each step can be taken once. Do panics if step n has been taken before, if n is
// negative, or if f is nil.
func (q *Sequence) Do(ctx context.Context, n int, f func()) error {
	switch {
	case ctx == nil:
		panic(fmt.Sprintf("traigotest: step %d of a Sequence: nil context", n))
	case f == nil:
		panic(fmt.Sprintf("traigotest: step %d of a Sequence: nil function; pass what is to be done", n))
	case n < 0:
		panic(fmt.Sprintf("traigotest: step %d of a Sequence: the first step is 0", n))
	}
	turn, err := q.take(n)
	if err != nil {
		return err
	}
	select {
	case <-turn:
	case <-ctx.Done():
	}
	if err := q.enter(ctx, n); err != nil {
		return err
	}
	defer q.leave()
	f()
	return nil
}

// take returns what is closed when step n may begin, or never will.
func (q *Sequence) take(n int) (turn <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, taken := q.turns[n]; taken || n < q.next {
		panic(fmt.Sprintf("traigotest: step %d of a Sequence is taken twice", n))
	}
	if q.turns == nil {
		q.turns = map[int]chan struct{}{}
	}
	mine := make(chan struct{})
	q.turns[n] = mine
	if q.broken != nil {
		return nil, q.brokenLocked(n)
	}
	if n == q.next {
		close(mine)
	}
	return mine, nil
}

// enter returns nil if it is the turn of step n. That comes first: whether a step
// is done whose turn has come must not depend on who is faster.
func (q *Sequence) enter(ctx context.Context, n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n == q.next {
		return nil
	}
	if q.broken == nil {
		q.breakLocked(n, context.Cause(ctx))
	}
	return q.brokenLocked(n)
}

// breakLocked wakes all that wait.
func (q *Sequence) breakLocked(n int, cause error) {
	missing := "was never reached"
	if _, taken := q.turns[q.next]; taken {
		missing = "has not ended"
	}
	q.broken = fmt.Errorf("step %d %s, and step %d no longer waits: %w", q.next, missing, n, cause)
	for step, turn := range q.turns {
		if step != q.next { // that one was woken when its turn came
			close(turn)
		}
	}
}

func (q *Sequence) brokenLocked(n int) error {
	return fmt.Errorf("traigotest: step %d cannot be done: %w", n, q.broken)
}

// leave passes the turn on. In a broken sequence it stays where it is: it says who
// had it when the sequence broke.
func (q *Sequence) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil {
		return
	}
	delete(q.turns, q.next)
	q.next++
	if turn, taken := q.turns[q.next]; taken {
		close(turn)
	}
}
