package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

const (
	maxLine   = 4 << 10
	lastWords = time.Second // the time to write the rest of the queue when a conversation has ended
)

var errTooSlow = errors.New("too slow: does not read what is said")

// A guest is the other end of a connection.
type guest struct {
	name  string
	conn  net.Conn
	srv   *server
	scope *traigo.Scope
	queue chan string // lines for the task "write"
}

// tell never blocks: a guest who does not read must not stop those who write.
func (g *guest) tell(format string, args ...any) {
	select {
	case g.queue <- fmt.Sprintf(format, args...) + "\n":
	default:
		g.scope.Cancel(errTooSlow)
	}
}

// talk is the only awaited task besides the commands: when they have all returned, the
// conversation is over. It spawns the other tasks itself. If host did so, a shutdown could
// come before talk was spawned, and find nothing in the scope to wait for.
func (g *guest) talk(ctx context.Context) error {
	here := traigo.Current(ctx)
	if _, ok := here.TrySpawn(g.hangUp, traigo.Name("hang up"), traigo.Awaited(false)); !ok {
		return nil // the scope has ended, and no task would end the read below
	}
	here.Spawn(g.write, traigo.Name("write"), traigo.Awaited(false))

	lines := bufio.NewScanner(g.conn)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		here.SetTimeout(g.srv.idle) // restarts the timeout
		if quit := g.handle(ctx, strings.TrimSpace(lines.Text())); quit {
			return nil
		}
	}
	select {
	case <-traigo.Stopping(ctx): // hangUp has ended the read
		if ctx.Err() == nil {
			g.tell("* server is shutting down")
		}
		return nil
	default:
		return lines.Err() // nil if the guest has closed the connection
	}
}

// write is not awaited, so it is canceled when all other tasks have ended. It then writes
// the rest of the queue.
func (g *guest) write(ctx context.Context) error {
	for {
		select {
		case line := <-g.queue:
			if _, err := io.WriteString(g.conn, line+g.waiting()); err != nil {
				return err
			}
		case <-ctx.Done():
			return g.farewell(context.Cause(ctx))
		}
	}
}

// hangUp ends the calls of package net, which take no context. It ends the read when
// Stopping is closed, and, a second after the conversation is over, the write.
func (g *guest) hangUp(ctx context.Context) error {
	<-traigo.Stopping(ctx)
	if err := g.conn.SetReadDeadline(time.Now()); err != nil {
		return err
	}
	<-ctx.Done()
	return g.conn.SetWriteDeadline(time.Now().Add(lastWords))
}

// farewell tells the guest why the conversation is over, which it takes from the cause.
func (g *guest) farewell(cause error) error {
	reason := "something went wrong"
	var why *traigo.Cancellation
	switch errors.As(cause, &why); {
	case why == nil:
	case why.Kind == traigo.Completed:
		reason = "goodbye"
	case why.Kind == traigo.TimedOut:
		reason = fmt.Sprintf("no word from you for %v", g.srv.idle)
	case why.Kind == traigo.Requested && why.Err != nil: // errTooSlow, *serve.SignalError
		reason = why.Err.Error()
	case errors.Is(cause, bufio.ErrTooLong):
		reason = "that line is too long"
	}

	text := "* " + reason + "\n"
	if !errors.Is(cause, errTooSlow) {
		text = g.waiting() + text
	}
	_, _ = io.WriteString(g.conn, text) // the guest may have gone
	return nil
}

// waiting takes all lines out of the queue. Only the task "write" calls it.
func (g *guest) waiting() string {
	var lines strings.Builder
	for len(g.queue) > 0 {
		lines.WriteString(<-g.queue)
	}
	return lines.String()
}
