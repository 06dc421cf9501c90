package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/traigo/traigo"
)

var errGraceOver = errors.New("the grace period is over")

// A server hosts one conversation for each connection:
//
//	server               tasks "accept", "close listener" and, for each guest, "host"
//	└ conn 127.0.0.1:…   tasks "talk", "hang up", "write" and one for each slow command
type server struct {
	grace time.Duration // what Shutdown leaves to conversations
	idle  time.Duration // how long a guest may be silent; 0: for ever
	queue int           // lines that may wait for a guest to read
	log   *slog.Logger
	watch []traigo.ScopeOption // for who wants to see it: an observer, say

	scope *traigo.Scope
	room  room
}

// serve accepts connections until ctx is done, and returns when all that began
// because of them has ended.
func (srv *server) serve(ctx context.Context, ln net.Listener) error {
	// The end of ctx is the beginning of a shutdown. It must not cut anybody
	// off, hence a scope that does not hear of it.
	apart := context.WithoutCancel(ctx)
	srv.scope = traigo.New(apart, append(srv.watch, traigo.Name("server"), traigo.Logger(srv.log))...)
	srv.scope.Spawn(func(ctx context.Context) error { return srv.accept(ctx, ln) }, traigo.Name("accept"))
	srv.scope.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx) // closed by Shutdown, and by any other end
		return ln.Close()
	}, traigo.Name("close listener"), traigo.Awaited(false))

	select {
	case <-ctx.Done():
		srv.log.Info("shutting down", "grace", srv.grace)
	case <-srv.scope.Done(): // accept has failed
	}
	limited, cancel := context.WithTimeoutCause(apart, srv.grace, errGraceOver)
	defer cancel()
	return srv.scope.Shutdown(limited)
}

func (srv *server) accept(ctx context.Context, ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			select {
			case <-traigo.Stopping(ctx):
				return nil
			default:
				return err
			}
		}
		host := func(ctx context.Context) error { return srv.host(ctx, conn) }
		if _, ok := srv.scope.TrySpawn(host, traigo.Name("host")); !ok {
			conn.Close() // the scope has ended meanwhile, and host will not do it
		}
	}
}

// host looks after one conversation, from its first line to the closed socket.
func (srv *server) host(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	peer := conn.RemoteAddr().String()
	scope := traigo.Current(ctx).Fork(
		traigo.Name("conn "+peer),
		traigo.Timeout(srv.idle),
		traigo.Limit(3+maxSlow), // talk, hang up, write
		traigo.PanicAsError(),   // a bug in one conversation does not end the others
	)
	g := &guest{name: peer, conn: conn, srv: srv, scope: scope, queue: make(chan string, srv.queue)}
	srv.room.join(g)

	scope.Spawn(g.talk, traigo.Name("talk"))
	err := scope.Wait()

	srv.room.leave(g, err)
	srv.log.Info("left", "guest", peer, "err", err)
	return nil // it was this conversation's
}
