// Package demo is a program worth watching: a small TCP service that quotes prices,
// and clients that put it under load. Nothing in it is staged for the viewer but
// three defects, which are real: a request that takes longer than the service waits,
// a client that sends nonsense, and a log rotation that closes the journal while it is
// written. The last one ends the service, and its supervisor starts it again.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

// A Demo is one run of service and clients. Use it once.
type Demo struct {
	Duration time.Duration // how long the clients keep on
	Dir      string        // where the journal is written

	addr    string // of the service, the same after a restart
	numbers numbers
}

// Start starts the service and its load in s, which ends when the clients have gone
// home and somebody waits for it.
func (d *Demo) Start(ctx context.Context, s *traigo.Scope) error {
	if err := d.findPort(ctx); err != nil {
		return err
	}
	s.Spawn(d.supervised(), traigo.Name("supervisor"), traigo.Awaited(false))
	s.Spawn(d.load, traigo.Name("load"))
	return nil
}

// Summary says in one line what the clients have seen.
func (d *Demo) Summary() string { return d.numbers.String() }

// findPort finds an address for the service, which has to be there again when it is
// restarted.
func (d *Demo) findPort(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("a free port for the service: %w", err)
	}
	d.addr = ln.Addr().String()
	return ln.Close()
}

// supervised is the service, run again when it has failed.
func (d *Demo) supervised() func(context.Context) error {
	return supervise.Restart(d.serve, supervise.Intensity(3, time.Minute),
		supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(d.Duration / 20) }),
		supervise.Logger(slog.New(slog.DiscardHandler)), // the tree tells it
	)
}

// serve is one attempt of the service.
func (d *Demo) serve(ctx context.Context) error {
	journal, err := os.Create(filepath.Join(d.Dir, "journal.txt"))
	if err != nil {
		return err
	}
	defer journal.Close()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", d.addr)
	if err != nil {
		return err
	}
	srv := &service{ln: ln, journal: journal, quotes: make(chan string, 64), conns: make(chan *traigo.Scope, 64), idle: d.Duration / 8}
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		s.Spawn(srv.accept, traigo.Name("accept"), traigo.Master(true))
		s.Spawn(srv.hangUp, traigo.Name("hang up"), traigo.Awaited(false))
		s.Spawn(srv.outcomes, traigo.Name("outcomes"))
		s.Spawn(srv.write, traigo.Name("journal"), traigo.Awaited(false))
		s.Spawn(srv.sweep, traigo.Name("sweep"), traigo.Awaited(false))
		if d.numbers.starts.Add(1) == 1 {
			s.Spawn(srv.rotateAfter(2*d.Duration/5), traigo.Name("rotate log"), traigo.Awaited(false))
		}
		return nil
	}, traigo.Name("service"), traigo.CancelTimeout(2*time.Second))
}
