//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// What the tests of functions, calls, sources and pools share.
//
//	none                     the argument of functions that need none
//	getPid                   a function that tells in which process it runs
//	withPool                 runs the body of a test in a scope with a pool of one worker
//	quiet                    an option of their pools
//	pid                      the process in which calls under ctx run now
//	write, read              lines of a file by which a job tells the test what it did
//	waitUntil                waits for a condition
//	isGone                   whether there is no process with that number
//	recovered                the value that a function panics with

type none = struct{}

var getPid = proc.Func("function.pid", func(context.Context, none) (int, error) { return os.Getpid(), nil })

// withPool calls body in a scope that has a pool of one worker, unless opts say otherwise. What
// workers write on standard error is not shown.
func withPool(t *testing.T, body func(ctx context.Context, p *proc.Pool), opts ...proc.Option) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		body(ctx, proc.Open(s, append([]proc.Option{proc.Limit(1), quiet()}, opts...)...))
		return nil
	})
	require.NoError(t, err)
}

// quiet has workers write to nobody, and not sleep for a second at their end, as they do with
// -race.
func quiet() proc.Option {
	return proc.Command(func(cmd *exec.Cmd) {
		cmd.Stderr = io.Discard
		cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	})
}

func pid(ctx context.Context, t *testing.T) int {
	t.Helper()
	pid, err := getPid.Run(ctx, none{})
	require.NoError(t, err)
	return pid
}

func write(path, line string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line + "\n")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic(err)
	}
}

func read(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

func waitUntil(t *testing.T, condition func() bool, what ...any) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 2*time.Millisecond, what...)
}

func isGone(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err != nil
}

func recovered(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// requireMisuse requires that f panics as a wrong call does.
func requireMisuse(t *testing.T, value any) {
	t.Helper()
	require.NotNil(t, value, "it does not panic")
	assert.True(t, strings.HasPrefix(fmt.Sprint(value), "traigo: "), "%v", value)
}

// P1: registration.

var functionSource = proc.Source("function.source", func(context.Context, none) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) { yield(1, nil) }
})

// functionMisuses is what wrong registrations before Serve panic with.
var functionMisuses = map[string]any{
	"empty name":         recovered(func() { proc.Func("", functionNothing) }),
	"empty name, source": recovered(func() { proc.Source("", functionItems) }),
	"nil function":       recovered(func() { proc.Func[none, none]("function.nil", nil) }),
	"nil source":         recovered(func() { proc.Source[none, none]("function.nil source", nil) }),
	"double name":        recovered(func() { proc.Func(getPid.Name(), functionNothing) }),
	"name of a source":   recovered(func() { proc.Func(functionSource.Name(), functionNothing) }),
	"name of a function": recovered(func() { proc.Source(getPid.Name(), functionItems) }),
	"double source":      recovered(func() { proc.Source(functionSource.Name(), functionItems) }),
}

func functionNothing(context.Context, none) (none, error)           { return none{}, nil }
func functionItems(context.Context, none) iter.Seq2[none, error]    { return nil }
func functionAtOnce(_ context.Context, in string) (string, error)   { return in, nil }
func functionOptions(opts ...proc.Option) func(s *traigo.Scope) any { return functionOpening(opts) }
func functionOpening(opts []proc.Option) func(s *traigo.Scope) any {
	return func(s *traigo.Scope) any { return recovered(func() { proc.Open(s, opts...) }) }
}

func TestFunctionsHaveTheNamesThatTheyWereRegisteredWith(t *testing.T) {
	assert.Equal(t, "function.pid", getPid.Name())
	assert.Equal(t, "function.source", functionSource.Name())
}

func TestAWrongRegistrationPanics(t *testing.T) {
	for name, value := range functionMisuses {
		t.Run(name, func(t *testing.T) { requireMisuse(t, value) })
	}
}

func TestARegistrationAfterServePanics(t *testing.T) {
	requireMisuse(t, recovered(func() { proc.Func("function.late", functionNothing) }))
	requireMisuse(t, recovered(func() { proc.Source("function.late source", functionItems) }))
}

func TestTheNameOfARefusedRegistrationIsNotTaken(t *testing.T) {
	noneLeft(t)
	require.NotNil(t, functionMisuses["double name"])
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		assert.NotEqual(t, os.Getpid(), pid(ctx, t), "the first function of the name is called, in a worker")
	})
}

