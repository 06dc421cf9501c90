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
	lastWords = time.Second // to write what is left when a conversation has ended
)

var errTooSlow = errors.New("too slow: does not read what is said")

// A guest is the other end of a connection.
type guest struct {
	name  string
	conn  net.Conn
	srv   *server
	scope *traigo.Scope
	queue chan string // for write
}

// tell never waits: a guest who does not read must not stop those who write.
func (g *guest) tell(format string, args ...any) {
	select {
	case g.queue <- fmt.Sprintf(format, args...) + "\n":
	default:
		g.scope.Cancel(errTooSlow)
	}
}

// talk is the only awaited task besides commands: when it and they have
// returned, the conversation is over. That is why it spawns the others itself:
// a shutdown that comes in between finds somebody to wait for.
func (g *guest) talk(ctx context.Context) error {
	here := traigo.Current(ctx)
	if _, ok := here.TrySpawn(g.hangUp, traigo.Name("hang up"), traigo.Awaited(false)); !ok {
		return nil // over already, and nobody would end the reading
	}
	here.Spawn(g.write, traigo.Name("write"), traigo.Awaited(false))

	lines := bufio.NewScanner(g.conn)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		here.SetTimeout(g.srv.idle) // not idle
		if quit := g.handle(ctx, strings.TrimSpace(lines.Text())); quit {
			return nil
		}
	}
	select {
	case <-traigo.Stopping(ctx): // and hangUp has ended the reading
		if ctx.Err() == nil {
			g.tell("* server is shutting down")
		}
		return nil
	default:
		return lines.Err() // nil at the end of the stream
	}
}

// write is not awaited, so it outlives all others: it is canceled when they
// have ended, and then writes what they have left.
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

// hangUp ends calls of package net, which know no contexts. When the server
// stops, nothing more is read. When the conversation is over, nothing more is
// written but last words.
func (g *guest) hangUp(ctx context.Context) error {
	<-traigo.Stopping(ctx)
	if err := g.conn.SetReadDeadline(time.Now()); err != nil {
		return err
	}
	<-ctx.Done()
	return g.conn.SetWriteDeadline(time.Now().Add(lastWords))
}

// farewell says why the conversation is over, which is what the cause tells.
func (g *guest) farewell(cause error) error {
	reason := "something went wrong"
	var why *traigo.Cancellation
	switch errors.As(cause, &why); {
	case why == nil:
	case why.Kind == traigo.Completed:
		reason = "goodbye"
	case why.Kind == traigo.TimedOut:
		reason = fmt.Sprintf("no word from you for %v", g.srv.idle)
	case why.Kind == traigo.Requested && why.Err != nil: // errTooSlow, errGraceOver
		reason = why.Err.Error()
	case errors.Is(cause, bufio.ErrTooLong):
		reason = "that line is too long"
	}

	text := "* " + reason + "\n"
	if !errors.Is(cause, errTooSlow) {
		text = g.waiting() + text
	}
	_, _ = io.WriteString(g.conn, text) // it may be that nobody hears it
	return nil
}

// waiting takes all lines out of the queue, which only write and farewell do.
func (g *guest) waiting() string {
	var lines strings.Builder
	for len(g.queue) > 0 {
		lines.WriteString(<-g.queue)
	}
	return lines.String()
}
