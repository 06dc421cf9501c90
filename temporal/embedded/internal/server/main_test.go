package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const asServer = "TRAIGO_TEST_IS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestServerRunsUntilItsInputEnds(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())

	out := bufio.NewReader(stdout)
	address, err := out.ReadString('\n')
	require.NoError(t, err)
	address = strings.TrimSpace(address)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	again := exec.CommandContext(t.Context(), os.Args[0], address)
	again.Env = cmd.Env
	said, err := again.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(said), address)
	assert.Contains(t, string(said), "address already in use")

	require.NoError(t, stdin.Close())
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	assert.Empty(t, string(rest), "stdout has the address and nothing else")
	assert.Empty(t, stderr.String())
	_, err = net.Dial("tcp", address)
	assert.ErrorContains(t, err, "refused")
}
