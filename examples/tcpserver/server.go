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
	grace time.Duration // how long conversations may go on after a signal
	idle  time.Duration // how long a guest may be silent; 0: for ever
	queue int           // how many lines wait for a guest who does not read
	log   *slog.Logger
	watch []traigo.ScopeOption // an observer, for example

	scope *traigo.Scope
	room  room
}

// serve accepts connections until ctx is done, and returns when all conversations have
// ended.
func (srv *server) serve(ctx context.Context, ln net.Listener) error {
	// The end of ctx begins a shutdown, and must not cancel the conversations: the scope is
	// opened under a context that does not end.
	apart := context.WithoutCancel(ctx)
	srv.scope = traigo.New(apart, append(srv.watch, traigo.Name("server"), traigo.Logger(srv.log))...)
	srv.scope.Spawn(func(ctx context.Context) error { return srv.accept(ctx, ln) }, traigo.Name("accept"))
	srv.scope.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx) // closed by Shutdown, and when the scope is canceled
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
			conn.Close() // the scope has ended, so host, which would close it, does not run
		}
	}
}

// host runs one conversation and closes its connection.
func (srv *server) host(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	peer := conn.RemoteAddr().String()
	scope := traigo.Current(ctx).Fork(
		traigo.Name("conn "+peer),
		traigo.Timeout(srv.idle),
		traigo.Limit(1+maxSlow), // talk, and the slow commands
		traigo.PanicAsError(),   // a bug in one conversation does not end the others
	)
	g := &guest{name: peer, conn: conn, srv: srv, scope: scope, queue: make(chan string, srv.queue)}
	srv.room.join(g)

	scope.Spawn(g.talk, traigo.Name("talk"))
	err := scope.Wait()

	srv.room.leave(g, err)
	srv.log.Info("left", "guest", peer, "err", err)
	return nil // an error of one conversation does not end the server
}
