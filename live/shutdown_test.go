package live_test

import (
	"context"
	"net/http"
	"net/http/httptest"
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
			_ = readAll(t, resp.Body)
			resp.Body.Close()
		}
	}()
	<-arrived
	began := make(chan struct{})
	server.Config.RegisterOnShutdown(func() { close(began) })
	go func() {
		<-began
		time.Sleep(50 * time.Millisecond) // the others have been called too
		close(goOn)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.NoError(t, server.Config.Shutdown(ctx))
	server.CloseClientConnections()
	<-over
}
