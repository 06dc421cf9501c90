package actor

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/traigo/traigo"
)

// A Shared gives the items of one stream to several readers in this process. See [Share].
type Shared[T any] struct {
	n int

	mu      sync.Mutex
	readers []*reader[T]
	isOver  bool
	err     error // of the stream; nil if it has ended without
}

// Share reads in, in a task of s that s does not wait for, and gives every item to every reader:
// each has the items from its call of Items on. It does not wait for a reader. One that has not
// taken n items loses the oldest, and next gets a [*LaggedError] that says how many. An error of
// in ends the stream, and is yielded last, to all readers; it does not fail the task. Share panics
// if s or in is nil, or n is below 1.
func Share[T any](s *traigo.Scope, in iter.Seq2[T, error], n int) *Shared[T] {
	if s == nil || in == nil || n < 1 {
		panic(fmt.Sprintf("traigo: actor.Share: s or the stream is nil, or n (%d) is below 1", n))
	}
	b := &Shared[T]{n: n}
	t := s.Spawn(func(ctx context.Context) error {
		err := context.Canceled // unless it returns
		defer func() { b.end(err) }()
		err = b.read(ctx, in)
		return nil
	}, traigo.Name("share"), traigo.Awaited(false))
	go func() { // it may have been refused
		<-t.Done()
		b.end(t.Err())
	}()
	return b
}

func (b *Shared[T]) read(ctx context.Context, in iter.Seq2[T, error]) error {
	for v, err := range in {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.give(v)
	}
	return nil
}

func (b *Shared[T]) give(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.readers {
		if len(r.kept) == b.n {
			var none T
			r.kept[0] = none
			r.kept = r.kept[1:]
			r.missed++
		}
		r.kept = append(r.kept, v)
		r.signal()
	}
}

// end ends the stream. The first call counts.
func (b *Shared[T]) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isOver {
		return
	}
	b.isOver, b.err = true, err
	for _, r := range b.readers {
		r.signal()
	}
}

// A reader is one loop over the items. Its fields are protected by the mu of the Shared.
type reader[T any] struct {
	kept   []T
	missed int
	wake   chan struct{} // holds at most one value
	isLeft bool          // the loop: nothing comes any more
}

func (r *reader[T]) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Items returns the items that come from now on; for more loops than one, call it again: a second
// loop over the same has none. When ctx is done, its cause is yielded, and the loop ends.
func (b *Shared[T]) Items(ctx context.Context) iter.Seq2[T, error] {
	if ctx == nil {
		panic("traigo: actor: Items of a Shared: ctx is nil")
	}
	r := &reader[T]{wake: make(chan struct{}, 1)}
	b.mu.Lock()
	b.readers = append(b.readers, r)
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { b.remove(r) }) // also if nobody loops
	return func(yield func(T, error) bool) {
		defer stop()
		defer b.leave(r)
		for {
			v, err, isLast := b.next(ctx, r)
			if isLast && err == nil || !yield(v, err) || isLast {
				return
			}
		}
	}
}

// leave is called when a loop has ended.
func (b *Shared[T]) leave(r *reader[T]) {
	b.remove(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	r.isLeft, r.kept = true, nil
	r.signal()
}

// remove removes a reader: nothing is kept for it any more.
func (b *Shared[T]) remove(r *reader[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers = slices.DeleteFunc(b.readers, func(other *reader[T]) bool { return other == r })
}

// next returns the next item, or a *LaggedError; last, what has ended the stream.
func (b *Shared[T]) next(ctx context.Context, r *reader[T]) (v T, err error, isLast bool) { //nolint:revive // the error belongs to the item
	for {
		if ctx.Err() != nil {
			return v, context.Cause(ctx), true
		}
		b.mu.Lock()
		switch {
		case r.isLeft:
			b.mu.Unlock()
			r.signal() // there may be more loops
			return v, nil, true
		case r.missed > 0:
			err = &LaggedError{r.missed}
			r.missed = 0
			b.mu.Unlock()
			return v, err, false
		case len(r.kept) > 0:
			v = r.kept[0]
			var none T
			r.kept[0] = none
			r.kept = r.kept[1:]
			b.mu.Unlock()
			return v, nil, false
		case b.isOver:
			err = b.err
			b.mu.Unlock()
			return v, err, true
		}
		b.mu.Unlock()
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}
