package traigo_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sourcegraph/conc/panics"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

const elsewhere = "process 4711"

var (
	errKnown      = errors.New("known elsewhere")
	errWithCauses = fmt.Errorf("known elsewhere, with a cause: %w", io.EOF)
)

// A fieldError has what it wraps in an exported field.
type fieldError struct {
	Op     string
	Err    error
	secret string
}

func (e *fieldError) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *fieldError) Unwrap() error { return e.Err }

// A causeError has what it wraps in a field that does not cross, and a method for it.
type causeError struct {
	Actor string
	cause error
}

func (e *causeError) Error() string { return e.Actor + ": " + fmt.Sprint(e.cause) }

func (e *causeError) Unwrap() error { return e.cause }

func (e *causeError) WithCause(err error) error {
	e.cause = err
	return e
}

// A chainError wraps another one of its own type.
type chainError struct {
	N    int
	Next *chainError
}

func (e *chainError) Error() string { return "chain " + strconv.Itoa(e.N) }

func (e *chainError) Unwrap() error {
	if e.Next == nil {
		return nil
	}
	return e.Next
}

// A cyclicError has data that contains itself.
type cyclicError struct{ To *cyclicError }

func (e *cyclicError) Error() string { return "cyclic" }

// A selfishError wraps itself, by a field and by Unwrap.
type selfishError struct{ Errs []error }

func (e *selfishError) Error() string { return "selfish" }

func (e *selfishError) Unwrap() []error { return e.Errs }

// An opaqueError has nothing that gob could encode, and a dynamicError a value of a type that
// gob does not know.
type (
	opaqueError  struct{ secret string }
	dynamicError struct{ Value any }
)

func (e opaqueError) Error() string { return "opaque " + e.secret }

func (e dynamicError) Error() string { return fmt.Sprint("dynamic ", e.Value) }

// An encodedError encodes itself, and panics in that if it is to.
type encodedError struct{ secret string }

func (e encodedError) Error() string { return "encoded " + e.secret }

func (e encodedError) GobEncode() ([]byte, error) {
	if e.secret == "" {
		panic("GobEncode panics")
	}
	return []byte(e.secret), nil
}

func (e *encodedError) GobDecode(data []byte) error {
	e.secret = string(data)
	return nil
}

// A hiddenError has what it wraps where nobody can put it back.
type hiddenError struct {
	Code  int
	cause error
}

func (e *hiddenError) Error() string { return fmt.Sprint("code ", e.Code, ": ", e.cause) }

func (e *hiddenError) Unwrap() error { return e.cause }

// A partialError is more than what crosses.
type partialError struct {
	N    int
	rest string
}

func (e partialError) Error() string { return fmt.Sprint("part ", e.N, " ", e.rest) }

// A codeError is a number, and says by its own Is what it is besides.
type codeError int

func (e codeError) Error() string { return "code " + strconv.Itoa(int(e)) }

func (e codeError) Is(target error) bool { return e == 404 && target == fs.ErrNotExist }

// A listError is not comparable.
type listError []string

func (e listError) Error() string { return strings.Join(e, ", ") }

// A timeoutError says by its own Is that a deadline is over, as those of package net do.
type timeoutError struct{ op string }

func (e *timeoutError) Error() string { return e.op + " timeout" }

func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// registerForTests does what programs do in init.
func registerForTests(t *testing.T) {
	t.Helper()
	traigo.RegisterError(errKnown, errWithCauses)
	traigo.RegisterErrorType[*fieldError]()
	traigo.RegisterErrorType[*causeError]()
	traigo.RegisterErrorType[*hiddenError]()
	traigo.RegisterErrorType[partialError]()
	traigo.RegisterErrorType[*chainError]()
	traigo.RegisterErrorType[*cyclicError]()
	traigo.RegisterErrorType[*selfishError]()
	traigo.RegisterErrorType[opaqueError]()
	traigo.RegisterErrorType[dynamicError]()
	traigo.RegisterErrorType[encodedError]()
	traigo.RegisterErrorType[codeError]()
	traigo.RegisterErrorType[listError]()
}

