package temporal

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// What tests see of the workflows, and of what goes over the engine.

type (
	Message    = message
	Ownership  = ownership
	ScopeInput = scopeInput
	TaskInput  = taskInput
	Outcome    = outcome
	Sealed     = sealed
)

const (
	ScopeType  = scopeType
	TaskType   = taskType
	HoldType   = holdType
	SignalName = signalName
	MaxEvents  = releasedMaxEvents

	OutcomeCanceled = canceled
)

var (
	RegisterWorkflows = registerWorkflows
	ScopeWorkflow     = scopeWorkflow
	TaskWorkflow      = taskWorkflow
)

// Converters returns the converters that a client has by default.
func Converters() (converter.DataConverter, converter.FailureConverter) {
	values := passing{converter.GetDefaultDataConverter()}
	return values, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: values})
}

// SetMaxEvents sets the length at which the history of a scope is started anew. It is called before
// Work.
func SetMaxEvents(n int) { maxEvents = n }
