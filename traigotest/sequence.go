package traigotest

import (
	"context"
	"fmt"
	"sync"
)

// A Sequence makes goroutines take steps in a fixed order: a step begins when all
// steps before it have ended. The zero Sequence is ready to use; no step has been taken.
// A Sequence must not be copied after first use.
//
// The idea is that of Trio's Sequencer.
type Sequence struct {
	mu     sync.Mutex
	next   int                   // the first step that has not ended
	turns  map[int]chan struct{} // of the steps that were taken and have not ended; closed to wake Do
	broken error
}

// Do takes step n: it waits until the steps 0 to n-1 have ended, calls f, and returns
// nil. Step n ends with f, also if f panics or calls t.FailNow, and before step n+1
// begins.
//
// If ctx ends before step n can begin, the sequence is broken, because step n will
// never end. Do then returns an error to all callers that wait, and to all that come
// later; only the step that could begin before is still taken. The error says which
// step was missing, and wraps the cause of ctx.
//
// Each step can be taken once. Do panics if step n was taken before, if n is negative,
// or if ctx or f is nil.
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

// take returns a channel that is closed when step n may begin, or when the sequence is
// broken.
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

// enter returns nil if step n may begin, also if ctx is done. Both may have happened, and
// the outcome must not depend on which of them the select in Do has chosen.
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

// breakLocked breaks the sequence, because step n is no longer waited for, and wakes
// all calls that wait.
func (q *Sequence) breakLocked(n int, cause error) {
	missing := "was never reached"
	if _, taken := q.turns[q.next]; taken {
		missing = "has not ended"
	}
	q.broken = fmt.Errorf("step %d %s, and step %d no longer waits: %w", q.next, missing, n, cause)
	for step, turn := range q.turns {
		if step != q.next { // the channel of q.next is closed already
			close(turn)
		}
	}
}

func (q *Sequence) brokenLocked(n int) error {
	return fmt.Errorf("traigotest: step %d cannot be done: %w", n, q.broken)
}

// leave ends step q.next and lets the one after it begin. In a broken sequence q.next
// does not change: it is the step at which the sequence was broken.
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