// onRoundTrips tests a RemoteError as AsRemote has made it, and after it has been encoded and
// decoded.
func onRoundTrips(t *testing.T, err error, test func(t *testing.T, e *traigo.RemoteError)) {
	t.Helper()
	made := traigo.AsRemote(err, elsewhere)
	t.Run("as made", func(t *testing.T) { test(t, made) })
	t.Run("JSON", func(t *testing.T) {
		data, err := json.Marshal(made)
		require.NoError(t, err)
		var e *traigo.RemoteError
		require.NoError(t, json.Unmarshal(data, &e))
		require.Equal(t, made, e)
		test(t, e)
	})
	t.Run("gob", func(t *testing.T) {
		var b bytes.Buffer
		require.NoError(t, gob.NewEncoder(&b).Encode(made))
		var e *traigo.RemoteError
		require.NoError(t, gob.NewDecoder(&b).Decode(&e))
		require.Equal(t, made, e)
		test(t, e)
	})
}

// nodes counts the errors of a RemoteError.
func nodes(e *traigo.RemoteError) int {
	n := 1
	for _, c := range e.Causes {
		n += nodes(c)
	}
	return n
}

func TestRemoteErrorsAreTheRegisteredValues(t *testing.T) {
	registerForTests(t)
	for _, value := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, context.Canceled, context.DeadlineExceeded,
		fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
		os.ErrDeadlineExceeded, os.ErrProcessDone, errors.ErrUnsupported,
		traigo.ErrRefused, traigo.ErrGoexit, traigo.ErrNotReady, errKnown, errWithCauses,
	} {
		t.Run(value.Error(), func(t *testing.T) {
			onRoundTrips(t, fmt.Errorf("outer: %w", errors.Join(errBoom, value)), func(t *testing.T, e *traigo.RemoteError) {
				require.ErrorIs(t, e, value)
				require.EqualError(t, e, "outer: boom\n"+value.Error())
				for _, other := range []error{errBoom, errOuter, io.ErrShortWrite, errors.New(value.Error())} {
					assert.NotErrorIs(t, e, other)
				}
			})
		})
	}
	onRoundTrips(t, errWithCauses, func(t *testing.T, e *traigo.RemoteError) { require.ErrorIs(t, e, io.EOF) })
}

// What counts is the value, and not its text.
func TestRemoteErrorsWithTheTextOfARegisteredOneAreOthers(t *testing.T) {
	registerForTests(t)
	onRoundTrips(t, errors.Join(errors.New("known elsewhere"), errors.New("EOF")), func(t *testing.T, e *traigo.RemoteError) {
		assert.NotErrorIs(t, e, errKnown)
		assert.NotErrorIs(t, e, io.EOF)
	})
	e := traigo.RemoteError{Type: "*errors.errorString", Msg: "not known here", Sentinel: true}
	assert.Empty(t, e.Unwrap(), "one that is registered elsewhere alone")
}

func TestRemoteErrorsHaveWhatTheSystemSaid(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "/data/7", Err: syscall.ENOENT}
	onRoundTrips(t, fmt.Errorf("open: %w", missing), func(t *testing.T, e *traigo.RemoteError) {
		at := as[*fs.PathError](t, e)
		assert.Equal(t, missing, at, "the field Err too")
		assert.True(t, os.IsNotExist(at))
		require.ErrorIs(t, e, fs.ErrNotExist)
		require.ErrorIs(t, e, syscall.ENOENT)
	})
	onRoundTrips(t, syscall.EAGAIN, func(t *testing.T, e *traigo.RemoteError) {
		require.ErrorIs(t, e, syscall.EAGAIN)
		assert.True(t, as[syscall.Errno](t, e).Temporary())
		assert.Empty(t, e.Causes)
	})
}

func TestRemoteErrorsAreErrorsOfThisPackage(t *testing.T) {
	timeout := &traigo.TimeoutError{Scope: "s/t", After: time.Second}
	stuck := &traigo.StuckError{Tasks: []traigo.StuckTask{{Path: "s/t", Age: time.Second, Stack: "goroutine 1"}}}
	task := &traigo.TaskError{Task: "t", Err: timeout}
	onRoundTrips(t, &traigo.Error{Scope: "s", Err: task, Others: []error{errBoom, stuck}, More: 3}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, timeout, as[*traigo.TimeoutError](t, e))
		assert.Equal(t, stuck, as[*traigo.StuckError](t, e))
		assert.Equal(t, "t", as[*traigo.TaskError](t, e).Task)
		require.ErrorIs(t, e, context.DeadlineExceeded)
		outcome := as[*traigo.Error](t, e)
		assert.Equal(t, [2]any{"s", 3}, [2]any{outcome.Scope, outcome.More})
		require.EqualError(t, outcome.Err, task.Error())
		require.Len(t, outcome.Others, 2)
		require.EqualError(t, outcome, e.Error())
	})
}

