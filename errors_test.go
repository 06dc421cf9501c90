package traigo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo"
)

// Any code may make values of the exported types, with fields left out.
func TestErrorsOfAnyMakeHaveTexts(t *testing.T) {
	for want, err := range map[string]error{
		`scope "s": no error`:          &traigo.Error{Scope: "s"},
		`scope "s": boom; also: late`:  &traigo.Error{Scope: "s", Err: errBoom, Others: []error{errLate}},
		`task "t": timed out after 1s`: &traigo.TaskError{Task: "t", Err: &traigo.TimeoutError{Scope: "s/t", After: time.Second}},
		`"s" timed out after 1s`:       &traigo.TimeoutError{Scope: "s", After: time.Second},
		`task "t" panicked`:            &traigo.PanicError{Task: "t"},
		`the body panicked`:            &traigo.PanicError{},
		"2 tasks did not end after cancel:\ntask \"a\", age 0s\ntask \"b\", age 0s": &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: "a"}, {Path: "b"}}},
		`scope "s" canceled: task failed: task "s/t": boom`:                         &traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "s", Task: "s/t", Err: errBoom},
	} {
		assert.EqualError(t, err, want)
	}
	assert.NoError(t, (&traigo.PanicError{}).Unwrap())
}
