//go:build linux

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

// Registration, what surrounds a function, panics, the allowlist, and calls that go well: A1,
// A5, A7, A8 and A9.

var errBoom = errors.New("boom")

func init() { traigo.RegisterError(errBoom) }

var square = exposed(actor.Func("function.square", func(_ context.Context, n int) (int, error) { return n * n, nil }))

var fail = exposed(actor.Func("function.fail", func(context.Context, none) (int, error) { return 0, errBoom }))

// block notes that it runs, and the cause of its end.
var block = exposed(actor.Func("function.block", func(ctx context.Context, key string) (none, error) {
	note(key, "begins")
	<-ctx.Done()
	note(key, "ends")
	return none{}, context.Cause(ctx)
}))

// count yields the numbers below n.
var count = exposed(actor.Source("function.count", func(_ context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}))

// echo sends what it receives, and returns how much that was.
var echo = exposed(actor.Dialog("function.echo", func(_ context.Context, in string, started actor.Started[string, string, string]) (int, error) {
	note("function.echo", in)
	p, err := started("hello " + in)
	if err != nil {
		return 0, err
	}
	n := 0
	for item, err := range p.Items() {
		if err != nil {
			return n, err
		}
		if err := p.Send(item); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}))

func silent(context.Context, string, *actor.Peer[string, string]) error { return nil }

// A1

func nothing(context.Context, none) (none, error)                                { return none{}, nil }
func items(context.Context, none) iter.Seq2[none, error]                         { return nil }
func talks(context.Context, none, actor.Started[none, none, none]) (none, error) { return none{}, nil }
func ofType[T any](context.Context, T) (none, error)                             { return none{}, nil }
func toType[T any](context.Context, none) (out T, _ error)                       { return out, nil }
func itemsOf[T any](context.Context, none) iter.Seq2[T, error]                   { return nil }
func startsWith[T any](context.Context, none, actor.Started[T, none, none]) (n none, _ error) {
	return n, nil
}
func sends[T any](context.Context, none, actor.Started[none, T, none]) (n none, _ error) {
	return n, nil
}
func receives[T any](context.Context, none, actor.Started[none, none, T]) (n none, _ error) {
	return n, nil
}

// misuses is what wrong registrations before Serve panic with.
var misuses = map[string]any{
	"empty name":           recovered(func() { actor.Func("", nothing) }),
	"empty name, source":   recovered(func() { actor.Source("", items) }),
	"empty name, dialog":   recovered(func() { actor.Dialog("", talks) }),
	"nil function":         recovered(func() { actor.Func[none, none]("misuse", nil) }),
	"nil source":           recovered(func() { actor.Source[none, none]("misuse", nil) }),
	"nil dialog":           recovered(func() { actor.Dialog[none, none, none, none, none]("misuse", nil) }),
	"name is taken":        recovered(func() { actor.Func(square.Name(), nothing) }),
	"name of a source":     recovered(func() { actor.Func(count.Name(), nothing) }),
	"name of a function":   recovered(func() { actor.Dialog(square.Name(), talks) }),
	"name of a dialog":     recovered(func() { actor.Source(echo.Name(), items) }),
	"channel":              recovered(func() { actor.Func("misuse", ofType[chan int]) }),
	"channel, result":      recovered(func() { actor.Func("misuse", toType[chan int]) }),
	"function":             recovered(func() { actor.Func("misuse", ofType[func()]) }),
	"complex":              recovered(func() { actor.Func("misuse", ofType[complex128]) }),
	"complex64":            recovered(func() { actor.Func("misuse", ofType[[]complex64]) }),
	"error":                recovered(func() { actor.Func("misuse", toType[error]) }),
	"context":              recovered(func() { actor.Func("misuse", ofType[context.Context]) }),
	"in a field":           recovered(func() { actor.Func("misuse", ofType[struct{ A struct{ B []chan int } }]) }),
	"in an embedded field": recovered(func() { actor.Func("misuse", ofType[struct{ holdsChannel }]) }),
	"in a map":             recovered(func() { actor.Func("misuse", ofType[map[string]func()]) }),
	"in a key":             recovered(func() { actor.Func("misuse", ofType[map[chan int]int]) }),
	"in an array":          recovered(func() { actor.Func("misuse", ofType[[3]error]) }),
	"behind pointers":      recovered(func() { actor.Func("misuse", ofType[**fmt.Stringer]) }),
	"in a circle":          recovered(func() { actor.Func("misuse", ofType[*circleWithChannel]) }),
	"source, argument":     recovered(func() { actor.Source("misuse", func(context.Context, chan int) iter.Seq2[none, error] { return nil }) }),
	"source, item":         recovered(func() { actor.Source("misuse", itemsOf[chan int]) }),
	"dialog, first":        recovered(func() { actor.Dialog("misuse", startsWith[chan int]) }),
	"dialog, down":         recovered(func() { actor.Dialog("misuse", sends[chan int]) }),
	"dialog, up":           recovered(func() { actor.Dialog("misuse", receives[chan int]) }),
	"dialog, argument": recovered(func() {
		actor.Dialog("misuse", func(context.Context, chan int, actor.Started[none, none, none]) (none, error) { return none{}, nil })
	}),
	"dialog, result": recovered(func() {
		actor.Dialog("misuse", func(context.Context, none, actor.Started[none, none, none]) (chan int, error) { return nil, nil })
	}),
}

type holdsChannel struct{ C chan int }

type circleWithChannel struct {
	Next *circleWithChannel
	C    chan int
}

// A circle is a type that can travel, though it holds itself.
type circle struct {
	Next *circle
	N    int
}

var circular = exposed(actor.Func("function.circle", func(_ context.Context, c *circle) (*circle, error) { return c.Next, nil }))

func TestAWrongRegistrationPanics(t *testing.T) {
	for name, value := range misuses {
		t.Run(name, func(t *testing.T) { requireMisuse(t, value) })
	}
	for name, f := range map[string]func(){
		"Func after Serve":   func() { actor.Func("late", nothing) },
		"Source after Serve": func() { actor.Source("late", items) },
		"Dialog after Serve": func() { actor.Dialog("late", talks) },
	} {
		t.Run(name, func(t *testing.T) { requireMisuse(t, recovered(f)) })
	}
}

func TestWrongCallsPanic(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		a := start(ctx, t, s, "mid")
		var noFunc *actor.Function[int, int]
		for name, f := range map[string]func(){
			"Run without ctx":         func() { _, _ = square.Run(nil, a, 1) }, //nolint:staticcheck // it is what is tested
			"Run without actor":       func() { _, _ = square.Run(ctx, nil, 1) },
			"source without ctx":      func() { count.Run(nil, a, 1) }, //nolint:staticcheck // it is what is tested
			"source without actor":    func() { count.Run(ctx, nil, 1) },
			"dialog without ctx":      func() { _, _ = echo.Run(nil, a, "", silent) }, //nolint:staticcheck // it is what is tested
			"dialog without actor":    func() { _, _ = echo.Run(ctx, nil, "", silent) },
			"dialog without body":     func() { _, _ = echo.Run(ctx, a, "", nil) },
			"Spawn without scope":     func() { square.Spawn(nil, 1) },
			"Overrun(0)":              func() { actor.Overrun(0) },
			"Expose(nil)":             func() { actor.Expose(nil) },
			"Expose of a nil pointer": func() { actor.Expose(noFunc) },
			"Start without name":      func() { _, _ = actor.Start(ctx, s, "") },
			"Start with a slash":      func() { _, _ = actor.Start(ctx, s, "a/b") },
		} {
			t.Run(name, func(t *testing.T) { requireMisuse(t, recovered(f)) })
		}
		n, err := square.Run(ctx, a, 3)
		require.NoError(t, err)
		assert.Equal(t, 9, n)
	})
}

