package temporal

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

var (
	// ErrEngine says that there is no engine, that it cannot be reached, or that it refuses.
	ErrEngine = registered("traigo: no Temporal engine")

	// ErrLease says that a lease is lost: the owner of a scope or a worker was silent for too
	// long, another owner has taken the scope over, or an operator has ended it.
	ErrLease = registered("traigo: the lease is lost")

	// ErrLost is wrapped by the error of a task of which too many attempts were lost with their
	// workers, or whose workflow somebody else has ended.
	ErrLost = registered("traigo: the task is lost")

	// ErrUnknown is wrapped by the error of a call of a function that no worker of the queue has.
	ErrUnknown = registered("traigo: no worker knows the function")

	// ErrTooLarge is wrapped by the error of a call whose argument or result, and by that of
	// [Attempt.Save] whose value has more bytes than the engine takes.
	ErrTooLarge = registered("traigo: more than the engine takes in one value: pass a path or a URL")

	// ErrHandover is the cause of a cancellation, of a scope with [Resume], that leaves the remote
	// side to the next owner.
	ErrHandover = registered("traigo: handed over")
)

// registered returns an error that errors.Is finds in other processes.
func registered(text string) error {
	err := errors.New(text)
	traigo.RegisterError(err)
	return err
}

// What an error may have on the way.
const (
	maxStack = 16 << 10
	maxError = 1 << 20 // all of it, as JSON
	maxTitle = 4 << 10 // the text that is shown by the engine's own tools
)

// remoteOf returns err as it is seen elsewhere. Its texts have at most 64 KiB, its stacks at most
// 16, and all of it fits in a message: what is wrapped furthest inside is left out first.
func remoteOf(err error, where string) *traigo.RemoteError {
	e := shortened(traigo.AsRemote(err, where))
	if e == nil { // a nil pointer of that type
		e = &traigo.RemoteError{Type: fmt.Sprintf("%T", err), Msg: "a nil pointer as an error", Where: where}
	}
	for depth := 8; depth > 0 && tooLong(e); depth /= 2 {
		e = pruned(e, depth)
	}
	if tooLong(e) {
		e = &traigo.RemoteError{Type: e.Type, Msg: e.Msg, Where: e.Where}
	}
	return e
}

func tooLong(e *traigo.RemoteError) bool {
	text, err := json.Marshal(e)
	return err != nil || len(text) > maxError
}

// shortened returns e with short stacks. It may be that of somebody else, so e is not changed.
func shortened(e *traigo.RemoteError) *traigo.RemoteError {
	if e == nil {
		return nil
	}
	short := *e
	short.Stack = cut(e.Stack, maxStack)
	short.Causes = nil
	for _, c := range e.Causes {
		short.Causes = append(short.Causes, shortened(c))
	}
	return &short
}

// pruned returns e without what is wrapped deeper than depth.
func pruned(e *traigo.RemoteError, depth int) *traigo.RemoteError {
	short := *e
	short.Causes = nil
	if depth > 1 {
		for _, c := range e.Causes {
			short.Causes = append(short.Causes, pruned(c, depth-1))
		}
	} else if len(e.Causes) > 0 && !e.Sentinel {
		short.Data = nil // it refers to them
	}
	return &short
}

// cut returns at most n bytes of a text, without half a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
