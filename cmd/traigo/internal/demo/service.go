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

// A service reads lines with the name of a thing, and answers each with its price.
//
//	service      tasks "accept", "hang up", "outcomes", "journal", "sweep"
//	└ conn       tasks "talk", "hang up"
//	  └ quote    within "talk": a race of the cache and the market
type service struct {
	ln      net.Listener
	journal *os.File
	quotes  chan string
	conns   chan *traigo.Scope // the scopes of connections, for outcomes
	idle    time.Duration      // after which a connection without requests is closed
}

// hangUp closes the listener when the scope ends, since Accept has no context.
func (srv *service) hangUp(ctx context.Context) error {
	<-ctx.Done()
	return srv.ln.Close()
}

// accept opens a scope for each connection.
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
		// In a fork, so that the failure of a connection does not end the service.
		scope := traigo.Current(ctx).Fork(traigo.Name("conn"), traigo.Timeout(srv.idle))
		c := &client{srv: srv, conn: conn, scope: scope}
		scope.Spawn(c.hangUp, traigo.Name("hang up"), traigo.Awaited(false))
		scope.Spawn(c.talk, traigo.Name("talk"))
		scope.Finalize()
		srv.conns <- scope
	}
}

// outcomes waits for the scopes of the connections, and drops their outcomes. A failure
// that nobody waits for would be logged.
func (srv *service) outcomes(context.Context) error {
	for scope := range srv.conns {
		_ = scope.Wait()
	}
	return nil
}

// write writes the quotes to the journal.
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

// rotateAfter returns a task that closes the journal after d, as a log rotation does. Its
// defect is that the journal is still being written.
func (srv *service) rotateAfter(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := traigo.Sleep(ctx, d); err != nil {
			return err
		}
		return srv.journal.Close()
	}
}

// sweep does some work from time to time. It notices only late that ctx is done.
func (srv *service) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		time.Sleep(350 * time.Millisecond)
	}
	return nil
}

// A client is a connection to the service.
type client struct {
	srv   *service
	conn  net.Conn
	scope *traigo.Scope
}

// hangUp closes the connection when its scope ends, since Read has no context.
func (c *client) hangUp(ctx context.Context) error {
	<-ctx.Done()
	return c.conn.Close()
}

// talk answers the requests of the client.
func (c *client) talk(ctx context.Context) error {
	lines := bufio.NewScanner(c.conn)
	for lines.Scan() {
		c.scope.SetTimeout(c.srv.idle) // begins again after each request
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

// because returns the reason of an error of a connection. Once ctx is done it is the cause
// of that, since hangUp has closed the connection.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sorry is the answer when a price cannot be found in time.
const sorry = "sorry"

var errNonsense = errors.New("that is no name of a thing")

// quote asks the cache and the market at the same time, and returns the first price. It
// fails after 400 ms.
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

// A thing is something with a price.
type thing string

// cached returns the price in the cache, which has about half of all things. For others it
// blocks until ctx is done.
func (th thing) cached(ctx context.Context) (string, error) {
	if len(th)%2 == 0 {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "42", traigo.Sleep(ctx, 20*time.Millisecond)
}

// onMarket returns the price on the market, sometimes only after a long time.
func (th thing) onMarket(ctx context.Context) (string, error) {
	long := 80 + 150*rand.ExpFloat64()
	err := traigo.Sleep(ctx, time.Duration(long)*time.Millisecond)
	return fmt.Sprint(len(th) * 7), err
}
