package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// A site is a web server and a client that counts the requests it has running.
type site struct {
	server  *httptest.Server
	running atomic.Int64
}

func newSite() *site {
	slow := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/home", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Welcome!") })
	mux.HandleFunc("/about", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "About us") })
	mux.HandleFunc("/prices", fail)
	mux.HandleFunc("/archive", func(w http.ResponseWriter, r *http.Request) {
		<-slow // so that in every run it fails while the two slow requests are running
		<-slow
		fail(w, r)
	})
	forEver := func(_ http.ResponseWriter, r *http.Request) {
		slow <- struct{}{}
		<-r.Context().Done()
	}
	mux.HandleFunc("/news", forEver)
	mux.HandleFunc("/map", forEver)
	return &site{server: httptest.NewServer(mux)}
}

func fail(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "disk full", http.StatusInternalServerError)
}

// fetch returns the size of the page.
func (s *site) fetch(ctx context.Context, page string) (int64, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+page, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.server.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status) // like most errors, it does not name the page
	}
	return io.Copy(io.Discard, resp.Body)
}

func (s *site) close() {
	s.server.CloseClientConnections()
	s.server.Close()
}
