package bench

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Package actor beside gRPC by hand. Both have a process of their own, with the same pair of
// sockets between it and this one.

// item is what calls and streams carry.
var item = []byte("a value of 20 bytes.")

// A note is a small struct that travels as JSON.
type note struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
	Done bool   `json:"done"`
}

func sign(n note) note {
	n.Done = true
	return n
}

var (
	echoing = actor.Func("echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	signing = actor.Func("sign", func(_ context.Context, n note) (note, error) { return sign(n), nil })
	holding = actor.Func("hold", func(ctx context.Context, _ []byte) ([]byte, error) { return nil, hold(ctx) })
	isHeld  = actor.Func("held", func(context.Context, []byte) ([]byte, error) { return nil, held() })
	whenEnd = actor.Func("heard", func(context.Context, []byte) (time.Time, error) { return heard(), nil })
	sending = actor.Source("down", func(_ context.Context, n int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for range n {
				if !yield(item, nil) {
					return
				}
			}
		}
	})
	// talking sends back what comes, counting counts it.
	talking = actor.Dialog("talk", func(_ context.Context, _ []byte, started actor.Started[[]byte, []byte, []byte]) ([]byte, error) {
		p, err := started(nil)
		if err != nil {
			return nil, err
		}
		for {
			item, err := p.Recv()
			if err != nil {
				return nil, unlessEOF(err)
			}
			if err := p.Send(item); err != nil {
				return nil, err
			}
		}
	})
	counting = actor.Dialog("up", func(_ context.Context, _ []byte, started actor.Started[[]byte, []byte, []byte]) (int, error) {
		p, err := started(nil)
		if err != nil {
			return 0, err
		}
		for n := 0; ; n++ {
			if _, err := p.Recv(); errors.Is(err, io.EOF) {
				return n, nil
			} else if err != nil {
				return n, err
			}
		}
	})
)

// exposed is what the rows ask for.
var exposed = actor.Expose(echoing, signing, holding, isHeld, whenEnd, sending, talking, counting)

var (
	begun    = make(chan struct{}, 1) // a call holds
	canceled = make(chan time.Time, 1)
)

// hold returns when it is canceled.
func hold(ctx context.Context) error {
	begun <- struct{}{}
	<-ctx.Done()
	canceled <- time.Now()
	return ctx.Err()
}

// held waits until there is a call of hold.
func held() error {
	<-begun
	return nil
}

// heard returns when a call of hold has heard that it is canceled. Time is that of the
// machine, which both processes have in common.
func heard() time.Time { return <-canceled }

// untilHeard returns how long it takes from the cancellation of a call of hold until that hears
// of it. What the other process answers is asked for when that has been.
func untilHeard(ctx context.Context, call func(ctx context.Context), isHeld func(), whenHeard func() time.Time) time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		call(ctx)
	}()
	isHeld()
	time.Sleep(untilIdle)
	begin := time.Now().Round(0) // without the reading of a clock that the other process does not have
	cancel()
	<-returned
	time.Sleep(untilIdle)
	return whenHeard().Sub(begin)
}

// untilIdle is how long two processes have to come to rest, so that nothing else goes on than
// what is measured.
const untilIdle = 300 * time.Microsecond

func actorExchange(p *actor.Peer[[]byte, []byte]) {
	must(p.Send(item))
	_, err := p.Recv()
	must(err)
}

// grpcByHand is what package actor is compared with.
const grpcByHand = "gRPC by hand"

// Actors returns the rows about package actor.
func Actors(e Effort) []Row {
	items := e.Large(2_000)
	few := e
	few.Batch, few.AtLeast, few.AtMost = 0, min(e.AtLeast, 7), 100/e.Shrink+1
	return []Row{
		besideBare("a call, 20 bytes", 1, "call", 1.2, e, both(func(ctx context.Context, a *actor.Actor) {
			_, err := echoing.Run(ctx, a, item)
			must(err)
		}, func(ctx context.Context, b *bare) {
			_, err := b.call(ctx, "Echo", item)
			must(err)
		})),
		besideBare("a call, a small struct as JSON", 1, "call", 1.2, e, both(func(ctx context.Context, a *actor.Actor) {
			_, err := signing.Run(ctx, a, note{ID: 1, Text: "a note"})
			must(err)
		}, func(ctx context.Context, b *bare) { b.sign(ctx, note{ID: 1, Text: "a note"}) })),
		besideBare("ping-pong in an open dialog", 1, "item", 1.2, e, func(ctx context.Context, a *actor.Actor, b *bare, measure func(ours, theirs func(n int) time.Duration)) {
			_, err := talking.Run(ctx, a, nil, func(ctx context.Context, _ []byte, p *actor.Peer[[]byte, []byte]) error {
				b.talk(ctx, func(s grpc.ClientStream) {
					measure(timed(func() { actorExchange(p) }), timed(func() { bareExchange(s) }))
				})
				return nil
			})
			must(err)
		}),
		besideBare("2,000 items down, in one stream", items, "item", 1.3, e, both(func(ctx context.Context, a *actor.Actor) {
			n := 0
			for _, err := range sending.Run(ctx, a, items) {
				must(err)
				n++
			}
			if n != items {
				panic("bench: items are missing")
			}
		}, func(ctx context.Context, b *bare) { b.down(ctx, items) })),
		besideBare("2,000 items up, in one dialog", items, "item", 1.3, e, both(func(ctx context.Context, a *actor.Actor) {
			n, err := counting.Run(ctx, a, nil, func(_ context.Context, _ []byte, p *actor.Peer[[]byte, []byte]) error {
				for range items {
					must(p.Send(item))
				}
				return nil
			})
			must(err)
			if n != items {
				panic("bench: items are missing")
			}
		}, func(ctx context.Context, b *bare) { b.up(ctx, items) })),
		besideBare("a dialog, one item each way, until both have returned", 1, "dialog", 1.6, e, both(func(ctx context.Context, a *actor.Actor) {
			_, err := talking.Run(ctx, a, nil, func(_ context.Context, _ []byte, p *actor.Peer[[]byte, []byte]) error {
				actorExchange(p)
				return nil
			})
			must(err)
		}, func(ctx context.Context, b *bare) { b.talk(ctx, bareExchange) })),
		besideBare("a call, from cancel until the function hears it", 1, "call", 1.6, e.unbatched(), func(ctx context.Context, a *actor.Actor, b *bare, measure func(ours, theirs func(n int) time.Duration)) {
			measure(summed(func() time.Duration { return cancelActor(ctx, a) }), summed(func() time.Duration { return b.cancel(ctx) }))
		}),
		{What: "one started and called", Target: 40, Unit: "ms", measure: func() (Figure, error) { return times(few, func() time.Duration { return actorsFor(1).started }) }},
		{What: "one ended", Target: 10, Unit: "ms", measure: func() (Figure, error) { return times(few, func() time.Duration { return actorsFor(1).ended }) }},
		{What: "one killed", Target: 10, Unit: "ms", measure: func() (Figure, error) { return times(few, killActor) }},
		versus("25 started and called at once", grpcByHand, lives("start", max(2, e.Large(25)), func(l life) time.Duration { return l.started }), "traigo", grpcByHand, none, few),
		versus("25 ended at once", grpcByHand, lives("end", max(2, e.Large(25)), func(l life) time.Duration { return l.ended }), "traigo", grpcByHand, none, few),
	}
}

