package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// patience bounds each wait of a test. A test that reaches it has failed.
const patience = 30 * time.Second

// start serves on ln until stop is called. The result of stop is the outcome.
func start(t *testing.T, srv *server, ln net.Listener) (stop func() error) {
	t.Helper()
	srv.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	srv.serve(traigo.New(t.Context(), traigo.Name("server"), traigo.Logger(srv.log)), ln)
	return func() error {
		err := shutDown(srv, patience, nil)
		assertNothingIsLeft(t, srv)
		return err
	}
}

// shutDown does what a first signal does. Cause is that of the end of the grace period.
func shutDown(srv *server, grace time.Duration, cause error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), grace, cause)
	defer cancel()
	return srv.scope.Shutdown(ctx)
}

// listen returns a listener on the loopback interface.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// assertNothingIsLeft looks for tasks, and for goroutines that are no tasks.
func assertNothingIsLeft(t *testing.T, srv *server) {
	t.Helper()
	left := srv.scope.Snapshot()
	assert.Equal(t, traigo.Closed, left.State)
	assert.Empty(t, left.Tasks)
	assert.Empty(t, left.Scopes)
	assert.Empty(t, srv.room.guests)

	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	// In a test binary the functions of package main have its import path.
	assert.NotContains(t, string(stacks), "/tcpserver.(*guest).")
	assert.NotContains(t, string(stacks), "/tcpserver.(*server).")
}

// A caller is a client of the server.
type caller struct {
	net.Conn
	t     *testing.T
	name  string
	lines *bufio.Reader
}

// call dials and waits for the welcome. After that the caller gets every line that is
// said.
func call(t *testing.T, addr string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return answer(t, conn)
}

func answer(t *testing.T, conn net.Conn) *caller {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	c := &caller{Conn: conn, t: t, name: conn.LocalAddr().String(), lines: bufio.NewReader(conn)}
	require.Contains(t, c.hear(), "welcome, "+c.name)
	return c
}

func (c *caller) say(line string) {
	c.t.Helper()
	_, err := io.WriteString(c, line+"\n")
	require.NoError(c.t, err)
}

// hear returns the next line.
func (c *caller) hear() string {
	c.t.Helper()
	line, err := c.lines.ReadString('\n')
	require.NoError(c.t, err, "%s has heard %q", c.name, line)
	return strings.TrimSuffix(line, "\n")
}

// waitFor returns the lines before the first one that is equal to want.
func (c *caller) waitFor(want string) (before []string) {
	c.t.Helper()
	for line := c.hear(); line != want; line = c.hear() {
		before = append(before, line)
	}
	return before
}

// rest returns all lines until the server closes the connection.
func (c *caller) rest() []string {
	c.t.Helper()
	text, err := io.ReadAll(c.lines)
	require.NoError(c.t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
