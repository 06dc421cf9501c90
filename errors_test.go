package traigo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		`2 tasks did not end after cancel: task "a", age 0s; task "b", age 0s`: &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: "a"}, {Path: "b"}}},
		`scope "s" canceled: task failed: task "s/t": boom`:                    &traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "s", Task: "s/t", Err: errBoom},
	} {
		assert.EqualError(t, err, want)
	}
	assert.NoError(t, (&traigo.PanicError{}).Unwrap())
}

// typedNilError is an error whose method panics on its nil value.
type typedNilError struct{ text string }

func (e *typedNilError) Error() string { return e.text }

func TestErrorsAreOneLineWithTheInnermostPathOnce(t *testing.T) {
	inner := &traigo.Error{
		Scope: "server/conn 7/session", Err: &traigo.TaskError{Task: "read", Err: errors.New("connection\nreset")},
		Others: []error{errLate}, More: 2,
	}
	middle := &traigo.Error{Scope: "server/conn 7", Err: &traigo.TaskError{Task: "session", Err: inner}, Others: []error{errBoom}}
	outer := &traigo.Error{Scope: "server", Err: middle, More: 1}
	assert.EqualError(t, outer, `scope "server/conn 7/session": task "read": connection; reset; also: late; also: boom; and 3 more`)
	for name, err := range map[string]error{
		"typed nil":             &traigo.Error{Scope: "s", Err: errBoom, Others: []error{(*typedNilError)(nil), errLate}},
		"typed nil of a task":   &traigo.TaskError{Task: "t", Err: (*typedNilError)(nil)},
		"typed nil as a reason": &traigo.Cancellation{Kind: traigo.Requested, Scope: "s", Err: (*typedNilError)(nil)},
		"nil Error":             &traigo.Error{Scope: "s", Err: (*traigo.Error)(nil)},
		"nil PanicError":        &traigo.TaskError{Task: "t", Err: (*traigo.PanicError)(nil)},
		"joined":                &traigo.TaskError{Task: "t", Err: errors.Join(errBoom, errLate)},
		"the panic of an error": &traigo.Error{Scope: "s", Err: &traigo.PanicError{Task: "s/t"}},
	} {
		assert.NotContains(t, err.Error(), "\n", name)
		assert.NotPanics(t, func() { _ = fmt.Sprintf("%+v", err) }, name)
	}
	assert.Contains(t, (&traigo.Error{Scope: "s", Err: errBoom, Others: []error{(*typedNilError)(nil), errLate}}).Error(), "late", "nothing is lost")
	assert.EqualError(t, &traigo.Cancellation{Kind: traigo.Requested, Scope: "s", Task: "s/t", Err: errBoom}, `task "s/t" canceled: requested: boom`)
}

// What scopes below say of the cancellation has been said.
func TestErrorsSayTheReasonOfACancellationOnce(t *testing.T) {
	outer := &traigo.Error{Scope: "app", Err: &traigo.TaskError{Task: "read", Err: errBoom}}
	canceled := func(scope string, err error, others ...error) *traigo.Error {
		why := &traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "app", Task: "app/read", Err: err}
		return &traigo.Error{Scope: scope, Err: &traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: scope, Err: why}, Others: others}
	}
	stuck := &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: "app/requests/GET /", Age: time.Second}}}
	for _, row := range []struct {
		also error
		want string
	}{
		{&traigo.TaskError{Task: "http", Err: canceled("app/requests", errBoom, stuck)},
			`1 task did not end after cancel: task "app/requests/GET /", age 1s`},
		{canceled("app/a", errBoom, &traigo.TaskError{Task: "b", Err: canceled("app/a/b", errBoom, stuck)}),
			`1 task did not end after cancel: task "app/requests/GET /", age 1s`},
		{&traigo.TaskError{Task: "http", Err: canceled("app/requests", errBoom, errLate, stuck)},
			`task "http": scope "app/requests": late; also: 1 task did not end after cancel: task "app/requests/GET /", age 1s`},
		{canceled("app/a", errors.New("another reason"), errLate),
			`scope "app/a": parent canceled: scope "app" canceled: task failed: task "app/read": another reason; also: late`},
		{canceled("app/a", errBoom),
			`scope "app/a": parent canceled: scope "app" canceled: task failed: task "app/read": boom`},
	} {
		outer.Others = []error{row.also}
		assert.EqualError(t, outer, `scope "app": task "read": boom; also: `+row.want)
	}
}