func TestNamesAreThoseOfTheRegistration(t *testing.T) {
	assert.Equal(t, "function.square", square.Name())
	assert.Equal(t, "function.count", count.Name())
	assert.Equal(t, "function.echo", echo.Name())
}

func TestATypeThatHoldsItselfTravels(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		c, err := circular.Run(ctx, a, &circle{N: 1, Next: &circle{N: 2, Next: &circle{N: 3}}})
		require.NoError(t, err)
		assert.Equal(t, &circle{N: 2, Next: &circle{N: 3}}, c)
		c, err = circular.Run(ctx, a, &circle{})
		require.NoError(t, err)
		assert.Nil(t, c)
	})
}

// A5

// whereabouts is what a function finds around itself.
type whereabouts struct {
	Scope, Task, Self string
	Path              string
	HasDeadline       bool
}

func around(ctx context.Context) whereabouts {
	_, has := ctx.Deadline()
	return whereabouts{
		traigo.Current(ctx).Name(), traigo.CurrentTask(ctx).Name(), actor.Self().Path, traigo.CurrentTask(ctx).Path(), has,
	}
}

var (
	aroundFunc   = exposed(actor.Func("function.around", func(ctx context.Context, _ none) (whereabouts, error) { return around(ctx), nil }))
	aroundSource = exposed(actor.Source("function.around source", func(ctx context.Context, _ none) iter.Seq2[whereabouts, error] {
		return func(yield func(whereabouts, error) bool) { yield(around(ctx), nil) }
	}))
	aroundDialog = exposed(actor.Dialog("function.around dialog", func(ctx context.Context, _ none, started actor.Started[none, none, none]) (whereabouts, error) {
		_, err := started(none{})
		return around(ctx), err
	}))
)

