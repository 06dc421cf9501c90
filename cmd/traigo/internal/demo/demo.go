// Package demo is the program that "traigo demo" shows: a small TCP service that quotes
// prices, and clients that put it under load. It has three defects, so that there are
// failures to see: some requests take longer than the service waits, a client sends
// requests that make no sense, and a log rotation closes the journal while it is being
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

// A Demo is one run of the service and its clients. It can be started once.
type Demo struct {
	Duration time.Duration // how long the clients send requests
	Dir      string        // the directory of the journal

	addr    string // of the service; the same after a restart
	numbers numbers
}

// Start starts the service and its clients in s. When s is finalized, it ends after the
// last client.
func (d *Demo) Start(ctx context.Context, s *traigo.Scope) error {
	if err := d.findPort(ctx); err != nil {
		return err
	}
	s.Spawn(d.supervised(), traigo.Name("supervisor"), traigo.Awaited(false))
	s.Spawn(d.load, traigo.Name("load"))
	return nil
}

// Summary returns, in one line, what answers the clients got.
func (d *Demo) Summary() string { return d.numbers.String() }

// Title says in a line what the program is.
func (d *Demo) Title() string {
	return fmt.Sprintf("a TCP service that quotes prices, and %d clients, for %v", shoppers, d.Duration)
}

// LookOut says in two lines what will go wrong.
func (d *Demo) LookOut() []string {
	return []string{
		fmt.Sprintf("look out:  at %.3g s a log rotation closes the journal; that ends the service,", d.rotation().Seconds()),
		"           and a supervisor starts it again. A quote that is late harms nothing else.",
	}
}

// rotation is when the journal is closed.
func (d *Demo) rotation() time.Duration { return 2 * d.Duration / 5 }

// findPort sets the address of the service to a free one. It is chosen here, and not by the
// service, so that it is the same after a restart.
func (d *Demo) findPort(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("a free port for the service: %w", err)
	}
	d.addr = ln.Addr().String()
	return ln.Close()
}

// supervised returns a task that runs the service, and restarts it after failures.
func (d *Demo) supervised() func(context.Context) error {
	return supervise.Restart(d.serve, supervise.Intensity(3, time.Minute),
		supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(d.Duration / 20) }),
		supervise.Logger(slog.New(slog.DiscardHandler)), // the tree shows the restarts
	)
}

// serve runs the service until it fails or ctx is done.
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
			s.Spawn(srv.rotateAfter(d.rotation()), traigo.Name("rotate log"), traigo.Awaited(false))
		}
		return nil
	}, traigo.Name("service"), traigo.CancelTimeout(2*time.Second))
}
