package temporal

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// How values travel. What is of the user's (arguments, results, saved values, errors) is
// encoded once, by the converter that the client was given, and is then passed on by
// workflows and the engine as it is: they neither decode nor encode it.

// A sealed is a value that was encoded by [Engine.seal].
type sealed struct{ payload *commonpb.Payload }

const (
	maxMessage = 2 << 20            // what the engine takes
	maxValue   = maxMessage - 4<<10 // of it for an encoded value: the rest is what goes beside that
)

// size returns the number of bytes that the value has on the wire.
func (v sealed) size() int { return proto.Size(v.payload) }

// with returns the value with a note that anybody can read.
func (v sealed) with(key, note string) sealed {
	p := proto.CloneOf(v.payload)
	if p.Metadata == nil {
		p.Metadata = map[string][]byte{}
	}
	p.Metadata[key] = []byte(note)
	return sealed{p}
}

// MarshalJSON is for a converter that does not pass on sealed values: that of a FailureConverter
// which the user has set, for example.
func (v sealed) MarshalJSON() ([]byte, error) { return protojson.Marshal(v.payload) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (v *sealed) UnmarshalJSON(text []byte) error {
	v.payload = &commonpb.Payload{}
	return protojson.Unmarshal(text, v.payload)
}

// seal encodes a value that belongs to a workflow.
func (e *Engine) seal(workflowID string, v any) (s sealed, err error) {
	defer recovered(&err)
	p, err := e.converterFor(workflowID).ToPayload(v)
	if err == nil && p == nil {
		err = errors.New("the data converter has returned no payload")
	}
	return sealed{p}, err
}

// unseal decodes a value that was sealed for that workflow.
func (e *Engine) unseal(workflowID string, s sealed, into any) (err error) {
	defer recovered(&err)
	return e.converterFor(workflowID).FromPayload(s.payload, into)
}

// recovered makes an error of the panic of a value's own method. It is deferred.
func recovered(err *error) {
	if value := recover(); value != nil {
		*err = fmt.Errorf("panic: %v", value)
	}
}

func (e *Engine) converterFor(workflowID string) converter.DataConverter {
	return converter.WithDataConverterSerializationContext(e.values, converter.WorkflowSerializationContext{
		Namespace: e.namespace, WorkflowID: workflowID,
	})
}

// A passing is the converter of the client that passes on sealed values as they are.
type passing struct{ converter.DataConverter }

func (c passing) ToPayload(v any) (*commonpb.Payload, error) {
	if s, ok := v.(sealed); ok {
		return s.payload, nil
	}
	return c.DataConverter.ToPayload(v)
}

func (c passing) FromPayload(p *commonpb.Payload, into any) error {
	if s, ok := into.(*sealed); ok {
		s.payload = p
		return nil
	}
	return c.DataConverter.FromPayload(p, into)
}

func (c passing) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	if len(values) == 0 {
		return nil, nil
	}
	all := &commonpb.Payloads{}
	for i, v := range values {
		p, err := c.ToPayload(v)
		if err != nil {
			return nil, fmt.Errorf("values[%d]: %w", i, err)
		}
		all.Payloads = append(all.Payloads, p)
	}
	return all, nil
}

func (c passing) FromPayloads(all *commonpb.Payloads, into ...any) error {
	for i, p := range all.GetPayloads() {
		if i == len(into) {
			break
		}
		if err := c.FromPayload(p, into[i]); err != nil {
			return fmt.Errorf("payload item %d: %w", i, err)
		}
	}
	return nil
}

func (c passing) WithSerializationContext(of converter.SerializationContext) converter.DataConverter {
	return passing{converter.WithDataConverterSerializationContext(c.DataConverter, of)}
}

func (c passing) WithWorkflowContext(ctx workflow.Context) converter.DataConverter {
	if aware, ok := c.DataConverter.(workflow.ContextAware); ok {
		return passing{aware.WithWorkflowContext(ctx)}
	}
	return c
}

func (c passing) WithContext(ctx context.Context) converter.DataConverter {
	if aware, ok := c.DataConverter.(workflow.ContextAware); ok {
		return passing{aware.WithContext(ctx)}
	}
	return c
}
