package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/traigo/traigo"
)

// A service answers each line, the name of a thing, with its price.
//
//	service      tasks "accept", "hang up", "outcomes", "journal", "sweep"
//	└ conn       tasks "talk", "hang up"
//	  └ quote    within "talk": a race of the cache and the market
type service struct {
	ln      net.Listener
	journal *os.File
	quotes  chan string
	conns   chan *traigo.Scope // those that have come, for outcomes
	idle    time.Duration
}

// hangUp ends what package net does, which knows no contexts, when the scope ends.
func (srv *service) hangUp(ctx context.Context) error {
	<-ctx.Done()
	return srv.ln.Close()
}

func (srv *service) accept(ctx context.Context) error {
	defer close(srv.conns)
	for {
		conn, err := srv.ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err() // and hangUp has closed the listener
			}
			return err
		}
		// A fork: what goes wrong with one client is not the service's failure.
		scope := traigo.Current(ctx).Fork(traigo.Name("conn"), traigo.Timeout(srv.idle))
		c := &client{srv: srv, conn: conn, scope: scope}
		scope.Spawn(c.hangUp, traigo.Name("hang up"), traigo.Awaited(false))
		scope.Spawn(c.talk, traigo.Name("talk"))
		scope.Finalize()
		srv.conns <- scope
	}
}

// outcomes takes those of the connections, which are nobody else's affair: what nobody
// asks for would be logged as lost.
func (srv *service) outcomes(context.Context) error {
	for scope := range srv.conns {
		_ = scope.Wait()
	}
	return nil
}

// write keeps a journal of what was quoted.
func (srv *service) write(ctx context.Context) error {
	for {
		select {
		case line := <-srv.quotes:
			if _, err := fmt.Fprintln(srv.journal, line); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// rotateAfter closes the journal to begin a new one, as log rotation does. That
// somebody is writing to it has been forgotten.
func (srv *service) rotateAfter(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := traigo.Sleep(ctx, d); err != nil {
			return err
		}
		return srv.journal.Close()
	}
}

// sweep tidies up now and then, and takes its time to notice that it is over.
func (srv *service) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		time.Sleep(350 * time.Millisecond)
	}
	return nil
}

// A client is a connection, seen from the service.
type client struct {
	srv   *service
	conn  net.Conn
	scope *traigo.Scope
}

func (c *client) hangUp(ctx context.Context) error {
	<-ctx.Done()
	return c.conn.Close()
}

func (c *client) talk(ctx context.Context) error {
	lines := bufio.NewScanner(c.conn)
	for lines.Scan() {
		c.scope.SetTimeout(c.srv.idle) // not idle
		price, err := c.srv.quote(ctx, lines.Text())
		switch {
		case errors.Is(err, errNonsense):
			return err
		case err != nil:
			price = sorry
		}
		if _, err := io.WriteString(c.conn, price+"\n"); err != nil {
			return because(ctx, err)
		}
	}
	return because(ctx, lines.Err())
}

// because is why a connection could not be used: hangUp has closed it, once ctx is done.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sorry is the answer to a question that took too long.
const sorry = "sorry"

var errNonsense = errors.New("that is no name of a thing")

// quote asks cache and market at once, and takes what comes first. It does not wait
// for long.
func (srv *service) quote(ctx context.Context, name string) (price string, err error) {
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		return "", fmt.Errorf("%w: %q", errNonsense, name)
	}
	err = traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) (err error) {
		price, err = traigo.Race(ctx, thing(name).cached, thing(name).onMarket)
		return err
	}, traigo.Name("quote"), traigo.Timeout(400*time.Millisecond))
	if err == nil {
		select {
		case srv.quotes <- name + " " + price:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return price, err
}

type thing string

// cached knows every other thing, and has nothing to say of the others.
func (th thing) cached(ctx context.Context) (string, error) {
	if len(th)%2 == 0 {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "42", traigo.Sleep(ctx, 20*time.Millisecond)
}

// onMarket always knows, and sometimes takes very long.
func (th thing) onMarket(ctx context.Context) (string, error) {
	long := 80 + 150*rand.ExpFloat64()
	err := traigo.Sleep(ctx, time.Duration(long)*time.Millisecond)
	return fmt.Sprint(len(th) * 7), err
}