func TestAFunctionIsATaskOfTheActorsScope(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
		defer cancel()
		for ctx, hasDeadline := range map[context.Context]bool{limited: true, context.WithoutCancel(ctx): false} {
			w, err := aroundFunc.Run(ctx, a, none{})
			require.NoError(t, err)
			assert.Equal(t, whereabouts{"mid", "function.around", "root/mid", "mid/function.around", hasDeadline}, w)
			for w, err := range aroundSource.Run(ctx, a, none{}) {
				require.NoError(t, err)
				assert.Equal(t, whereabouts{"mid", "function.around source", "root/mid", "mid/function.around source", hasDeadline}, w)
			}
			w, err = aroundDialog.Run(ctx, a, none{}, func(context.Context, none, *actor.Peer[none, none]) error { return nil })
			require.NoError(t, err)
			assert.Equal(t, whereabouts{"mid", "function.around dialog", "root/mid", "mid/function.around dialog", hasDeadline}, w)
		}
	})
}

var (
	leaveTask = exposed(actor.Func("function.leave task", func(ctx context.Context, key string) (none, error) {
		spawnNoting(ctx, key)
		return none{}, nil
	}))
	leaveTaskSource = exposed(actor.Source("function.leave task source", func(ctx context.Context, key string) iter.Seq2[none, error] {
		return func(yield func(none, error) bool) {
			spawnNoting(ctx, key)
			<-ctx.Done()
		}
	}))
)

// spawnNoting spawns a task that outlives the call if the contract is kept, and notes once per
// question whether it is there.
func spawnNoting(ctx context.Context, key string) {
	call := ctx
	traigo.Current(ctx).Spawn(func(ctx context.Context) error {
		note(key, "begins")
		<-call.Done()
		if ctx.Err() == nil {
			note(key, "outlives the call")
		}
		<-ctx.Done()
		return nil
	})
}

func TestWhatAFunctionSpawnsOutlivesTheCall(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		_, err := leaveTask.Run(context.WithoutCancel(ctx), a, "plain")
		require.NoError(t, err)
		assert.Equal(t, []string{"begins", "outlives the call"}, waitForNotes(ctx, t, a, "plain", 2))

		limited, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		_, err = leaveTask.Run(limited, a, "limited")
		require.NoError(t, err)
		assert.Equal(t, []string{"begins", "outlives the call"}, waitForNotes(ctx, t, a, "limited", 2))

		canceled, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			waitForNotes(ctx, t, a, "canceled", 1)
			cancel()
		}()
		for _, err := range leaveTaskSource.Run(canceled, a, "canceled") {
			assert.ErrorIs(t, err, context.Canceled)
		}
		assert.Equal(t, []string{"begins", "outlives the call"}, waitForNotes(ctx, t, a, "canceled", 2))
	})
}

func init() { // a variable that refers to everything could not be initialized
	startOne = func(ctx context.Context) (*actor.Actor, error) {
		return actor.Start(ctx, traigo.Current(ctx), "leaf", actor.Expose(everything...))
	}
}

var startOne func(ctx context.Context) (*actor.Actor, error)

var startLeaf = exposed(actor.Func("function.start leaf", func(ctx context.Context, _ none) (actor.ID, error) {
	a, err := startOne(ctx)
	if err != nil {
		return actor.ID{}, err
	}
	leaf = a
	return a.ID(), nil
}))

var leaf *actor.Actor

var squareInLeaf = exposed(actor.Func("function.square in leaf", func(ctx context.Context, n int) (int, error) { return square.Run(ctx, leaf, n) }))

