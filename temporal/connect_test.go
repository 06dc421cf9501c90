package temporal_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// unset removes what the environment says about Temporal, for the rest of the test.
func unset(t *testing.T) (address string) {
	t.Helper()
	address = os.Getenv("TEMPORAL_ADDRESS")
	t.Setenv("TEMPORAL_ADDRESS", "")
	require.NoError(t, os.Unsetenv("TEMPORAL_ADDRESS"))
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	return address
}

// configure makes a configuration file with a profile.
func configure(t *testing.T, profile, address, namespace string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "temporal.toml")
	text := fmt.Sprintf("[profile.%s]\naddress = %q\nnamespace = %q\n", profile, address, namespace)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	t.Setenv("TEMPORAL_CONFIG_FILE", file)
}

// addNamespace makes a namespace in the server.
func addNamespace(t *testing.T, name string) {
	t.Helper()
	e := connect(t)
	_, err := e.Client().WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
}

func TestConnectReadsTheEnvironment(t *testing.T) {
	e := connect(t)
	require.Equal(t, os.Getenv("TEMPORAL_ADDRESS"), e.Address())
	require.Equal(t, "default", e.Namespace())
	_, err := e.Client().WorkflowService().GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
	require.NoError(t, err)
}

func TestConnectReadsTheNamespace(t *testing.T) {
	name := fmt.Sprintf("other-%d", time.Now().UnixNano())
	addNamespace(t, name)
	t.Setenv("TEMPORAL_NAMESPACE", name)
	e := connect(t)
	require.Equal(t, name, e.Namespace())
}

func TestConnectReadsTheProfileOfTheFile(t *testing.T) {
	address := unset(t)
	configure(t, "elsewhere", address, "default")
	t.Setenv("TEMPORAL_PROFILE", "elsewhere")
	e := connect(t)
	require.Equal(t, address, e.Address())
	require.Equal(t, "default", e.Namespace())
}

// The variables change what the profile says.
func TestConnectPrefersTheVariables(t *testing.T) {
	address := unset(t)
	configure(t, "default", "127.0.0.1:1", "nowhere")
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_NAMESPACE", "default")
	e := connect(t)
	require.Equal(t, address, e.Address())
}

func TestConnectRefusesABrokenFile(t *testing.T) {
	unset(t)
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte("[profile"), 0o600))
	t.Setenv("TEMPORAL_CONFIG_FILE", file)
	_, err := temporal.Connect(t.Context())
	require.ErrorIs(t, err, temporal.ErrEngine)
}

// What the functions see is what the environment says, and what they say is what holds.
func TestConnectLetsFunctionsChangeTheOptions(t *testing.T) {
	address := os.Getenv("TEMPORAL_ADDRESS")
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	var seen []string
	e, err := temporal.Connect(t.Context(),
		func(o *client.Options) { seen, o.HostPort = append(seen, o.HostPort), "127.0.0.1:2" },
		func(o *client.Options) { seen, o.HostPort = append(seen, o.HostPort), address },
	)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	require.Equal(t, []string{"127.0.0.1:1", "127.0.0.1:2"}, seen)
	require.Equal(t, address, e.Address())
}

func TestConnectNamesWhatCannotBeReached(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	t.Setenv("TEMPORAL_NAMESPACE", "somewhere")
	_, err := temporal.Connect(t.Context())
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, err, "somewhere")
}

// silent returns the address of a server that accepts connections, and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestConnectWaitsTenSecondsForSilence(t *testing.T) {
	address := silent(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	begun := time.Now()
	_, err := temporal.Connect(t.Context())
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.ErrorContains(t, err, address)
	require.ErrorContains(t, err, "default")
	require.Greater(t, time.Since(begun), 9*time.Second)
	require.Less(t, time.Since(begun), 30*time.Second)
}

func TestConnectEndsWithItsContext(t *testing.T) {
	address := silent(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := temporal.Connect(ctx)
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.ErrorContains(t, err, address)
	require.Less(t, time.Since(begun), 8*time.Second)
}

func TestConnectNamesTheNamespaceThatIsMissing(t *testing.T) {
	t.Setenv("TEMPORAL_NAMESPACE", "nowhere")
	_, err := temporal.Connect(t.Context())
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.ErrorContains(t, err, os.Getenv("TEMPORAL_ADDRESS"))
	require.ErrorContains(t, err, `"nowhere"`)
}

func TestConnectWithoutAnAddress(t *testing.T) {
	unset(t)
	_, err := temporal.Connect(t.Context())
	require.ErrorIs(t, err, temporal.ErrEngine)
	require.ErrorContains(t, err, "TEMPORAL_ADDRESS")
	require.ErrorContains(t, err, "github.com/traigo/traigo/temporal/embedded")
}

// identified returns the identity of the worker that runs it.
var identified = register(temporal.Func("identified", func(ctx context.Context, _ int) (string, error) {
	return temporal.Current(ctx).Worker, nil
}))

func TestConnectIdentity(t *testing.T) {
	queue := queueOf(t)
	w := startWorker(t, queue)
	e := connect(t)
	host, err := os.Hostname()
	require.NoError(t, err)
	var id string
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		id = r.ID()
		worker, err := identified.Run(ctx, r, 0)
		require.Equal(t, fmt.Sprintf("%s/%d", host, w.pid()), worker)
		return err
	}))
	h := e.Client().GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	begun, err := h.Next()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%s/%d", host, os.Getpid()), begun.GetWorkflowExecutionStartedEventAttributes().GetIdentity())
}

// An identity that was set is not changed.
func TestConnectKeepsTheIdentity(t *testing.T) {
	queue := queueOf(t)
	e, err := temporal.Connect(t.Context(), func(o *client.Options) { o.Identity = "me" })
	require.NoError(t, err)
	t.Cleanup(e.Close)
	require.NoError(t, traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		s.Spawn(func(ctx context.Context) error { return temporal.Work(ctx, e, queue, identified) }, traigo.Awaited(false))
		r, err := temporal.Open(s, e, queue)
		require.NoError(t, err)
		worker, err := identified.Run(ctx, r, 0)
		require.Equal(t, "me", worker)
		return err
	}))
}
