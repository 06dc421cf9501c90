package live_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/live"
)

// A request for a stream may be under way when Shutdown begins.
func TestAStreamThatIsOpenedDuringShutdownDoesNotHoldItUp(t *testing.T) {
	h := live.Handler(opened(t))
	arrived, goOn := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			close(arrived)
			<-goOn
		}
		h.ServeHTTP(w, r)
	}))
	resp, err := http.Get(server.URL + "/?format=html")
	require.NoError(t, err)
	resp.Body.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := http.Get(server.URL + "/events"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	<-arrived
	began := make(chan struct{})
	server.Config.RegisterOnShutdown(func() { close(began) })
	go func() {
		<-began
		for range 1000 {
			runtime.Gosched() // the others are called at the same time
		}
		close(goOn)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.NoError(t, server.Config.Shutdown(ctx))
	server.CloseClientConnections()
	<-over
}