func TestAMisuseOfOptionsPanics(t *testing.T) {
	noneLeft(t)
	ctx := t.Context()
	tests := map[string]func(s *traigo.Scope) any{
		"negative KillAfter":   func(*traigo.Scope) any { return recovered(func() { proc.KillAfter(-1) }) },
		"negative Grace":       func(*traigo.Scope) any { return recovered(func() { proc.Grace(-1) }) },
		"negative IdleTimeout": func(*traigo.Scope) any { return recovered(func() { proc.IdleTimeout(-1) }) },
		"most negative":        func(*traigo.Scope) any { return recovered(func() { proc.KillAfter(math.MinInt64) }) },
		"Limit of 0":           func(*traigo.Scope) any { return recovered(func() { proc.Limit(0) }) },
		"Limit of -1":          func(*traigo.Scope) any { return recovered(func() { proc.Limit(-1) }) },
		"Memory of 0":          func(*traigo.Scope) any { return recovered(func() { proc.Memory(0) }) },
		"Memory of -1":         func(*traigo.Scope) any { return recovered(func() { proc.Memory(-1) }) },
		"Open of no scope":     func(*traigo.Scope) any { return recovered(func() { proc.Open(nil) }) },
		"Open with no option":  functionOptions(nil),
		"Open with one of two": functionOptions(proc.Limit(1), nil),
		"With of no context": func(s *traigo.Scope) any {
			p := proc.Open(s)
			return recovered(func() { proc.With(nil, p) }) //nolint:staticcheck // that is the mistake
		},
		"With of no pool":    func(*traigo.Scope) any { return recovered(func() { proc.With(ctx, nil) }) },
		"Init of nothing":    func(*traigo.Scope) any { return recovered(func() { proc.Init[none, none](nil, none{}) }) },
		"Retire of nothing":  func(*traigo.Scope) any { return recovered(func() { proc.Retire(nil) }) },
		"Command of nothing": func(*traigo.Scope) any { return recovered(func() { proc.Command(nil) }) },
	}
	for name, misuse := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
				requireMisuse(t, misuse(s))
				return nil
			}))
		})
	}
}

func TestTheSmallestOptionsAreAllowed(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		assert.NotZero(t, pid(ctx, t))
	}, proc.KillAfter(0), proc.Grace(0), proc.IdleTimeout(0), proc.Limit(1), proc.Memory(math.MaxInt64))
}

// Async.

var (
	functionEcho = proc.Func("function.echo", functionAtOnce)
	functionFail = proc.Func("function.fail", func(_ context.Context, text string) (int, error) { return 7, errors.New(text) })
)

func TestAsyncIsATaskNamedAfterTheFunction(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		s := traigo.Current(ctx)
		f := functionEcho.Async(s, "hello")
		got, err := f.Await(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hello", got)
		assert.Equal(t, "function.echo", f.Task().Name())
		assert.Same(t, s, f.Task().Scope())

		again, err := f.Await(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hello", again, "Await can be called any number of times")

		named := functionEcho.Async(s, "again", traigo.Name("another"))
		got, err = named.Await(ctx)
		require.NoError(t, err)
		assert.Equal(t, "again", got)
		assert.Equal(t, "another", named.Task().Name())
		assert.EqualValues(t, 1, p.Stats().Started, "it has used the pool of the scope")
	})
}

func TestAFailureOfAsyncBelongsToWhoAwaits(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		got, err := functionFail.Async(traigo.Current(ctx), "no luck").Await(ctx)
		require.EqualError(t, err, "no luck")
		assert.Equal(t, 7, got, "what it has returned besides")
		assert.NoError(t, ctx.Err(), "the scope goes on")
	})
}

func TestATimeoutOfAsyncKillsTheJob(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		_, err := callSpin.Async(traigo.Current(ctx), "", traigo.Timeout(50*time.Millisecond)).Await(ctx)
		var timeout *traigo.TimeoutError
		require.ErrorAs(t, err, &timeout)
		assert.Equal(t, 50*time.Millisecond, timeout.After)
		assert.NoError(t, ctx.Err(), "the scope goes on")
		assert.NotZero(t, pid(ctx, t), "so does the pool")
		assert.EqualValues(t, 1, p.Stats().Killed)
	}, proc.KillAfter(0))
}

