package lite_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/temporal/embedded/internal/lite"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// free is an address that was free a moment ago.
func free(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestStartAtTheSameAddressAgain(t *testing.T) {
	address := free(t)
	for range 2 {
		s, err := lite.Start(address)
		require.NoError(t, err)
		assert.Equal(t, address, s.Address())
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.Close()) // gRPC would wait for two minutes for one that says nothing
		s.Stop()
	}
}

func TestStartAtAnAddressThatIsTaken(t *testing.T) {
	taken := listen(t).Addr().String()
	_, err := lite.Start(taken)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.ErrorContains(t, err, taken)

	_, err = lite.Start("127.0.0.1")
	assert.ErrorContains(t, err, "missing port in address")
}

// Another process takes a port after it was found to be free: an error that says so lets Start
// try others. In the server that ends the program.
func TestServiceFindsItsPortTaken(t *testing.T) {
	taken := listen(t).Addr().String()
	for name, at := range map[string][3]string{
		"frontend": {taken, free(t), free(t)},
		"history":  {free(t), taken, free(t)},
		"matching": {free(t), free(t), taken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lite.StartAt(at[0], at[1], at[2])
			require.ErrorIs(t, err, syscall.EADDRINUSE)
			assert.ErrorContains(t, err, taken)
		})
	}
}

func TestFatalIsAnError(t *testing.T) {
	cause := errors.New("the cause")
	err := lite.Guard(func(_, fatal func(string, error)) error {
		fatal("cannot go on", cause)
		panic("not reached")
	})
	assert.ErrorIs(t, err, cause)
	assert.EqualError(t, err, "cannot go on, address there: the cause")

	err = lite.Guard(func(_, _ func(string, error)) error { panic("at the disco") })
	assert.EqualError(t, err, "it panicked: at the disco")
	err = lite.Guard(func(_, _ func(string, error)) error { runtime.Goexit(); return nil })
	assert.EqualError(t, err, "it ended its goroutine")
	assert.NoError(t, lite.Guard(func(_, _ func(string, error)) error { return nil }))
}

func TestLogIsForThoseWhoAskForIt(t *testing.T) {
	var out bytes.Buffer
	was := slog.Default()
	t.Cleanup(func() { slog.SetDefault(was) })
	write := func() {
		assert.NoError(t, lite.Guard(func(write, _ func(string, error)) error { write("message", io.EOF); return nil }))
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	write()
	assert.Empty(t, out.String())
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	write()
	assert.Contains(t, out.String(), `level=DEBUG msg="temporal server: message" server=ERROR address=there error=EOF`)
}

// listening are the local addresses at which this process listens, as Linux prints them.
func listening(t *testing.T) (addresses []string) {
	t.Helper()
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("only Linux says at which ports a process listens")
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			mine[target] = true
		}
	}
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		table, err := os.ReadFile("/proc/self/net/" + file)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(table)) {
			// sl, local address, remote address, state, …, inode
			const listen, unconnected = "0A", "07"
			fields := strings.Fields(line)
			if len(fields) > 9 && (fields[3] == listen || fields[3] == unconnected) && mine["socket:["+fields[9]+"]"] {
				addresses = append(addresses, fields[1])
			}
		}
	}
	return addresses
}

func TestServerListensOnLoopbackOnly(t *testing.T) {
	require.Empty(t, listening(t))
	s, err := lite.Start("")
	require.NoError(t, err)
	addresses := listening(t)
	assert.Len(t, addresses, 3, "frontend, history, matching: %s", addresses)
	for _, address := range addresses {
		assert.Regexp(t, "^0100007F:", address)
	}
	s.Stop()
	// gRPC closes its sockets itself, and Go an instant later those of connections.
	require.Eventually(t, func() bool { return len(listening(t)) == 0 }, time.Minute, time.Millisecond)
}
