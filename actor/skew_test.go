//go:build linux

package actor_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// protocolVariable gives an actor of the tests another version of the protocol.
const protocolVariable = "TRAIGO_TEST_PROTOCOL"

type citizen struct {
	Name string
	Age  int
}

var (
	greet = actor.Func("skew/greet", func(_ context.Context, c citizen) (citizen, error) { return c, nil })
	lost  = actor.Func("skew/lost", func(context.Context, none) (none, error) { return none{}, nil })
)

// A25: another version of the protocol is refused, and both numbers are said.
func TestSkewOfTheProtocolIsRefused(t *testing.T) {
	leavesNothing(t)
	t.Setenv(protocolVariable, "4711")
	err := traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		_, err := actor.Start(ctx, s, "mid")
		return err
	})
	gone, ok := errors.AsType[*actor.GoneError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "root/mid", gone.Actor.Path)
	assert.ErrorContains(t, err, "version 4711")
	assert.ErrorContains(t, err, "version 1")
}

// Names identify functions, across programs. Fields that one side does not know are ignored, and
// missing ones are zero.
func TestSkewOfPrograms(t *testing.T) {
	leavesNothing(t)
	binary := filepath.Join(t.TempDir(), "other")
	build := exec.Command("go", "build", "-o", binary, "./testdata/other")
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	err = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		if _, err := actor.Start(ctx, s, "mid"); err != nil { // so that there is a registrar
			return err
		}
		other := exec.CommandContext(ctx, binary)
		other.Env = append(os.Environ(), "TRAIGO_REGISTRAR="+actor.Registrar())
		in, err := other.StdinPipe()
		require.NoError(t, err)
		out, err := other.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, other.Start())
		defer func() {
			_ = in.Close()
			assert.NoError(t, other.Wait())
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)

		a, err := actor.Find(ctx, s, "other")
		require.NoError(t, err)
		c, err := greet.Run(ctx, a, citizen{"Ann", 42})
		assert.NoError(t, err)
		assert.Equal(t, citizen{Name: "hello Ann"}, c)
		_, err = lost.Run(ctx, a, none{})
		assert.ErrorIs(t, err, actor.ErrNotExposed)
		return nil
	})
	require.NoError(t, err)
}
