package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// A Function is a function that can be run in an actor. See [Func].
type Function[In, Out any] struct {
	name string
	fn   func(ctx context.Context, in In) (Out, error)
	in   codec[In]
	out  codec[Out]
}

// Func registers fn under a name by which actors know it. It is to be called in a package
// variable or in init, so that the program that asks and the one that is asked register the
// same functions. Functions that call each other in a circle are assigned in an init.
//
// Values of type []byte travel as they are, protobuf messages as such, what has both
// MarshalBinary and UnmarshalBinary by these (which a struct that embeds a time.Time has from that),
// and all else as JSON. Func panics if fn is nil,
// if the name is empty or taken, if [Serve] was called before, and if values of one of the types
// cannot travel: one that goes as JSON must not contain channels, functions, complex numbers or
// interfaces with methods, and a struct must have an exported field if it has any.
//
// In the actor fn is a task of the actor's scope, which traigo.Current returns: what it spawns or
// starts there outlives the call, but not the actor, and if that fails, the actor fails. ctx has
// the deadline of the caller's context and ends with it, but has none of its values.
func Func[In, Out any](name string, fn func(ctx context.Context, in In) (Out, error)) *Function[In, Out] {
	where := mustBeRegistrable("Func", name, fn != nil)
	f := &Function[In, Out]{name, fn, codecOf[In](where, "the argument", name), codecOf[Out](where, "the result", name)}
	register(where, f)
	return f
}

// Name returns the name that was given to [Func].
func (f *Function[In, Out]) Name() string { return f.name }

// Run runs the function in the actor, and returns when it has returned.
//
// An error of the function is an [*Error]; errors.Is and errors.As find in it what was
// registered with traigo.RegisterError and traigo.RegisterErrorType. If the actor does not
// expose the function, the error wraps [ErrNotExposed]. If the actor has ended, or cannot be
// reached, it is a [*GoneError]; if somebody else has canceled it, a [*Canceled]. A panic ends
// the actor, and is an [*Error] of those who use it.
//
// When ctx is done the context of the function is canceled, and Run returns the cause of ctx when
// the function has returned, unless that has a result or an error of its own. If it has not
// returned within the actor's [Grace] (5 s for one that was found or dialed) the error also holds
// a *traigo.StuckError. A ctx that is done at the call asks nothing. Run panics if ctx or a is nil.
func (f *Function[In, Out]) Run(ctx context.Context, a *Actor, in In) (out Out, err error) {
	mustHave("Run", f.name, ctx, a)
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	argument, err := f.in.encode(in)
	if err != nil {
		return out, err
	}
	data, err := a.call(ctx, f.name, argument)
	return f.result(data, err)
}

// result decodes what has come beside an error.
func (f *Function[In, Out]) result(data []byte, err error) (out Out, _ error) {
	return resultOf(&f.out, data, err)
}

func resultOf[Out any](c *codec[Out], data []byte, err error) (out Out, _ error) {
	if len(data) == 0 && err != nil {
		return out, err
	}
	out, undecodable := c.decode(data)
	if err == nil {
		err = undecodable
	}
	return out, err
}

func mustHave(call, name string, ctx context.Context, a *Actor) {
	if ctx == nil || a == nil {
		panic(fmt.Sprintf("traigo: actor: %s of %q: ctx or the actor is nil", call, name))
	}
}

// Spawn runs the function in an actor of its own, which is started for it and has ended when the
// task has. It is a task of s that is by default named after the function, and whose failure
// cancels s, as that of a task of Scope.Spawn does: [Task] with traigo.Bubble(false) leaves the
// error to who awaits.
func (f *Function[In, Out]) Spawn(s *traigo.Scope, in In, opts ...Option) *traigo.Future[Out] {
	if s == nil {
		panic(fmt.Sprintf("traigo: actor: Spawn of %q: s is nil", f.name))
	}
	o := optionsOf(append([]Option{Expose(f)}, opts...))
	task := append([]traigo.TaskOption{traigo.Name(f.name), traigo.Bubble(true), cancelTimeoutOff}, o.task...)
	return traigo.Async(s, func(ctx context.Context) (Out, error) { return f.runAlone(ctx, o, in) }, task...)
}

// runAlone runs the function in an actor whose task is the one that it is called in.
func (f *Function[In, Out]) runAlone(ctx context.Context, o *options, in In) (out Out, err error) {
	argument, err := f.in.encode(in)
	if err != nil {
		return out, err
	}
	data, err := newChild(f.name, o).callAlone(ctx, f.name, argument)
	return f.result(data, err)
}

func (f *Function[In, Out]) isStream() bool { return false }
func (f *Function[In, Out]) isNil() bool    { return f == nil }

func (f *Function[In, Out]) run(ctx context.Context, argument []byte, _ *parts) (mem.Buffer, error) {
	in, err := f.in.decode(argument)
	if err != nil {
		return nil, err
	}
	out, err := f.fn(ctx, in)
	return encodeResult(&f.out, out, err)
}

