package serve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// conns are the connections of an http.Server on which something happens. A connection of
// HTTP/1 that is new or idle is in neither map. One of HTTP/2 that has had a request remains
// active until it is closed: it is said to be idle before the last response is written.
type conns struct {
	mu       sync.Mutex            // a leaf: nothing is called while it is held
	active   map[net.Conn]bool     // a request is read or handled, or its response is written; true: HTTP/2
	hijacked map[net.Conn]struct{} // taken over by a handler that has not returned
	handlers int                   // how many handlers run
	settled  chan struct{}         // closed when no response is being written; nil: nobody waits
	quiet    func()                // to be called when no connection is active; nil: nothing
}

// watch makes c follow the connections of srv. The functions that srv has are called after
// those of c.
func (c *conns) watch(srv *http.Server) {
	c.active, c.hijacked = make(map[net.Conn]bool), make(map[net.Conn]struct{})
	connState, connContext := srv.ConnState, srv.ConnContext
	srv.ConnState = func(conn net.Conn, state http.ConnState) {
		c.changed(conn, state)
		if connState != nil {
			connState(conn, state)
		}
	}
	srv.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, conn)
		}
		if ctx == nil {
			return nil // package net/http panics, and says why
		}
		return context.WithValue(ctx, connKey{}, conn)
	}
}

type connKey struct{}

func (c *conns) changed(conn net.Conn, state http.ConnState) {
	quiet := func() {}
	defer func() { quiet() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	isHTTP2 := c.active[conn]
	if state == http.StateActive || state == http.StateIdle && isHTTP2 {
		c.active[conn] = isHTTP2
		return
	}
	delete(c.active, conn)
	if state == http.StateHijacked {
		c.hijacked[conn] = struct{}{}
	}
	c.settleLocked()
	quiet = c.takeQuietLocked()
}

func (c *conns) handlerBegins(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers++
	if r.ProtoMajor == 2 {
		if conn := connOf(r); conn != nil {
			c.active[conn] = true
		}
	}
}

// connOf returns the connection of a request, nil if somebody has replaced its context.
func connOf(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return conn
}

// handlerEnded is called when the handler for r has returned. If it has hijacked the
// connection, and handed it to another task, that task has to close it.
func (c *conns) handlerEnded(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers--
	if len(c.hijacked) > 0 {
		delete(c.hijacked, connOf(r))
	}
}

// settleLocked closes settled if each connection may be that of a handler.
func (c *conns) settleLocked() {
	if c.settled != nil && len(c.active)+len(c.hijacked) <= c.handlers {
		close(c.settled)
		c.settled = nil
	}
}

// whenQuiet makes f be called once no connection is active. A server that is shut down reads
// no request any more, but package net/http waits 5 s for a connection that has brought
// none, as browsers open them in advance.
func (c *conns) whenQuiet(f func()) {
	c.mu.Lock()
	c.quiet = f
	quiet := c.takeQuietLocked()
	c.mu.Unlock()
	quiet()
}

// takeQuietLocked returns the function that is to be called now.
func (c *conns) takeQuietLocked() (f func()) {
	if c.quiet == nil || len(c.active) > 0 {
		return func() {}
	}
	f, c.quiet = c.quiet, nil
	return f
}

// flushTime is how long a response may take to be written after its handler has returned,
// when the server ends. The kernel takes it at once, unless the client does not read.
const flushTime = 250 * time.Millisecond

// flush waits until no response is being written, but no longer than flushTime: a client that
// does not read, or sends half a request, does not hold up the end.
func (c *conns) flush() {
	settled := make(chan struct{})
	c.mu.Lock()
	c.settled = settled
	c.settleLocked()
	c.mu.Unlock()
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	}
}

// closeHijacked closes the connections of handlers that have hijacked them and have not
// returned. Package net/http has nothing to do with these any more.
func (c *conns) closeHijacked() {
	c.mu.Lock()
	var left []net.Conn
	for conn := range c.hijacked {
		left = append(left, conn)
	}
	c.mu.Unlock()
	for _, conn := range left {
		_ = conn.Close()
	}
}