func TestErrorsHaveTheRestInDetail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				panicOnPurpose("oops")
				return nil
			}, traigo.Name("late"))
			s.Spawn(func(context.Context) error { return errors.Join(errBoom, errOuter) }, traigo.Name("first"))
			return nil
		}, traigo.Name("s"), traigo.PanicAsError(), discard())
		text := fmt.Sprintf("%+v", err)
		lines := strings.Split(text, "\n")
		assert.Equal(t, []string{`scope "s":`, `	task "first":`, "\t\tboom", "\t\touter", `	task "s/late" panicked: oops`}, lines[:5], text)
		assert.Equal(t, 1, strings.Count(text, "panicOnPurpose("))
		assert.Contains(t, text, "frames of traigo and the runtime")
		assert.NotContains(t, text, "(*Scope).runTask")
		assert.Equal(t, text, outcome(t, err).LogValue().String())
		assert.Equal(t, err.Error(), fmt.Sprintf("%v", err))
		assert.Equal(t, strconv.Quote(err.Error()), fmt.Sprintf("%q", err))
	})
}

// An elaborateError has more to say with %+v.
type elaborateError struct{}

func (elaborateError) Error() string { return "it crashed" }

func (e elaborateError) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, e.Error())
	if verb == 'v' && f.Flag('+') {
		_, _ = io.WriteString(f, "\non line 7\n")
	}
}

func TestErrorsHaveTheDetailOfOtherPackages(t *testing.T) {
	err := &traigo.Error{Scope: "s", Err: &traigo.TaskError{Task: "t", Err: elaborateError{}}, Others: []error{errBoom}}
	assert.EqualError(t, err, `scope "s": task "t": it crashed; also: boom`)
	assert.Equal(t, "scope \"s\":\n\ttask \"t\":\n\t\tit crashed\n\t\ton line 7\n\tboom", fmt.Sprintf("%+v", err))
}

// The size of what a failure says grows with the number of errors, not with the ways to
// reach them: in each of these scopes three siblings fail as they are canceled.
func TestErrorsOfNestedScopesGrowWithTheirNumber(t *testing.T) {
	var nest func(ctx context.Context, depth int) error
	nest = func(ctx context.Context, depth int) error {
		return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			for range 3 {
				s.Spawn(func(ctx context.Context) error {
					return traigo.Run(ctx, func(_ context.Context, below *traigo.Scope) error {
						below.Spawn(func(ctx context.Context) error { <-ctx.Done(); return errLate })
						return nil
					})
				})
			}
			s.Spawn(func(ctx context.Context) error {
				time.Sleep(time.Millisecond)
				if depth > 0 {
					return nest(ctx, depth-1)
				}
				return errBoom
			})
			return nil
		}, traigo.Name("s"), discard())
	}
	size := func(depth int) (text, nodes int) {
		synctest.Test(t, func(t *testing.T) {
			err := nest(t.Context(), depth)
			require.ErrorIs(t, err, errBoom)
			require.ErrorIs(t, err, errLate)
			text = len(err.Error())
			nodes = visited(err)
		})
		return text, nodes
	}
	text4, nodes4 := size(4)
	text8, nodes8 := size(8)
	assert.Less(t, text8, 3*text4)
	assert.Less(t, nodes8, 3*nodes4)
}

// A body often returns errors.Join(err, file.Close()), where only err is not nil.
func TestErrorOfAChainIsSeenThroughAJoinOfOne(t *testing.T) {
	inner := &traigo.Error{Scope: "app/run", Err: errBoom}
	assert.EqualError(t, &traigo.Error{Scope: "app", Err: errors.Join(inner, nil)}, `scope "app/run": boom`)
	assert.EqualError(t, &traigo.Error{Scope: "app", Err: &traigo.TaskError{Task: "t", Err: errors.Join(inner)}}, `scope "app/run": boom`)
	both := (&traigo.Error{Scope: "app", Err: errors.Join(inner, errLate)}).Error()
	assert.Contains(t, both, `scope "app": `, "of two errors neither is left out")
	assert.Contains(t, both, "late")
}