// encodeResult encodes a result. One beside an error is left out if it cannot be encoded.
func encodeResult[Out any](c *codec[Out], out Out, err error) (mem.Buffer, error) {
	result, cannot := c.encode(out)
	if err == nil {
		err = cannot
	}
	return result, err
}

// A Sequence is a function that yields items in an actor. See [Source].
type Sequence[In, Item any] struct {
	name string
	fn   func(ctx context.Context, in In) iter.Seq2[Item, error]
	in   codec[In]
	item codec[Item]
}

// Source is [Func] for a function that yields many results. Its first error ends it.
func Source[In, Item any](name string, fn func(ctx context.Context, in In) iter.Seq2[Item, error]) *Sequence[In, Item] {
	where := mustBeRegistrable("Source", name, fn != nil)
	q := &Sequence[In, Item]{name, fn, codecOf[In](where, "the argument", name), codecOf[Item](where, "an item", name)}
	register(where, q)
	return q
}

// Name returns the name that was given to [Source].
func (q *Sequence[In, Item]) Name() string { return q.name }

// Run runs the function in the actor, and yields its items in their order as they come. The
// function waits while nobody takes its items: at most 4 MiB, and one item more, are under way.
//
// What ends the sequence, if it is an error, is yielded last, with a zero item: the first error
// that the function yields, or what [Function.Run] would return. When the loop is left, the
// function is canceled, and Run waits until it has returned.
func (q *Sequence[In, Item]) Run(ctx context.Context, a *Actor, in In, opts ...StreamOption) iter.Seq2[Item, error] {
	mustHave("Run", q.name, ctx, a)
	return func(yield func(Item, error) bool) {
		var none Item
		if ctx.Err() != nil {
			yield(none, context.Cause(ctx))
			return
		}
		argument, err := q.in.encode(in)
		if err != nil {
			yield(none, err)
			return
		}
		c, err := a.open(ctx, q.name, argument)
		if err != nil {
			yield(none, err)
			return
		}
		defer c.leave()
		items := c.items(ctx, overrunOf(opts))
		defer func() {
			if items != nil { // the loop was left: by break, a return or a panic
				c.cancel(errLoopLeft)
				c.abort()
				c.logStuck(ctx)
			}
		}()
		for {
			in, err := items(c.parts.ctx)
			var item Item
			if err == nil {
				item, err = decodePart(&q.item, in)
			}
			switch {
			case err == io.EOF:
				items = nil
				_, err := c.wait(ctx)
				if err == nil {
					err = c.cutOff(ctx)
				}
				if err != nil {
					yield(none, err)
				}
				return
			case err != nil:
				items = nil
				yield(none, c.failFor(ctx, err))
				return
			case !yield(item, nil):
				return
			}
		}
	}
}

var errLoopLeft = registered("traigo: the loop over the items was left")

// logStuck waits for the end of a function of which nobody wants to know. That it does not end
// is said all the same.
func (c *call) logStuck(ctx context.Context) {
	var stuck *traigo.StuckError
	if _, err := c.wait(context.WithoutCancel(ctx)); errors.As(err, &stuck) {
		slog.Warn("traigo: the loop over a Source was left, and its function does not end", "actor", c.actor.ID().Path, "err", stuck)
	}
}

func (q *Sequence[In, Item]) isStream() bool { return true }
func (q *Sequence[In, Item]) isNil() bool    { return q == nil }

func (q *Sequence[In, Item]) run(ctx context.Context, argument []byte, p *parts) (mem.Buffer, error) {
	in, err := q.in.decode(argument)
	if err != nil {
		return nil, err
	}
	for item, err := range q.fn(ctx, in) {
		if err != nil {
			return nil, err
		}
		value, err := q.item.encode(item, partItem)
		if err != nil {
			return nil, err
		}
		if err := p.send(ctx, partItem, value); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, nil //nolint:nilnil // it has no result
}

// registry has what was registered before Serve.
var registry = struct {
	sync.Mutex
	functions map[string]Exposable
}{functions: map[string]Exposable{}}

// mustBeRegistrable panics if a function cannot be registered. It returns what declares it.
func mustBeRegistrable(call, name string, hasFunc bool) (where string) {
	switch {
	case name == "":
		panic("traigo: actor." + call + ": the name is empty")
	case !hasFunc:
		panic(fmt.Sprintf("traigo: actor.%s(%q): the function is nil", call, name))
	case proc.Served():
		panic(fmt.Sprintf("traigo: actor.%s(%q): Serve was called before: register in a package variable or in init", call, name))
	}
	return fmt.Sprintf("actor.%s(%q)", call, name)
}

func register(where string, fn Exposable) {
	registry.Lock()
	defer registry.Unlock()
	if registry.functions[fn.Name()] != nil {
		panic("traigo: " + where + ": the name is taken by another function")
	}
	registry.functions[fn.Name()] = fn
}

// registeredFunctions returns those that this program has. A call of one that it does not have
// is answered with ErrNotExposed.
func registeredFunctions(names []string) map[string]Exposable {
	registry.Lock()
	defer registry.Unlock()
	all := make(map[string]Exposable, len(names))
	for _, name := range names {
		if fn := registry.functions[name]; fn != nil {
			all[name] = fn
		}
	}
	return all
}