func TestRemoteErrorsAreCancellations(t *testing.T) {
	foreign := &customContext{Context: context.Background(), done: make(chan struct{})}
	foreign.end(context.DeadlineExceeded)
	s := traigo.New(foreign, traigo.Name("s"))
	late := context.Cause(s.Context())
	_ = s.Close()
	require.ErrorIs(t, late, context.DeadlineExceeded)
	for name, row := range map[string]struct {
		err    error
		is, no error
		want   traigo.Cancellation
	}{
		"failure": {
			&traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "s", Task: "s/t", Err: errBoom}, context.Canceled, context.DeadlineExceeded,
			traigo.Cancellation{Kind: traigo.TaskFailed, Scope: "s", Task: "s/t"},
		},
		"timeout": {
			&traigo.Cancellation{Kind: traigo.TimedOut, Scope: "s"}, context.DeadlineExceeded, context.Canceled,
			traigo.Cancellation{Kind: traigo.TimedOut, Scope: "s"},
		},
		"deadline of a foreign context": {
			s.Err(), context.DeadlineExceeded, context.Canceled,
			traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: "s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := as[*traigo.Cancellation](t, row.err)
			onRoundTrips(t, row.err, func(t *testing.T, e *traigo.RemoteError) {
				c := as[*traigo.Cancellation](t, e)
				assert.Equal(t, row.want, traigo.Cancellation{Kind: c.Kind, Scope: c.Scope, Task: c.Task})
				require.EqualError(t, c, wanted.Error())
				require.ErrorIs(t, e, row.is)
				assert.NotErrorIs(t, e, row.no)
				assert.Equal(t, wanted.Err == nil, c.Err == nil)
			})
		})
	}
}

// What a canceled task returns is no failure, also if another process has said it.
func TestRemoteErrorsThatOnlyTellOfTheCancellationAreNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			of    func(ctx context.Context) error
			fails bool
		}{
			{func(ctx context.Context) error { return ctx.Err() }, false},
			{context.Cause, false},
			{func(ctx context.Context) error { return fmt.Errorf("read: %w", ctx.Err()) }, false},
			{func(ctx context.Context) error {
				return &traigo.Error{Scope: "there", Err: &traigo.Cancellation{Kind: traigo.ParentCanceled, Scope: "there", Err: context.Cause(ctx)}}
			}, false},
			{func(ctx context.Context) error { return errors.Join(ctx.Err(), errLate) }, true},
			{func(context.Context) error { return errors.New(context.Canceled.Error()) }, true},
		} {
			s := traigo.New(t.Context(), discard())
			s.Spawn(func(ctx context.Context) error {
				<-ctx.Done()
				return traigo.AsRemote(test.of(ctx), elsewhere)
			})
			synctest.Wait()
			s.Cancel(errBoom)
			assert.Equal(t, test.fails, len(outcome(t, s.Wait()).Others) > 0)
		}
	})
}

func TestRemoteErrorsKeepTheStackOfAPanic(t *testing.T) {
	for _, value := range []any{"oops", 42, struct{ c chan int }{}, errKnown, &fieldError{Op: "op", Err: io.EOF}} {
		registerForTests(t)
		err := traigo.Run(t.Context(), func(_ context.Context, s *traigo.Scope) error {
			s.Spawn(panicking(value), traigo.Name("t"))
			return nil
		}, traigo.Name("s"), traigo.PanicAsError(), discard())
		p := as[*traigo.PanicError](t, err)
		t.Run(fmt.Sprintf("%T", value), func(t *testing.T) {
			onRoundTrips(t, p, func(t *testing.T, e *traigo.RemoteError) {
				assert.Equal(t, "*traigo.PanicError", e.Type)
				assert.Equal(t, string(p.Recovered.Stack), e.Stack)
				assert.NotContains(t, e.Error(), "\n", "the text has no stack")
				again := as[*traigo.PanicError](t, e)
				assert.Equal(t, "s/t", again.Task)
				assert.Equal(t, p.Recovered.Stack, again.Recovered.Stack)
				require.EqualError(t, again, p.Error())
				assert.Equal(t, 1, strings.Count(fmt.Sprintf("%+v", e), "panicOnPurpose("))
				if cause, ok := value.(error); ok {
					require.EqualError(t, again.Recovered.Value.(error), cause.Error())
					require.EqualError(t, again.Unwrap(), cause.Error())
				}
				assert.Equal(t, errors.Is(p, errKnown), errors.Is(e, errKnown))
				assert.Equal(t, errors.Is(p, io.EOF), errors.Is(e, io.EOF))
			})
		})
	}
	e := traigo.AsRemote(&traigo.PanicError{}, elsewhere)
	assert.Equal(t, &traigo.PanicError{}, as[*traigo.PanicError](t, e), "one that has recovered nothing")
	raised := &traigo.PanicError{Recovered: &panics.Recovered{Stack: bytes.Repeat([]byte("x"), 1<<20)}}
	assert.Len(t, traigo.AsRemote(raised, elsewhere).Stack, 64<<10)
}