func TestAsyncInAScopeThatHasEndedIsRefused(t *testing.T) {
	noneLeft(t)
	s := traigo.New(t.Context())
	p := proc.Open(s)
	require.NoError(t, s.Close())
	_, err := functionEcho.Async(s, "too late").Await(t.Context())
	require.ErrorIs(t, err, traigo.ErrRefused)
	assert.Zero(t, p.Stats().Started)
}

// P9: encoding.

type functionValue struct {
	Name    string
	Next    *functionValue
	Numbers []int
	Shares  map[string]float64
	When    time.Time
	Any     any
	hidden  int
}

type (
	functionShape  interface{ Area() int }
	functionSquare struct{ Side int }
	functionCircle struct{ Radius int }
	functionPart   struct{ A, B int }
	functionOther  struct{ C string }
	functionAlien  struct{ D string } // is not registered
	functionLocal  struct{ E string } // is registered here, not in the workers
	functionSecret struct{ secret int }
)

func (s functionSquare) Area() int  { return s.Side * s.Side }
func (c *functionCircle) Area() int { return 3 * c.Radius * c.Radius }

var _ = func() bool {
	gob.Register(functionSquare{})
	gob.Register(&functionCircle{})
	gob.Register(functionPart{})
	gob.Register(functionOther{})
	gob.Register([]any{})
	gob.Register(map[string]any{})
	return true
}()

var (
	functionValues   = proc.Func("function.values", func(_ context.Context, in functionValue) (functionValue, error) { return in, nil })
	functionPointers = proc.Func("function.pointers", func(_ context.Context, in *functionValue) (*functionValue, error) { return in, nil })
	functionShapes   = proc.Func("function.shapes", func(_ context.Context, in functionShape) (functionShape, error) { return in, nil })
	functionAny      = proc.Func("function.any", func(_ context.Context, in any) (any, error) { return in, nil })
	functionNone     = proc.Func("function.none", functionNothing)
	functionSlices   = proc.Func("function.slices", func(_ context.Context, in []string) ([]string, error) { return in, nil })
	functionMaps     = proc.Func("function.maps", func(_ context.Context, in map[string][]byte) (map[string][]byte, error) { return in, nil })
	functionErrors   = proc.Func("function.errors", func(_ context.Context, in error) (error, error) { return in, nil })
)

// requireEcho requires that f returns what it is given, or want if that is given.
func requireEcho[T any](ctx context.Context, t *testing.T, f *proc.Function[T, T], in T, want ...T) {
	t.Helper()
	got, err := f.Run(ctx, in)
	require.NoError(t, err)
	if len(want) == 0 {
		want = []T{in}
	}
	assert.Equal(t, want[0], got)
}

func TestValuesCrossInBothDirections(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		when := time.Date(2026, 11, 30, 6, 0, 0, 5, time.UTC)
		full := functionValue{
			Name: "a", Next: &functionValue{Name: "b", Any: functionPart{1, 2}}, Numbers: []int{1, 0, -1},
			Shares: map[string]float64{"half": 0.5}, When: when, Any: []any{1, "two", functionSquare{3}},
		}
		for range 3 { // the first time types are sent, later they are known
			requireEcho(ctx, t, functionValues, full)
			requireEcho(ctx, t, functionValues, functionValue{})
			requireEcho(ctx, t, functionPointers, &full)
			requireEcho(ctx, t, functionPointers, &functionValue{})
			requireEcho(ctx, t, functionPointers, nil)
			requireEcho(ctx, t, functionShapes, functionShape(functionSquare{2}))
			requireEcho(ctx, t, functionShapes, functionShape(&functionCircle{2}))
			requireEcho(ctx, t, functionShapes, nil)
			requireEcho(ctx, t, functionAny, nil)
			requireEcho(ctx, t, functionAny, any(map[string]any{"k": int64(math.MaxInt64)}))
			requireEcho(ctx, t, functionAny, any(functionPart{3, 0}))
			requireEcho(ctx, t, functionNone, none{})
			requireEcho(ctx, t, functionSlices, []string{"", "x"})
			requireEcho(ctx, t, functionMaps, map[string][]byte{"k": {0, 255}})
			requireEcho(ctx, t, functionErrors, nil)
		}
		assert.EqualValues(t, 1, p.Stats().Started, "all in one worker")
	})
}

func TestWhatGobDropsDoesNotCross(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		requireEcho(ctx, t, functionValues, functionValue{Name: "x", hidden: 4}, functionValue{Name: "x"})
		requireEcho(ctx, t, functionSlices, []string{}, nil)
		got, err := functionMaps.Run(ctx, map[string][]byte{})
		require.NoError(t, err)
		assert.Empty(t, got)
		requireEcho(ctx, t, functionSlices, nil)
	})
}

