package temporal_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// Connections that break for one side only, and in other ways than by being closed.

// A relay is between a process and the server.
type relay struct {
	address string

	mu      sync.Mutex
	links   []*link
	isCut   bool
	refused int // connections
}

// A link is a connection of a process, and the one to the server that belongs to it.
type link struct {
	process, server net.Conn
	frozen          chan struct{} // closed: it takes what it is sent, and hands nothing on
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{address: l.Addr().String()}
	var over sync.WaitGroup
	over.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.accept(c, &over)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cut(true)
		over.Wait()
	})
	return r
}

func (r *relay) accept(process net.Conn, over *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	server, err := net.Dial("tcp", os.Getenv("TEMPORAL_ADDRESS"))
	if err != nil || r.isCut {
		r.refused++
		_ = process.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	k := &link{process, server, make(chan struct{})}
	r.links = append(r.links, k)
	over.Go(func() { k.copy(server, process) })
	over.Go(func() { k.copy(process, server) })
}

func (k *link) copy(to, from net.Conn) {
	for b := make([]byte, 64<<10); ; {
		n, err := from.Read(b)
		select {
		case <-k.frozen:
			if err != nil {
				return // of which the other side learns nothing
			}
			continue
		default:
		}
		if err == nil {
			_, err = to.Write(b[:n])
		}
		if err != nil {
			k.close()
			return
		}
	}
}

func (k *link) close() {
	_ = k.process.Close()
	_ = k.server.Close()
}

// cut closes all connections, and refuses others until it is called with false.
func (r *relay) cut(isCut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut, r.refused = isCut, 0
	for _, k := range r.links {
		k.close()
	}
	r.links = nil
}

// freeze makes the connections that there are take what they are sent, and hand on nothing. New ones work.
func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.links {
		close(k.frozen)
	}
}

func (r *relay) hasRefused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// A connection that dies without a word is replaced before that costs the lease of 30 s.
func TestConnectionsThatDieSilently(t *testing.T) {
	t.Parallel()
	for what, side := range map[string]int{"owner": 0, "worker": 1} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			queue, file := queueOf(t), newGate(t)
			between := newRelay(t)
			env := [2][]string{}
			env[side] = []string{"TEMPORAL_ADDRESS=" + between.address}
			w := startWorker(t, queue, env[1]...)
			o := start(t, gateOwner, append(env[0], "TRAIGO_TEST_QUEUE="+queue, "TRAIGO_TEST_GATE="+file)...)
			w.await(t, "began a")
			between.freeze()
			passes(t, 35*time.Second)
			require.Empty(t, w.said("ended "))
			openGate(t, file)
			require.Equal(t, "called a by attempt 1 <nil>", o.await(t, "called "))
		})
	}
}

// gateOwner is an owner with one call, which waits for the gate TRAIGO_TEST_GATE.
var gateOwner = role("gateOwner", func(ctx context.Context) error {
	return owns(ctx, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		out, err := waits.Run(ctx, r, gate{"a", os.Getenv("TRAIGO_TEST_GATE")})
		say("called %s %v", out, err)
		return err
	})
})

// A server that is away is tried again each second, so that its return is not overlooked for the rest of
// a lease.
func TestConnectionIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	between := newRelay(t)
	w := startWorker(t, queue, "TEMPORAL_ADDRESS="+between.address)
	between.cut(true)
	eventually(t, func() bool { return between.hasRefused() >= 25 }, "25 tries take longer") // 10 s between two of them would be 3 min
	between.cut(false)
	require.NoError(t, within(t, connect(t), queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := did.Run(ctx, r, "a")
		return err
	}))
	require.Len(t, w.said("did a"), 1)
}