func TestRemoteErrorsHaveTheExportedFieldsOfRegisteredTypes(t *testing.T) {
	registerForTests(t)
	unregistered := fmt.Errorf("context: %w", errKnown)
	onRoundTrips(t, &fieldError{Op: "read", Err: unregistered, secret: "s"}, func(t *testing.T, e *traigo.RemoteError) {
		found := as[*fieldError](t, e)
		assert.Equal(t, "read", found.Op)
		assert.Empty(t, found.secret)
		require.EqualError(t, found, e.Error(), "the field Err has what was there")
		require.ErrorIs(t, found, errKnown)
	})
	onRoundTrips(t, &fieldError{Op: "read", Err: io.EOF}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, &fieldError{Op: "read", Err: io.EOF}, as[*fieldError](t, e), "a value that is known is as it was")
	})
	onRoundTrips(t, &fieldError{Op: "read", Err: &hiddenError{7, io.EOF}}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, &hiddenError{Code: 7}, as[*hiddenError](t, e))
		require.ErrorIs(t, e, io.EOF, "also what has no field")
		require.EqualError(t, as[*fieldError](t, e), "read: code 7: EOF")
	})
	onRoundTrips(t, &fieldError{Op: "read", Err: partialError{1, "lost"}}, func(t *testing.T, e *traigo.RemoteError) {
		require.EqualError(t, as[*fieldError](t, e).Err, "part 1 lost", "the text is that of the whole")
		assert.Equal(t, partialError{N: 1}, as[partialError](t, e))
	})
	chain := &chainError{1, &chainError{2, &chainError{3, nil}}}
	onRoundTrips(t, chain, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, chain, as[*chainError](t, e), "also of types that are no interfaces")
		assert.Equal(t, 3, nodes(e))
	})
	onRoundTrips(t, encodedError{"data"}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, encodedError{"data"}, as[encodedError](t, e))
	})
	onRoundTrips(t, listError{"a", "b"}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, listError{"a", "b"}, as[listError](t, e))
	})
	onRoundTrips(t, codeError(0), func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, codeError(0), as[codeError](t, e), "zero values too")
	})
	onRoundTrips(t, &traigo.TaskError{Task: "t", Err: listError{"a"}}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, &traigo.TaskError{Task: "t", Err: listError{"a"}}, as[*traigo.TaskError](t, e))
	})
}

func TestRemoteErrorsGetTheirCausesBackByWithCause(t *testing.T) {
	registerForTests(t)
	began := &traigo.Cancellation{Kind: traigo.Requested, Scope: "root", Err: errKnown}
	deep := &causeError{"leaf", fmt.Errorf("asked: %w", &causeError{"mid", &causeError{"root", began}})}
	onRoundTrips(t, errors.Join(errBoom, deep), func(t *testing.T, e *traigo.RemoteError) {
		var err error = e
		for _, actor := range []string{"leaf", "mid", "root"} {
			c := as[*causeError](t, err)
			assert.Equal(t, actor, c.Actor)
			require.Error(t, c.cause)
			err = c.cause
		}
		c := as[*traigo.Cancellation](t, err)
		assert.Equal(t, "root", c.Scope)
		assert.Equal(t, errKnown, c.Err)
		require.EqualError(t, as[*causeError](t, e), deep.Error())
	})
	onRoundTrips(t, &causeError{"alone", nil}, func(t *testing.T, e *traigo.RemoteError) {
		require.NoError(t, as[*causeError](t, e).cause)
	})
	onRoundTrips(t, &causeError{"two", errors.Join(io.EOF, errKnown)}, func(t *testing.T, e *traigo.RemoteError) {
		require.ErrorIs(t, as[*causeError](t, e).cause, io.EOF)
		require.ErrorIs(t, as[*causeError](t, e).cause, errKnown)
	})
}