func TestWhatAFunctionStartsOutlivesTheCallAndEndsWithTheActor(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		limited, cancel := context.WithTimeout(ctx, time.Hour)
		id, err := startLeaf.Run(limited, a, none{})
		cancel()
		require.NoError(t, err)
		assert.Equal(t, "root/mid/leaf", id.Path)
		n, err := squareInLeaf.Run(ctx, a, 5)
		require.NoError(t, err)
		assert.Equal(t, 25, n)
		a.Cancel(nil)
		require.NoError(t, a.Wait(ctx))
	})
}

var spawnFailing = exposed(actor.Func("function.spawn failing", func(ctx context.Context, panics bool) (int, error) {
	traigo.Current(ctx).Spawn(func(context.Context) error {
		if panics {
			panic(errBoom)
		}
		return errBoom
	}, traigo.Name("failing"))
	<-ctx.Done()
	return 3, nil // a result is a result, whatever has happened meanwhile
}))

func TestWhatAFunctionSpawnsFailsTheActor(t *testing.T) {
	for _, panics := range []bool{false, true} {
		err := outcomeOf(t, func(ctx context.Context, s *traigo.Scope) {
			a := start(ctx, t, s, "mid")
			n, err := spawnFailing.Run(context.WithoutCancel(ctx), a, panics)
			assert.NoError(t, err)
			assert.Equal(t, 3, n)
			err = a.Wait(context.WithoutCancel(ctx))
			failure, ok := errors.AsType[*actor.Error](err)
			if assert.True(t, ok, "%v", err) {
				assert.Equal(t, a.ID(), failure.From)
				assert.Equal(t, []actor.ID{a.ID()}, failure.Path)
			}
			assert.ErrorIs(t, err, errBoom)
			_, err = square.Run(context.WithoutCancel(ctx), a, 1)
			gone, ok := errors.AsType[*actor.GoneError](err)
			if assert.True(t, ok, "%v", err) {
				assert.Equal(t, a.ID(), gone.Actor)
			}
		})
		assert.ErrorIs(t, err, errBoom, "its failure bubbles")
	}
}

func TestTheErrorOfAFunctionIsTheCallersAndNobodyElses(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for range 3 {
			_, err := fail.Run(ctx, a, none{})
			require.ErrorIs(t, err, errBoom)
		}
		n, err := square.Run(ctx, a, 4)
		require.NoError(t, err)
		assert.Equal(t, 16, n)
		assert.NoError(t, a.Err())
	})
}

// A7, and Goexit: where it happens.
const (
	atOnce  = "at once"
	started = "when it has started"
	between = "between two items"
	onEnd   = "when it is canceled"
)

// leaver leaves a function otherwise than by return: by panic or by Goexit.
func leave(how string) {
	switch how {
	case "panic":
		panic("the sky falls")
	case "panic with an error":
		panic(fmt.Errorf("wrapped: %w", errBoom))
	case "Goexit":
		runtime.Goexit()
	}
}

type departure struct{ How, When, Key string }

var (
	departFunc = exposed(actor.Func("function.depart", func(ctx context.Context, d departure) (int, error) {
		if d.When == onEnd {
			note(d.Key, "begins")
			<-ctx.Done()
		}
		leave(d.How)
		return 0, nil
	}))
	departSource = exposed(actor.Source("function.depart source", func(ctx context.Context, d departure) iter.Seq2[int, error] {
		if d.When == atOnce {
			leave(d.How)
		}
		return func(yield func(int, error) bool) {
			for i := range 3 {
				if d.When == between && i == 2 {
					leave(d.How)
				}
				if !yield(i, nil) {
					break
				}
			}
			if d.When == onEnd {
				note(d.Key, "begins")
				<-ctx.Done()
			}
			leave(d.How)
		}
	}))
	departDialog = exposed(actor.Dialog("function.depart dialog", func(ctx context.Context, d departure, begin actor.Started[none, int, int]) (int, error) {
		if d.When == atOnce {
			leave(d.How)
		}
		p, err := begin(none{})
		if err != nil {
			return 0, err
		}
		if d.When == started {
			leave(d.How)
		}
		if _, err = p.Recv(); err != nil {
			return 0, err
		}
		if err = p.Send(1); err != nil {
			return 0, err
		}
		if d.When == between {
			leave(d.How)
		}
		note(d.Key, "begins")
		<-ctx.Done()
		leave(d.How)
		return 0, nil
	}))
)

