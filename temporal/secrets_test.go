package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A veil is a codec that makes all bytes of a payload unreadable. That anybody could undo it does
// not matter here.
type veil struct{}

func (veil) Encode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	var out []*commonpb.Payload
	for _, p := range all {
		data, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		out = append(out, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/veiled")}, Data: veiled(data)})
	}
	return out, nil
}

func (veil) Decode(all []*commonpb.Payload) ([]*commonpb.Payload, error) {
	var out []*commonpb.Payload
	for _, p := range all {
		if string(p.GetMetadata()["encoding"]) != "binary/veiled" {
			return nil, fmt.Errorf("a payload that is not veiled: %v", p)
		}
		plain := &commonpb.Payload{}
		if err := proto.Unmarshal(veiled(p.GetData()), plain); err != nil {
			return nil, err
		}
		out = append(out, plain)
	}
	return out, nil
}

func veiled(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[i] = b ^ 0xa5
	}
	return out
}

func encrypted(o *client.Options) {
	o.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), veil{})
}

const secret = "SECRET"

var errSecret = errors.New(secret + " value")

var _ = func() bool { traigo.RegisterError(errSecret); return true }()

var keeps = register(temporal.Func("keeps", func(ctx context.Context, in string) (string, error) {
	a := temporal.Current(ctx)
	switch how := strings.TrimPrefix(in, secret+" "); how {
	case "saved":
		var at string
		if found, err := a.Load(&at); found || err != nil {
			return at, err
		}
		if err := a.Save(secret + " saved by " + in); err != nil {
			return "", err
		}
		return "", errSecret
	case "error":
		return "", fmt.Errorf("%s text: %w", secret, errSecret)
	case "panic":
		panicsHere(secret + " panic")
	case "cause":
		say("keeps waits")
		<-ctx.Done()
		say("keeps %v %v", errors.Is(context.Cause(ctx), errSecret), context.Cause(ctx))
		return "", context.Cause(ctx)
	case "own error after the cause":
		say("keeps waits again")
		<-ctx.Done()
		return "", errors.New(secret + " while it cleaned up")
	}
	return secret + " result of " + in, nil
}, temporal.Retry(1, func(err error) bool { return err == errSecret }))) //nolint:errorlint // not one that wraps it

// veiledWorker is a worker with the codec.
var veiledWorker = role("veiledWorker", func(ctx context.Context) error {
	e, err := temporal.Connect(ctx, encrypted)
	if err != nil {
		return err
	}
	defer e.Close()
	say("worker %d", os.Getpid())
	return temporal.Work(ctx, e, os.Getenv("TRAIGO_TEST_QUEUE"), functions...)
})

func TestSecretsAreEncrypted(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	w := start(t, veiledWorker, "TRAIGO_TEST_QUEUE="+queue)
	w.await(t, "worker ")
	e := connectWith(t, encrypted)
	var ids []string
	err := owningWith(t, e, queue, func(ctx context.Context, s *traigo.Scope, r *temporal.Remote) error {
		ids = append(ids, r.ID())
		run := func(how string) (string, error) {
			ids = append(ids, fmt.Sprintf("%s/keeps-%d", r.ID(), len(ids)))
			return keeps.Run(ctx, r, secret+" "+how)
		}
		out, err := run("result")
		require.NoError(t, err)
		require.Equal(t, secret+" result of "+secret+" result", out)

		out, err = run("saved")
		require.NoError(t, err)
		require.Equal(t, secret+" saved by "+secret+" saved", out)

		_, err = run("error")
		require.ErrorIs(t, err, errSecret)
		require.ErrorContains(t, err, secret+" text")

		var value any
		func() {
			defer func() { value = recover() }()
			_, _ = run("panic")
		}()
		p, ok := value.(*traigo.PanicError)
		require.True(t, ok, "%v", value)
		require.ErrorContains(t, p, secret+" panic")
		remote, ok := errors.AsType[*traigo.RemoteError](p)
		require.True(t, ok)
		require.Contains(t, remote.Stack, "panicsHere")

		spawn := func(how string) *traigo.Task {
			ids = append(ids, fmt.Sprintf("%s/keeps-%d", r.ID(), len(ids)))
			return keeps.Spawn(r, secret+" "+how, traigo.Bubble(false))
		}
		task := spawn("cause")
		w.await(t, "keeps waits")
		task.Cancel(errSecret)
		require.ErrorIs(t, ended(t, task), errSecret)
		require.Contains(t, w.await(t, "keeps true"), secret)

		task = spawn("own error after the cause")
		w.await(t, "keeps waits again")
		s.Cancel(errSecret)
		require.ErrorContains(t, ended(t, task), secret+" while it cleaned up")
		return nil
	})
	require.ErrorIs(t, err, errSecret)

	plain := connect(t).Client()
	require.Len(t, ids, 7)
	for _, id := range ids {
		text := historyOf(t, plain, id)
		require.Contains(t, text, `"traigo.`)
		for _, word := range []string{secret, "panicsHere", "cleaned up"} {
			require.NotContains(t, text, word, id)
		}
		d, err := plain.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		description, err := protojson.Marshal(d)
		require.NoError(t, err)
		require.NotContains(t, string(description), secret)
	}
}

// historyOf returns the history of a workflow as JSON, in which payloads are readable as far as they are plain.
func historyOf(t *testing.T, c client.Client, id string) string {
	t.Helper()
	var text strings.Builder
	for events := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		ev, err := events.Next()
		require.NoError(t, err)
		one, err := protojson.Marshal(ev)
		require.NoError(t, err)
		text.Write(one)
		// The bytes of payloads are base64 there; here they are as they are.
		raw, err := proto.Marshal(ev)
		require.NoError(t, err)
		text.Write(raw)
	}
	return text.String()
}

// The same history shows all of it where there is no codec: what is looked for is found if it is there.
func TestSecretsWithoutEncryption(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	startWorker(t, queue)
	e := connect(t)
	var id string
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		_, err := keeps.Run(ctx, r, secret+" error")
		require.ErrorIs(t, err, errSecret)
		id = r.ID() + "/keeps-1"
		return nil
	}))
	require.Contains(t, historyOf(t, e.Client(), id), secret)
}
