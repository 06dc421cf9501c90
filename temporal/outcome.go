package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sourcegraph/conc/panics"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/traigo/traigo"
)

// An outcome is how a task has failed: what its last attempt tells the owner.
type outcome struct {
	Kind    outcomeKind         `json:"kind"`
	Owner   string              `json:"owner,omitempty"` // that has started the task
	Attempt int                 `json:"attempt,omitempty"`
	Worker  string              `json:"worker,omitempty"`
	Earlier []ran               `json:"earlier,omitempty"` // attempts
	Error   *traigo.RemoteError `json:"error,omitempty"`
}

type outcomeKind string

const (
	failed   outcomeKind = "failed"
	tried    outcomeKind = "tried" // failed, and is to be tried again: the last outcome of a task that was canceled just then
	panicked outcomeKind = "panicked"
	exited   outcomeKind = "exited"   // it has called runtime.Goexit
	canceled outcomeKind = "canceled" // with nothing but the cancellation that the owner knows of
	leaseEnd outcomeKind = "lease"    // likewise, since the lease of the scope was lost
	lost     outcomeKind = "lost"     // too many attempts were
	unknown  outcomeKind = "unknown"  // the function is
)

// The keys of what a result says beside its value, for anybody to read.
const (
	noteAttempt = "traigo-attempt"
	noteWorker  = "traigo-worker"
	noteEarlier = "traigo-earlier" // attempts, as JSON; absent if there was none
)

// attemptOf returns the number of the attempt whose result it is, its worker, and the attempts before.
// Of a note that is not as it should be there is nothing to show.
func (v sealed) attemptOf() (number int, worker string, earlier []ran) {
	notes := v.payload.GetMetadata()
	number, _ = strconv.Atoi(string(notes[noteAttempt]))
	_ = json.Unmarshal(notes[noteEarlier], &earlier)
	return number, string(notes[noteWorker]), earlier
}

// A verdict is what the end of a task means for its call.
type verdict struct {
	out      sealed
	err      error
	panicked *traigo.PanicError
	again    bool // the task was ended by somebody who is not the owner any more, and is to be started again
	attempt  int  // the last one; 0 if none has begun, or it is not known
	worker   string
	earlier  []ran
}

// judge tells what the end of its task means for a call. ctx is that of the call, and may be done.
func (c *call) judge(ctx context.Context, end ending) (v verdict) {
	o := end.outcome
	v.attempt, v.worker, v.earlier = o.Attempt, o.Worker, o.Earlier
	isDone := ctx.Err() != nil
	switch {
	case end.status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED && end.result.payload != nil:
		v.out = end.result
		v.attempt, v.worker, v.earlier = v.out.attemptOf()
	case end.status != enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		if v.err = context.Cause(ctx); !isDone {
			v.err = fmt.Errorf("%w: %s: its workflow %q was ended by somebody else (%v)", ErrLost, c.name, c.task, end.status)
		}
	case o.Kind == canceled || o.Kind == leaseEnd || o.Kind == tried:
		switch {
		case isDone:
			v.err = context.Cause(ctx)
		case o.Owner != c.remote.owner:
			v.again = true
		default:
			v.err = c.remote.errLease("the remote side of the scope has ended")
		}
	case o.Kind == "" && isDone: // a worker was lost that had heard of the cancellation
		v.err = context.Cause(ctx)
	case o.Kind == "":
		v.err = fmt.Errorf("%w: %s: %s", ErrEngine, c.name, end.text)
	case o.Kind == exited:
		v.err = traigo.ErrGoexit
	case o.Kind == panicked:
		v.panicked = c.asPanic(o.Error)
		v.err = v.panicked
	default:
		v.err = o.Error // of the function, or one of ours: see registered
	}
	return v
}

// asPanic returns the panic of a function as one of the local task: the path of the function in the
// worker becomes that of the task. Its value is a *traigo.RemoteError, which says in which worker it
// was, and has the stack there.
func (c *call) asPanic(remote *traigo.RemoteError) *traigo.PanicError {
	value, path := *remote, c.path
	if p, ok := errors.AsType[*traigo.PanicError](remote); ok && p.Recovered != nil {
		value = traigo.RemoteError{
			Type: fmt.Sprintf("%T", p.Recovered.Value), Msg: fmt.Sprint(p.Recovered.Value), Where: remote.Where, Stack: remote.Stack, Causes: remote.Causes,
		}
		path += strings.TrimPrefix(p.Task, c.name)
	}
	return &traigo.PanicError{Task: path, Recovered: &panics.Recovered{Value: &value, Stack: []byte(remote.Stack)}}
}
