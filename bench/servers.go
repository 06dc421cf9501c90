package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// A server of package serve beside one of net/http alone. Both have the same handler, and a
// client that writes bytes and looks for the end of the response, so that most of the time is
// the server's.

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "order %s: 3 teas\n", r.PathValue("id"))
	})
	return mux
}

// A site is a server with clients, each of which has a connection of its own.
type site struct {
	clients []*client
	end     func()
}

func newSite(clients int, start func(l net.Listener) (end func())) *site {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	end := start(l)
	s := &site{}
	for range clients {
		c, err := net.Dial("tcp", l.Addr().String())
		must(err)
		s.clients = append(s.clients, &client{conn: c, in: bufio.NewReader(c)})
	}
	s.end = func() {
		for _, c := range s.clients {
			must(c.conn.Close())
		}
		end()
	}
	return s
}

func byTraigo(l net.Listener) (end func()) {
	s := traigo.New(context.Background(), traigo.Name("site"))
	serve.HTTP(s, &http.Server{Handler: routes()}, l)
	return func() { must(s.Shutdown(context.Background())) }
}

func byNetHTTP(l net.Listener) (end func()) {
	srv := &http.Server{Handler: routes()}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = srv.Serve(l)
	}()
	return func() {
		must(srv.Shutdown(context.Background()))
		<-returned
	}
}

type client struct {
	conn net.Conn
	in   *bufio.Reader
}

var (
	get  = []byte("GET /orders/17 HTTP/1.1\r\nHost: site\r\n\r\n")
	last = []byte("order 17: 3 teas\n")
)

// ask sends a request and reads the response.
func (c *client) ask() {
	_, err := c.conn.Write(get)
	must(err)
	for {
		line, err := c.in.ReadSlice('\n')
		must(err)
		if bytes.Equal(line, last) {
			return
		}
	}
}

// ask sends n requests, shared out among the clients, and returns how long each has taken.
func (s *site) ask(n int) []time.Duration {
	took := make([]time.Duration, n)
	var all sync.WaitGroup
	for i, c := range s.clients {
		all.Go(func() {
			for j := i; j < n; j += len(s.clients) {
				begin := time.Now()
				c.ask()
				took[j] = time.Since(begin)
			}
		})
	}
	all.Wait()
	return took
}

// p99 returns the time that 99 of 100 requests do not exceed.
func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Servers returns the rows about package serve.
func Servers(e Effort) []Row {
	e.Batch, e.AtLeast, e.Budget = 0, max(e.AtLeast, 15), 4*e.Budget
	requests := 2000 / min(e.Shrink, 10)
	each := func(s *site) time.Duration {
		begin := time.Now()
		s.ask(requests)
		return time.Since(begin) / time.Duration(requests)
	}
	return []Row{
		besideNetHTTP("a request, 1 connection, time between two", 1, each, e),
		besideNetHTTP("a request, 16 connections, time between two", 16, each, e),
		besideNetHTTP("a request, 1 connection, 99th percentile", 1, func(s *site) time.Duration { return p99(s.ask(requests)) }, e),
		besideNetHTTP("a request, 16 connections, 99th percentile", 16, func(s *site) time.Duration { return p99(s.ask(requests)) }, e),
	}
}

// besideNetHTTP compares what measure returns for both servers.
func besideNetHTTP(what string, clients int, measure func(*site) time.Duration, e Effort) Row {
	return Row{What: what, Beside: "net/http alone", Target: 1.05, measure: func() (Figure, error) {
		ours, theirs := newSite(clients, byTraigo), newSite(clients, byNetHTTP)
		defer ours.end()
		defer theirs.end()
		op := func(s *site) func(n int) time.Duration { return summed(func() time.Duration { return measure(s) }) }
		t := Take([]Sample{{"traigo", op(ours)}, {"net/http", op(theirs)}}, e)
		cost := func(name string, s *site) Cost {
			const n = 2000
			times, bytes := allocatedBy(func() { s.ask(n) })
			return Cost{t.Time(name), times / n, bytes / n}
		}
		return Figure{t.Ratio("traigo", "net/http"), cost("traigo", ours), cost("net/http", theirs)}, nil
	}}
}
