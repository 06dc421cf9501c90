package main

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/serve"
)

// pipes is a listener for tests in a bubble, where a network connection cannot be used.
type pipes struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() pipes { return pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p pipes) call(t *testing.T) *caller {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return answer(t, ours)
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func TestASilentGuestIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ln := newPipes()
		stop := start(t, &server{queue: 16, idle: time.Minute}, ln)
		ann := ln.call(t)
		for range 3 { // each line restarts the timeout
			time.Sleep(50 * time.Second)
			ann.say("still here")
		}
		assert.Equal(t, []string{"* no word from you for 1m0s"}, ann.rest())
		assert.Equal(t, 210*time.Second, time.Since(began))
		assert.NoError(t, stop())
	})
}

func TestTheGracePeriodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, srv := newPipes(), &server{queue: 16}
		start(t, srv, ln)
		ann := ln.call(t)
		ann.say("/slow 1m")
		assert.Equal(t, "* working for 1m0s", ann.hear())

		began := time.Now()
		over := &serve.SignalError{Signal: os.Interrupt, Grace: 5 * time.Second}
		stopped := make(chan error)
		go func() { stopped <- shutDown(srv, over.Grace, over) }()
		assert.Equal(t, []string{"* server is shutting down", "* " + over.Error()}, ann.rest())
		assert.ErrorIs(t, <-stopped, over)
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestAGuestWhoReadsNothingDoesNotDelayTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		stop := start(t, &server{queue: 16}, ln)
		ln.call(t) // and never reads again
		began := time.Now()
		assert.NoError(t, stop())
		assert.Equal(t, lastWords, time.Since(began))
	})
}

func TestSlowCommandsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		stop := start(t, &server{queue: 16}, ln)
		ann := ln.call(t)
		for range maxSlow {
			ann.say("/slow 10s")
			assert.Equal(t, "* working for 10s", ann.hear())
		}
		ann.say("/slow 10s")
		assert.Equal(t, "* you have enough to wait for", ann.hear())
		for range maxSlow {
			assert.Equal(t, "* done after 10s", ann.hear())
		}
		synctest.Wait()
		ann.say("/slow 10s")
		assert.Equal(t, "* working for 10s", ann.hear())
		ann.say("/quit")
		assert.Equal(t, []string{"* done after 10s", "* goodbye"}, ann.rest())
		assert.NoError(t, stop())
	})
}