// both returns the form that besideBare asks for, for two operations.
func both(ours func(context.Context, *actor.Actor), theirs func(context.Context, *bare)) func(context.Context, *actor.Actor, *bare, func(ours, theirs func(n int) time.Duration)) {
	return func(ctx context.Context, a *actor.Actor, b *bare, measure func(ours, theirs func(n int) time.Duration)) {
		measure(timed(func() { ours(ctx, a) }), timed(func() { theirs(ctx, b) }))
	}
}

// besideBare compares two operations that do calls the function measure with, while there are
// an actor and a process that is asked by hand.
func besideBare(what string, units int, unit string, target float64, e Effort, do func(ctx context.Context, a *actor.Actor, b *bare, measure func(ours, theirs func(n int) time.Duration))) Row {
	return Row{What: what, Beside: grpcByHand, Target: target, measure: func() (f Figure, err error) {
		b := newBare(context.Background())
		defer b.end()
		err = traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
			a, err := actor.Start(ctx, s, "actor", exposed)
			if err != nil {
				return err
			}
			do(ctx, a, b, func(ours, theirs func(n int) time.Duration) {
				work := Work{Name: what, Units: units, Unit: unit, Ways: []Way{{"traigo", ours}, {grpcByHand, theirs}}}
				f, err = versus(what, grpcByHand, work, "traigo", grpcByHand, target, e).measure()
			})
			return err
		})
		return f, err
	}}
}

// cancelActor is the cancel of a bare, for an actor.
func cancelActor(ctx context.Context, a *actor.Actor) time.Duration {
	return untilHeard(ctx, func(ctx context.Context) { _, _ = holding.Run(ctx, a, nil) }, func() {
		_, err := isHeld.Run(ctx, a, nil)
		must(err)
	}, func() time.Time {
		at, err := whenEnd.Run(ctx, a, nil)
		must(err)
		return at
	})
}

func startAndCall(ctx context.Context, s *traigo.Scope) *actor.Actor {
	a, err := actor.Start(ctx, s, "actor", exposed)
	must(err)
	_, err = echoing.Run(ctx, a, item)
	must(err)
	return a
}

// A life is how long processes take to be started and called, and to end when they are asked to.
type life struct{ started, ended time.Duration }

func actorsFor(n int) (took life) {
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		actors := make([]*actor.Actor, n)
		took = lifeOf(n, func(i int) { actors[i] = startAndCall(ctx, s) }, func(i int) {
			actors[i].Cancel(nil)
			must(actors[i].Wait(ctx))
		})
		return nil
	}))
	return took
}

func baresFor(n int) life {
	bares := make([]*bare, n)
	return lifeOf(n, func(i int) {
		bares[i] = newBare(context.Background())
		_, err := bares[i].call(context.Background(), "Echo", item)
		must(err)
	}, func(i int) { bares[i].end() })
}

func lifeOf(n int, start, end func(i int)) life {
	return life{atOnce(n, start), atOnce(n, end)}
}

func atOnce(n int, f func(i int)) time.Duration {
	begin := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
	return time.Since(begin)
}

// killActor returns how long it takes from the kill of an actor until it was reaped.
func killActor() (took time.Duration) {
	must(traigo.Run(context.Background(), func(ctx context.Context, s *traigo.Scope) error {
		a := startAndCall(ctx, s)
		begin := time.Now()
		a.Kill()
		err := a.Wait(ctx)
		took = time.Since(begin)
		return err
	}))
	return took
}

// lives is a part of the life of n processes at once.
func lives(name string, n int, part func(life) time.Duration) Work {
	return Work{Name: "Actors/" + name, Units: n, Unit: "actor", Ways: []Way{
		{"traigo", summed(func() time.Duration { return part(actorsFor(n)) })},
		{grpcByHand, summed(func() time.Duration { return part(baresFor(n)) })},
	}}
}