// depart runs each of the three, and returns the error.
func depart(ctx context.Context, t *testing.T, a *actor.Actor, kind string, d departure) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	d.Key = kind + d.When + d.How
	if d.When == onEnd {
		go func() {
			for len(notes(ctx, t, a, d.Key)) == 0 {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	switch kind {
	case "function":
		_, err := departFunc.Run(ctx, a, d)
		return err
	case "source":
		n := 0
		for i, err := range departSource.Run(ctx, a, d) {
			if err != nil {
				assert.Zero(t, i)
				return err
			}
			assert.Equal(t, n, i)
			n++
		}
		return nil
	default:
		_, err := departDialog.Run(ctx, a, d, func(_ context.Context, _ none, p *actor.Peer[int, int]) error {
			if err := p.Send(1); err != nil {
				return err
			}
			for i, err := range p.Items() {
				if err != nil {
					return err
				}
				assert.Equal(t, 1, i)
			}
			return nil
		})
		return err
	}
}

var departures = map[string][]string{
	"function": {atOnce, onEnd},
	"source":   {atOnce, between, onEnd},
	"dialog":   {atOnce, started, between, onEnd},
}

func TestAPanicEndsTheActorAndIsNotRaisedAgain(t *testing.T) {
	for kind, whens := range departures {
		for _, when := range whens {
			for _, how := range []string{"panic", "panic with an error"} {
				t.Run(kind+" "+when+", "+how, func(t *testing.T) {
					err := outcomeOf(t, func(ctx context.Context, s *traigo.Scope) {
						a := start(ctx, t, s, "mid")
						ctx = context.WithoutCancel(ctx)
						other := make(chan error, 1)
						go func() {
							_, err := block.Run(ctx, a, "other")
							other <- err
						}()
						waitForNotes(ctx, t, a, "other", 1)
						requirePanic(t, depart(ctx, t, a, kind, departure{How: how, When: when}), a, how)
						requirePanic(t, <-other, a, how) // so has everybody who asks there
						requirePanic(t, a.Wait(ctx), a, how)
					})
					assert.ErrorContains(t, err, "mid")
					if how != "panic" {
						assert.ErrorIs(t, err, errBoom)
					}
				})
			}
		}
	}
}

func requirePanic(t *testing.T, err error, a *actor.Actor, how string) {
	t.Helper()
	failure, ok := errors.AsType[*actor.Error](err)
	if !assert.True(t, ok, "%T %v", err, err) {
		return
	}
	assert.Equal(t, a.ID(), failure.From)
	assert.Contains(t, err.Error(), "root/mid")
	if how == "panic" {
		assert.Contains(t, err.Error(), "the sky falls")
	} else {
		assert.ErrorIs(t, err, errBoom)
	}
	assert.NotContains(t, err.Error(), "\n")
	_, ok = errors.AsType[*traigo.PanicError](err)
	assert.True(t, ok, "%v", err)
	assert.Contains(t, fmt.Sprintf("%+v", err), "function_test.go", "the stack names where it was")
	found := false
	var walk func(err error)
	walk = func(err error) {
		switch e := err.(type) {
		case *traigo.RemoteError:
			found = found || e.Stack != ""
		case *traigo.PanicError:
			found = found || e.Recovered != nil && len(e.Recovered.Stack) > 0
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				walk(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	assert.True(t, found, "it has the stack: %v", err)
}

func TestGoexitOfAFunctionIsErrGoexitAndTheActorLivesOn(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		for kind, whens := range departures {
			for _, when := range whens {
				err := depart(ctx, t, a, kind, departure{How: "Goexit", When: when})
				assert.ErrorIs(t, err, traigo.ErrGoexit, "%s %s", kind, when)
				_, ok := errors.AsType[*actor.Error](err)
				assert.True(t, ok, "%v", err)
			}
		}
		_, err := square.Run(ctx, a, 1)
		require.NoError(t, err)
	})
}

// A8

func TestWhatIsNotExposedDoesNotRun(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		bare, err := actor.Start(ctx, s, "bare")
		require.NoError(t, err)
		some, err := actor.Start(ctx, s, "some", actor.Expose(square), actor.Expose(notedFunc))
		require.NoError(t, err)
		for _, a := range []*actor.Actor{bare, some} {
			_, err = block.Run(ctx, a, "refused")
			requireNotExposed(t, err, a)
			n := 0
			for i, err := range count.Run(ctx, a, 3) {
				n++
				assert.Zero(t, i)
				requireNotExposed(t, err, a)
			}
			assert.Equal(t, 1, n)
			_, err = echo.Run(ctx, a, "refused", func(context.Context, string, *actor.Peer[string, string]) error {
				assert.Fail(t, "the body runs")
				return nil
			})
			requireNotExposed(t, err, a)
		}
		_, err = square.Run(ctx, bare, 2)
		requireNotExposed(t, err, bare)
		n, err := square.Run(ctx, some, 2)
		require.NoError(t, err)
		assert.Equal(t, 4, n)
		assert.Empty(t, notes(ctx, t, some, "refused"))
		assert.Empty(t, notes(ctx, t, some, "function.echo"))
	})
}

func requireNotExposed(t *testing.T, err error, a *actor.Actor) {
	t.Helper()
	require.ErrorIs(t, err, actor.ErrNotExposed)
	assert.ErrorContains(t, err, a.ID().Path)
	failure, ok := errors.AsType[*actor.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, a.ID(), failure.From)
}

func TestTheAllowlistHoldsForWhoeverHasFoundTheActor(t *testing.T) {
	inScope(t, func(ctx context.Context, s *traigo.Scope) {
		_, err := actor.Start(ctx, s, "some", actor.Expose(square), actor.Findable())
		require.NoError(t, err)
		a, err := actor.Find(ctx, s, "some")
		require.NoError(t, err)
		n, err := square.Run(ctx, a, 3)
		require.NoError(t, err)
		assert.Equal(t, 9, n)
		_, err = block.Run(ctx, a, "")
		requireNotExposed(t, err, a)
		_, err = echo.Run(ctx, a, "", silent)
		requireNotExposed(t, err, a)
	})
}

// A9

func TestACallWithAContextThatIsDoneAsksNothing(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		done, cancel := context.WithCancelCause(ctx)
		cancel(errBoom)
		_, err := block.Run(done, a, "nothing")
		assert.Equal(t, errBoom, err)
		n := 0
		for _, err := range leaveTaskSource.Run(done, a, "nothing") {
			n++
			assert.Equal(t, errBoom, err)
		}
		assert.Equal(t, 1, n)
		_, err = echo.Run(done, a, "nothing", func(context.Context, string, *actor.Peer[string, string]) error {
			assert.Fail(t, "the body runs")
			return nil
		})
		assert.Equal(t, errBoom, err)
		assert.Empty(t, notes(ctx, t, a, "nothing"))
		assert.Empty(t, notes(ctx, t, a, "function.echo"))
	})
}

