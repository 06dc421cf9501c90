package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

// A bound converter decodes only what was encoded for the same workflow.
type bound struct {
	converter.DataConverter
	of string
}

func (b bound) WithSerializationContext(of converter.SerializationContext) converter.DataConverter {
	switch of := of.(type) {
	case converter.WorkflowSerializationContext:
		b.of = of.WorkflowID
	case converter.ActivitySerializationContext:
		b.of = of.WorkflowID
	}
	return b
}

func (b bound) ToPayload(v any) (*commonpb.Payload, error) {
	p, err := b.DataConverter.ToPayload(v)
	if err == nil {
		p.Metadata["of"] = []byte(b.of)
	}
	return p, err
}

func (b bound) FromPayload(p *commonpb.Payload, into any) error {
	if of := string(p.GetMetadata()["of"]); of != b.of {
		return fmt.Errorf("encoded for %q, decoded for %q", of, b.of)
	}
	return b.DataConverter.FromPayload(p, into)
}

// What an attempt leaves is read by the next one also if the converter binds values to their workflow.
func TestConverterThatBindsValuesToTheirWorkflow(t *testing.T) {
	t.Parallel()
	queue := queueOf(t)
	e := connectWith(t, func(o *client.Options) { o.DataConverter = bound{converter.GetDefaultDataConverter(), ""} })
	f := temporal.Func("twice", func(ctx context.Context, n int) (int, error) {
		a := temporal.Current(ctx)
		var saved int
		if has, err := a.Load(&saved); has || err != nil {
			return n + saved, err
		}
		if err := a.Save(40); err != nil {
			return 0, err
		}
		return 0, errors.New("the first attempt fails")
	}, temporal.Retry(1))
	workWith(t, e, queue, f)
	require.NoError(t, owningWith(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		n, err := f.Run(ctx, r, 2)
		require.NoError(t, err)
		require.Equal(t, 42, n)
		return nil
	}))
}

// An operator who pauses an attempt does not end it: the engine has heard of it all the same.
func TestAttemptThatIsPausedKeepsItsLease(t *testing.T) {
	t.Parallel()
	const lease = 5 * time.Second
	queue := queueOf(t)
	began, ends := make(chan struct{}), make(chan struct{})
	f := temporal.Func("paused", func(ctx context.Context, _ int) (string, error) {
		close(began)
		select {
		case <-ends:
			return "done", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	workHere(t, queue, f)
	e := connect(t)
	require.NoError(t, within(t, e, queue, func(ctx context.Context, _ *traigo.Scope, r *temporal.Remote) error {
		result := f.Async(r, 1)
		receive(t, began, "the attempt")
		_, err := e.Client().WorkflowService().PauseActivity(ctx, &workflowservice.PauseActivityRequest{
			Namespace: e.Namespace(), Execution: &commonpb.WorkflowExecution{WorkflowId: r.ID() + "/paused-1"},
			Activity: &workflowservice.PauseActivityRequest_Type{Type: "paused"},
		})
		require.NoError(t, err)
		passes(t, 2*lease)
		close(ends)
		out, err := result.Await(ctx)
		require.NoError(t, err)
		require.Equal(t, "done", out)
		return nil
	}, leases(lease)))
}