// To look at a RemoteError visits each error once, whoever wraps it there.
func TestRemoteErrorsHaveEachCauseOnce(t *testing.T) {
	registerForTests(t)
	err := errKnown
	for i := range 60 {
		err = []error{
			&causeError{"a", err}, &fieldError{Op: "op", Err: err}, &traigo.TaskError{Task: "t", Err: err},
			fmt.Errorf("%w", err), &traigo.PanicError{Recovered: &panics.Recovered{Value: err}},
		}[i%5]
	}
	e := traigo.AsRemote(err, elsewhere)
	assert.Equal(t, 61, nodes(e))
	assert.LessOrEqual(t, visited(e), 2*61)
	require.ErrorIs(t, e, errKnown)
}

func TestRemoteErrorsAreTextsWhereTheyCannotBeEncoded(t *testing.T) {
	registerForTests(t)
	type unknown struct{ N int }
	for _, err := range []error{
		opaqueError{"data"}, dynamicError{unknown{1}}, dynamicError{func() {}}, encodedError{""},
		&cyclicError{&cyclicError{}}, fmt.Errorf("not registered"), //nolint:err113 // a type of another package
	} {
		if c, ok := err.(*cyclicError); ok { //nolint:errorlint // the value itself
			c.To.To = c
		}
		t.Run(fmt.Sprintf("%T", err), func(t *testing.T) {
			onRoundTrips(t, fmt.Errorf("%w, and %w", err, errKnown), func(t *testing.T, e *traigo.RemoteError) {
				c := e.Causes[0]
				assert.Equal(t, traigo.RemoteError{Type: fmt.Sprintf("%T", err), Msg: err.Error(), Where: elsewhere}, *c)
				assert.Empty(t, c.Unwrap())
				require.ErrorIs(t, e, errKnown)
			})
		})
	}
	assert.Equal(t, dynamicError{1}, as[dynamicError](t, traigo.AsRemote(dynamicError{1}, "")), "a type that gob knows")
}

func TestRemoteErrorsOfHostileErrorsHarmNothing(t *testing.T) {
	registerForTests(t)
	loop := &selfishError{}
	loop.Errs = []error{loop, nil, errKnown, loop}
	dag := errBoom
	for range 40 {
		dag = &selfishError{[]error{dag, dag}}
	}
	deep := errBoom
	for range 10_000 {
		deep = fmt.Errorf("%w", deep)
	}
	for name, err := range map[string]error{
		"methods panic": vicious{}, "typed nil": (*typedNilError)(nil), "nil registered": (*fieldError)(nil),
		"nil of this package": (*traigo.Error)(nil), "nil panic": (*traigo.PanicError)(nil), "nil cancellation": (*traigo.Cancellation)(nil),
		"nil remote": errors.Join((*traigo.RemoteError)(nil)), "contains itself": loop, "shared": dag, "deep": deep, "uncomparable": uncomparable{"a"},
		"field is nil": &fieldError{}, "in an outcome": &traigo.Error{Scope: "s", Err: vicious{}, Others: []error{nil, loop}},
	} {
		t.Run(name, func(t *testing.T) {
			onRoundTrips(t, err, func(t *testing.T, e *traigo.RemoteError) {
				assert.LessOrEqual(t, nodes(e), 100)
				assert.NotEmpty(t, e.Type)
				assert.NotEmpty(t, e.Msg)
				assert.Equal(t, name == "contains itself" || name == "in an outcome", errors.Is(e, errKnown))
				assert.NotEmpty(t, fmt.Sprintf("%+v", e))
			})
		})
	}
	assert.Contains(t, traigo.AsRemote(vicious{}, "").Msg, "Error panics")
	assert.Equal(t, []error{loop, nil, errKnown, loop}, loop.Errs, "it is only looked at")
}