type partial struct {
	WaitForEnd bool
	Err        string
}

var both = exposed(actor.Func("function.both", func(ctx context.Context, p partial) (string, error) {
	if p.WaitForEnd {
		note("both", "begins")
		<-ctx.Done()
	}
	if p.Err == "cause" {
		return "so far", context.Cause(ctx)
	}
	return "so far", errBoom
}))

func TestAResultComesAlsoBesideAnError(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		out, err := both.Run(ctx, a, partial{})
		assert.ErrorIs(t, err, errBoom)
		assert.Equal(t, "so far", out)

		canceled, cancel := context.WithCancel(ctx)
		go func() {
			waitForNotes(ctx, t, a, "both", 1)
			cancel()
		}()
		out, err = both.Run(canceled, a, partial{WaitForEnd: true, Err: "cause"})
		assert.Equal(t, context.Canceled, err)
		assert.Equal(t, "so far", out, "of a call that was canceled")

		limited, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		out, err = both.Run(limited, a, partial{WaitForEnd: true, Err: "cause"})
		if out != "" { // the deadline may have passed before the call began
			assert.Equal(t, "so far", out, "of one whose time is over")
		}
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestManyCallsAtOnce(t *testing.T) {
	withActor(t, func(ctx context.Context, _ *traigo.Scope, a *actor.Actor) {
		err := traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
			for i := range 200 {
				s.Spawn(func(ctx context.Context) error {
					n, err := square.Run(ctx, a, i)
					assert.Equal(t, i*i, n)
					return err
				})
			}
			return nil
		})
		require.NoError(t, err)
	})
}