var (
	functionChan    = proc.Func("function.chan", func(_ context.Context, in chan int) (none, error) { return none{}, nil })
	functionFunc    = proc.Func("function.func", func(_ context.Context, in func()) (none, error) { return none{}, nil })
	functionSecrets = proc.Func("function.secrets", func(_ context.Context, in functionSecret) (none, error) { return none{}, nil })
	functionTable   = proc.Func("function.table", func(_ context.Context, in map[string]func()) (none, error) { return none{}, nil })

	functionGiveChan   = proc.Func("function.give chan", func(context.Context, none) (chan int, error) { return make(chan int), nil })
	functionGiveFunc   = proc.Func("function.give func", func(context.Context, none) (func(), error) { return func() {}, nil })
	functionGiveSecret = proc.Func("function.give secret", func(context.Context, none) (functionSecret, error) { return functionSecret{1}, nil })
	functionGive       = proc.Func("function.give", functionGiven)
	functionBoth       = proc.Func("function.both", func(context.Context, none) (any, error) {
		return []any{functionOther{"c"}, functionAlien{"d"}}, errCallRegistered
	})
)

// functionGiven returns something that cannot be encoded, or received.
func functionGiven(_ context.Context, what string) (any, error) {
	switch what {
	case "an unregistered type":
		return functionAlien{"d"}, nil
	case "a chan":
		return make(chan int), nil
	case "half a value":
		return []any{functionPart{1, 2}, functionOther{"c"}, functionAlien{"d"}}, nil
	case "a part":
		return functionPart{1, 2}, nil
	case "too much":
		return make([]byte, 64<<20+1), nil
	case "much":
		return make([]byte, 40<<20), nil
	case "cannot be encoded", "panics when it is encoded", "cannot be decoded there", "panics when it is decoded there":
		return functionPicky{what, os.Getpid()}, nil
	}
	return what, nil
}

// A functionPicky has methods for gob that fail.
type functionPicky struct {
	How string
	By  int
}

func (p functionPicky) GobEncode() ([]byte, error) {
	switch p.How {
	case "cannot be encoded":
		return nil, errors.New("picky when encoded")
	case "panics when it is encoded":
		panic("picky when encoded")
	}
	return fmt.Append(nil, p.By, " ", p.How), nil
}

func (p *functionPicky) GobDecode(data []byte) error {
	by, how, _ := bytes.Cut(data, []byte(" "))
	if _, err := fmt.Sscan(string(by), &p.By); err != nil {
		return err
	}
	p.How = string(how)
	switch {
	case p.By == os.Getpid():
	case p.How == "cannot be decoded there":
		return errors.New("picky when decoded")
	case p.How == "panics when it is decoded there":
		panic("picky when decoded")
	}
	return nil
}

var _ = func() bool { gob.Register(functionPicky{}); return true }()