// Data comes from another process, which may have another version of the type, or be broken.
func TestRemoteErrorsWithWrongDataAreTexts(t *testing.T) {
	registerForTests(t)
	good := traigo.AsRemote(&causeError{"a", &fieldError{Op: "op", Err: io.EOF}}, elsewhere)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		bad := *good
		bad.Data = bytes.Clone(good.Data)
		bad.Data[random.IntN(len(bad.Data))] ^= byte(1 + random.IntN(255))
		bad.Data = bad.Data[:1+random.IntN(len(bad.Data))]
		if random.IntN(4) == 0 {
			bad.Causes = []*traigo.RemoteError{nil, nil}
		}
		require.NotPanics(t, func() { _ = errors.Is(&bad, errBoom) }, "seed %d, data %x", seed, bad.Data)
	}
	other := *good
	other.Data = bytes.ReplaceAll(good.Data, []byte("causeError"), []byte("otherError"))
	assert.Equal(t, []error{good.Causes[0]}, other.Unwrap(), "a type that is not registered here")
}

func TestRemoteErrorsAreBounded(t *testing.T) {
	many := make([]error, 500)
	for i := range many {
		many[i] = fmt.Errorf("error %d: %w", i, errBoom)
	}
	e := traigo.AsRemote(errors.Join(many...), elsewhere)
	assert.Equal(t, 100, nodes(e))
	assert.Len(t, e.Causes, 99, "the outermost ones")
	assert.Equal(t, "error 98: boom", e.Causes[98].Msg)

	outcome := as[*traigo.Error](t, traigo.AsRemote(&traigo.Error{Scope: "s", Err: errBoom, Others: many}, elsewhere))
	require.EqualError(t, outcome.Err, "boom")
	assert.Len(t, outcome.Others, 98, "those that have crossed")

	assert.Len(t, traigo.AsRemote(errors.New("x"+strings.Repeat("ö", 1<<20)), "").Msg, 64<<10-1, "no half of a letter")
	long := traigo.AsRemote(errors.New("x"+strings.Repeat("\xffö", 1<<20)), strings.Repeat("w", 1<<20))
	assert.InDelta(t, 64<<10, len(long.Msg), 3)
	assert.True(t, utf8.ValidString(long.Msg), "JSON would change it")
	assert.Len(t, long.Where, 64<<10)
	assert.Same(t, long, traigo.AsRemote(long, "process 2"))

	huge := &traigo.RemoteError{Msg: strings.Repeat("ö", 1<<20), Causes: []*traigo.RemoteError{nil, {Msg: "inner"}}}
	bounded := traigo.AsRemote(huge, "process 2")
	assert.Len(t, bounded.Msg, 64<<10)
	assert.Equal(t, []*traigo.RemoteError{{Msg: "inner"}}, bounded.Causes)
	loop := &traigo.RemoteError{Msg: "loop"}
	loop.Causes = []*traigo.RemoteError{loop}
	assert.Equal(t, 100, nodes(traigo.AsRemote(loop, "")))
	assert.Contains(t, fmt.Sprintf("%+v", loop), "loop")
}

func TestRemoteErrorsCrossAgainUnchanged(t *testing.T) {
	assert.Nil(t, traigo.AsRemote(nil, elsewhere))
	assert.Nil(t, traigo.AsRemote((*traigo.RemoteError)(nil), elsewhere))
	first := traigo.AsRemote(fmt.Errorf("read: %w", &fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}), "process 1")
	assert.Same(t, first, traigo.AsRemote(first, "process 2"))
	onRoundTrips(t, &traigo.TaskError{Task: "t", Err: first}, func(t *testing.T, e *traigo.RemoteError) {
		assert.Equal(t, elsewhere, e.Where)
		assert.Equal(t, []*traigo.RemoteError{first}, e.Causes)
		require.ErrorIs(t, e, fs.ErrNotExist)
	})
}

// Some errors match a sentinel by their own Is alone.
func TestRemoteErrorsAreWhatTheirIsSaid(t *testing.T) {
	registerForTests(t)
	onRoundTrips(t, fmt.Errorf("dial: %w", &timeoutError{"dial"}), func(t *testing.T, e *traigo.RemoteError) {
		require.ErrorIs(t, e, context.DeadlineExceeded)
		assert.NotErrorIs(t, e, context.Canceled)
		assert.Equal(t, 3, nodes(e))
	})
	onRoundTrips(t, codeError(404), func(t *testing.T, e *traigo.RemoteError) {
		require.ErrorIs(t, e, fs.ErrNotExist)
		assert.Empty(t, e.Causes, "the value says so itself")
	})
}

