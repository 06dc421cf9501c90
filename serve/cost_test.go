package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/serve"
)

// A request allocates, beside what package net/http does: the call of the handler with its
// request, the task, its function, and a context of values.
func TestCostRequestAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", hello)

	s := traigo.New(t.Context())
	ours := listen(t)
	serve.HTTP(s, &http.Server{Handler: mux}, ours)
	srv := &http.Server{Handler: mux}
	theirs := listen(t)
	go func() { _ = srv.Serve(theirs) }()

	ourTimes, ourBytes := costOfARequest(t, ours.Addr().String())
	theirTimes, theirBytes := costOfARequest(t, theirs.Addr().String())
	t.Logf("through serve: %.2f allocations, %.0f bytes; net/http alone: %.2f, %.0f", ourTimes, ourBytes, theirTimes, theirBytes)
	assert.LessOrEqual(t, ourTimes-theirTimes, 4.2)
	assert.LessOrEqual(t, ourBytes-theirBytes, 880.0)
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, srv.Shutdown(context.Background()))
}

// costOfARequest returns what the process allocates for a request and its response, when the
// client allocates nothing.
func costOfARequest(t *testing.T, addr string) (times, size float64) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	in, get, end := bufio.NewReader(conn), []byte("GET /orders/17 HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("\r\n")
	body := make([]byte, len("hello"))
	ask := func(n int) {
		for range n {
			_, err := conn.Write(get)
			for line := []byte(nil); err == nil && !bytes.Equal(line, end); {
				line, err = in.ReadSlice('\n')
			}
			if _, readErr := in.Read(body); err != nil || readErr != nil || string(body) != "hello" {
				t.Fatal("no response:", err, readErr)
			}
		}
	}
	const n = 5000
	ask(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ask(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n
}