func TestWhatCannotBeEncodedIsTheErrorOfTheCallAndTheWorkerGoesOn(t *testing.T) {
	noneLeft(t)
	gob.Register(functionLocal{})
	tests := map[string]functionCase{
		"argument: chan":                 functionCallOf(functionChan, make(chan int), functionIsNone),
		"argument: func":                 functionCallOf(functionFunc, func() {}, functionIsNone),
		"argument: unexported fields":    functionCallOf(functionSecrets, functionSecret{1}, functionIsNone),
		"argument: map of func":          functionCallOf(functionTable, map[string]func(){"f": func() {}}, functionIsNone),
		"argument: unregistered type":    functionAnyOf(functionAlien{"d"}),
		"argument: chan in an any":       functionAnyOf(make(chan int)),
		"argument: half a value":         functionAnyOf([]any{functionPart{1, 2}, functionOther{"c"}, functionAlien{"d"}}),
		"argument: too large":            functionAnyOf(make([]byte, 64<<20+1)),
		"argument: not registered there": functionAnyOf(functionLocal{"e"}),
		"argument: fails when encoded":   functionAnyOf(functionPicky{"cannot be encoded", os.Getpid()}),
		"argument: panics when encoded":  functionAnyOf(functionPicky{"panics when it is encoded", os.Getpid()}),
		"argument: fails when decoded":   functionAnyOf(functionPicky{"cannot be decoded there", os.Getpid()}),
		"argument: panics when decoded":  functionAnyOf(functionPicky{"panics when it is decoded there", os.Getpid()}),
		"argument: fails when decoded, as a part": functionAnyOf([]any{
			functionOther{"c"}, functionPicky{"cannot be decoded there", os.Getpid()}, functionPart{1, 2},
		}),
		"result: chan":                functionCallOf(functionGiveChan, none{}, func(out chan int) bool { return out == nil }),
		"result: func":                functionCallOf(functionGiveFunc, none{}, func(out func()) bool { return out == nil }),
		"result: unexported fields":   functionCallOf(functionGiveSecret, none{}, func(out functionSecret) bool { return out.secret == 0 }),
		"result: unregistered type":   functionGivenAs("an unregistered type"),
		"result: chan in an any":      functionGivenAs("a chan"),
		"result: half a value":        functionGivenAs("half a value"),
		"result: too large":           functionGivenAs("too much"),
		"result: fails when encoded":  functionGivenAs("cannot be encoded"),
		"result: panics when encoded": functionGivenAs("panics when it is encoded"),
		"result: fails when decoded":  functionGivenAs("cannot be decoded there"),
		"result: panics when decoded": functionGivenAs("panics when it is decoded there"),
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			withPool(t, func(ctx context.Context, p *proc.Pool) {
				before := pid(ctx, t)
				for range 2 {
					err := test.call(ctx)
					require.Error(t, err)
					assert.Contains(t, err.Error(), test.names, "the error names the function")
					if strings.HasSuffix(name, "too large") {
						require.ErrorIs(t, err, proc.ErrTooLarge)
					}
					var broken *proc.BrokenWorkerError
					require.NotErrorAs(t, err, &broken)

					// The streams are as good as before, also for types of which a part was sent.
					requireEcho(ctx, t, functionAny, any([]any{functionPart{3, 4}, functionOther{"c"}}))
					requireEcho(ctx, t, functionAny, any(functionPart{1, 2}))
					requireEcho(ctx, t, functionValues, functionValue{Name: "n", Any: functionOther{"c"}})
					got, err := functionGive.Run(ctx, "a part")
					require.NoError(t, err)
					assert.Equal(t, functionPart{1, 2}, got)
				}
				assert.Equal(t, before, pid(ctx, t), "the worker goes on")
				assert.EqualValues(t, 1, p.Stats().Started)
			})
		})
	}
}

// A functionCase is a call that fails, and the name of its function.
type functionCase struct {
	names string
	call  func(ctx context.Context) error
}

// functionCallOf calls f, which is to have no result.
func functionCallOf[In, Out any](f *proc.Function[In, Out], in In, isNone func(Out) bool) functionCase {
	return functionCase{f.Name(), func(ctx context.Context) error {
		out, err := f.Run(ctx, in)
		if !isNone(out) {
			return fmt.Errorf("a result, %v, besides the error %w", out, err)
		}
		return err
	}}
}

func functionAnyOf(in any) functionCase {
	return functionCallOf(functionAny, in, func(out any) bool { return out == nil })
}

func functionGivenAs(what string) functionCase {
	return functionCallOf(functionGive, what, func(out any) bool { return out == nil })
}

func functionIsNone(none) bool { return true }

func TestAnUnencodableArgumentAsTheFirstOfANewWorker(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, _ *proc.Pool) {
		_, err := functionAny.Run(ctx, functionAlien{"d"})
		require.ErrorContains(t, err, functionAny.Name())
		requireEcho(ctx, t, functionAny, any(functionPart{1, 2}))
	})
}

func TestAnErrorBesideAResultThatCannotBeEncodedIsNotLost(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		for range 2 {
			got, err := functionBoth.Run(ctx, none{})
			require.ErrorIs(t, err, errCallRegistered)
			assert.Nil(t, got)
			requireEcho(ctx, t, functionAny, any(functionPart{1, 2}))
		}
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}

func TestMessagesOfManyMiBCross(t *testing.T) {
	noneLeft(t)
	withPool(t, func(ctx context.Context, p *proc.Pool) {
		requireEcho(ctx, t, functionMaps, map[string][]byte{"a": bytes.Repeat([]byte{1}, 20<<20)})
		got, err := functionGive.Run(ctx, "much")
		require.NoError(t, err)
		assert.Len(t, got, 40<<20)
		requireEcho(ctx, t, functionEcho, "small")
		assert.EqualValues(t, 1, p.Stats().Started)
	})
}