func TestRemoteErrorsHaveTheRestInDetail(t *testing.T) {
	inner := traigo.AsRemote(errors.New("two\nlines"), "process 2")
	p := &traigo.PanicError{Task: "s/t", Recovered: &panics.Recovered{Value: "oops", Stack: []byte("goroutine 1 [running]:\nmain.f()\n\t/src/f.go:1\n")}}
	e := traigo.AsRemote(&traigo.Error{Scope: "s", Err: &traigo.TaskError{Task: "t", Err: p}, Others: []error{inner, errBoom}}, elsewhere)
	text := fmt.Sprintf("%+v", e)
	assert.Equal(t, strings.Join([]string{
		`scope "s": task "s/t" panicked: oops; also: two; lines; also: boom (*traigo.Error, process 4711)`,
		"\t" + `task "s/t" panicked: oops (*traigo.TaskError)`,
		"\t\t" + `task "s/t" panicked: oops (*traigo.PanicError)`,
		"\t\t\tgoroutine 1 [running]:",
		"\t\t\tmain.f()",
		"\t\t\t\t/src/f.go:1",
		"\ttwo; lines (*errors.errorString, process 2)",
		"\tboom (*errors.errorString)",
	}, "\n"), text)
	assert.Equal(t, text, e.LogValue().String())
	assert.Equal(t, e.Error(), fmt.Sprintf("%v", e))
	assert.Equal(t, strconv.Quote(e.Error()), fmt.Sprintf("%q", e))
	assert.Equal(t, "boom", fmt.Sprintf("%+v", &traigo.RemoteError{Msg: "boom"}))

	task := &traigo.TaskError{Task: "t", Err: traigo.AsRemote(fmt.Errorf("read: %w", io.EOF), elsewhere)}
	assert.Equal(t, "task \"t\":\n\tread: EOF (*fmt.wrapError, process 4711)\n\t\tEOF (*errors.errorString)", fmt.Sprintf("%+v", task))
	assert.EqualError(t, task, `task "t": read: EOF`)
}

func TestRegisterErrorRefusesWhatCouldBeMistaken(t *testing.T) {
	registerForTests(t)
	requireMisuse(t, func() { traigo.RegisterError(errors.New("known elsewhere")) }, "RegisterError", "known elsewhere", "*errors.errorString", "another text")
	requireMisuse(t, func() { traigo.RegisterError(nil) }, "RegisterError", "nil")
	requireMisuse(t, func() { traigo.RegisterError(uncomparable{"a"}) }, "RegisterErrorType")
	assert.NotPanics(t, func() { traigo.RegisterError(errKnown, io.EOF); traigo.RegisterError() })
}

func TestRegisterErrorTypeRefusesWhatCouldBeMistaken(t *testing.T) {
	requireMisuse(t, traigo.RegisterErrorType[error], "error", "interface")
	requireMisuse(t, traigo.RegisterErrorType[interface {
		error
		Timeout() bool
	}], "interface")
	registerLocalType()
	requireMisuse(t, registerLocalTypeOfThatName, "localError", "different names")
	assert.NotPanics(t, registerLocalType)
}

func registerLocalType() {
	type localError struct{ codeError }
	traigo.RegisterErrorType[localError]()
}

func registerLocalTypeOfThatName() {
	type localError struct{ *fieldError }
	traigo.RegisterErrorType[localError]()
}

func TestRemoteErrorsAreMadeAndReadConcurrently(t *testing.T) {
	shared := traigo.AsRemote(&traigo.TaskError{Task: "t", Err: &fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}}, elsewhere)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 20 {
				registerForTests(t)
				assert.ErrorIs(t, shared, fs.ErrNotExist)
				assert.ErrorIs(t, traigo.AsRemote(errKnown, elsewhere), errKnown)
			}
		})
	}
	group.Wait()
}

// Nothing but the fields that are seen decides what a RemoteError is.
func TestRemoteErrorsArePlainData(t *testing.T) {
	for f := range reflect.TypeFor[traigo.RemoteError]().Fields() {
		assert.True(t, f.IsExported(), f.Name)
	}
}
