package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/traigo/traigo"
)

// A server hosts one conversation for each connection:
//
//	server               tasks "accept", "close listener" and, for each guest, "host"
//	└ conn 127.0.0.1:…   tasks "talk", "hang up", "write" and one for each slow command
type server struct {
	idle  time.Duration // how long a guest may be silent; 0: for ever
	queue int           // how many lines wait for a guest who does not read
	log   *slog.Logger

	scope *traigo.Scope
	room  room
}

// serve accepts connections in s, until s is shut down or canceled.
func (srv *server) serve(s *traigo.Scope, ln net.Listener) {
	srv.scope = s
	s.Spawn(func(ctx context.Context) error { return srv.accept(ctx, ln) }, traigo.Name("accept"))
	s.Spawn(func(ctx context.Context) error {
		<-traigo.Stopping(ctx) // closed by the first signal, and when s is canceled
		srv.log.Info("shutting down")
		return ln.Close()
	}, traigo.Name("close listener"), traigo.Awaited(false))
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
