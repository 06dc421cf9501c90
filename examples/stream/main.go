// Stream is a dialog between two processes, which either side can end:
//
//	cd examples/stream && go run .
//
// An actor knows the prices of some goods, and tells each change of those that it is asked to
// watch. Who asks can ask for more while prices come in. First the asker has enough, and the
// actor hears why. Then the market closes, and the asker hears that, wherever it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

func main() {
	actor.Serve() // an actor runs the same program, and stays in here
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// A Price is one change.
type Price struct {
	Good  string
	Cents int
}

var errClosed = errors.New("the market has closed")

// market tells of prices until the asker leaves, or the market closes after some changes.
var market = actor.Dialog("market", func(ctx context.Context, changes int, started actor.Started[string, Price, string]) (int, error) {
	asker, err := started("open")
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	var watched []string
	told := 0
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error {
			for good, err := range asker.With(ctx).Items() {
				if err != nil {
					return err
				}
				mu.Lock()
				watched = append(watched, good)
				mu.Unlock()
			}
			return nil
		}, traigo.Name("listen"), traigo.Awaited(false))
		for i := range changes {
			if err := traigo.Sleep(ctx, 10*time.Millisecond); err != nil {
				return err
			}
			mu.Lock()
			goods := watched
			mu.Unlock()
			for k, good := range goods {
				if err := asker.With(ctx).Send(Price{good, 100*(k+1) + i}); err != nil {
					return err
				}
				told++
			}
		}
		return errClosed
	}, traigo.Name("market"))
	if ctx.Err() != nil {
		fmt.Println("market: the asker has left:", context.Cause(ctx))
	}
	return told, err
})

var errEnough = errors.New("enough was seen")

// run asks twice: first it leaves after five prices, then it stays until the end.
func run(ctx context.Context, out io.Writer) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		a, err := actor.Start(ctx, s, "exchange", actor.Expose(market))
		if err != nil {
			return err
		}
		_, err = market.Run(ctx, a, 1000, func(_ context.Context, _ string, p *actor.Peer[string, Price]) error {
			if err := p.Send("apples"); err != nil {
				return err
			}
			seen := 0
			for price, err := range p.Items() {
				if err != nil {
					return err
				}
				fmt.Fprintf(out, "asker: %s at %d\n", price.Good, price.Cents)
				if seen++; seen == 2 {
					if err := p.Send("pears"); err != nil { // while prices come in
						return err
					}
				}
				if seen == 5 {
					return errEnough
				}
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			return err
		}
		_, err = market.Run(ctx, a, 20, func(ctx context.Context, _ string, p *actor.Peer[string, Price]) error {
			if err := p.Send("plums"); err != nil {
				return err
			}
			<-ctx.Done() // nothing is read here, and it hears of the end all the same
			return context.Cause(ctx)
		})
		fmt.Fprintln(out, "asker:", err)
		return nil
	}, traigo.Name("asker"))
}
