package proc

import (
	"context"
	"fmt"
	"iter"
	"net"
	"sync"
	"sync/atomic"

	"github.com/traigo/traigo"
)

// A Function is a function that runs in a worker process. See [Func].
type Function[In, Out any] struct {
	name string
	fn   func(ctx context.Context, in In) (Out, error)
}

// Func registers fn under a name by which the workers know it. It is to be called in a
// package variable or in init, so that this process and its workers register the same
// functions. It panics if fn is nil, if the name is empty or taken, and if [Serve] was called
// before.
//
// In a worker fn is the body of a scope with the function's name: traigo.Current(ctx) is
// there to spawn in, and what is spawned is joined before the call is answered. ctx has the
// deadline of the caller's context and ends with it, but has none of its values.
func Func[In, Out any](name string, fn func(ctx context.Context, in In) (Out, error)) *Function[In, Out] {
	f := &Function[In, Out]{name, fn}
	register("Func", name, fn != nil, f)
	return f
}

// Name returns the name that was given to [Func].
func (f *Function[In, Out]) Name() string { return f.name }

// Run calls the function in a worker process: of the pool that ctx is under (see [Open]) or,
// if it is under none, of one that is started for the call and has ended when Run returns.
//
// It returns when the worker has answered, or has ended and was reaped. An error of the
// function is a [*traigo.RemoteError], in which errors.Is and errors.As find what was
// registered with traigo.RegisterError and traigo.RegisterErrorType. A panic of the function
// is a panic of Run. If the worker ends otherwise, Run returns a [*BrokenWorkerError].
//
// The time until a worker is free, or has started, is part of the call. A time limit for the
// function alone is one that it sets itself, and so for code that listens.
//
// When ctx is done the context of the function is canceled, and the worker is killed if it
// has not answered within [KillAfter]. If it was killed, or has answered with nothing but the
// cancellation, Run returns the cause of ctx. What the function has done before stays done.
//
// If the pool has ended, the error wraps traigo.ErrRefused; if Serve was not called here, it
// is [ErrNotServed]; on other systems than Linux errors.ErrUnsupported. Run panics if ctx is
// nil.
func (f *Function[In, Out]) Run(ctx context.Context, in In) (Out, error) {
	var out box[Out]
	c := &call{name: f.name, in: &box[In]{in}, out: &out}
	err := c.run(ctx)
	if !c.hasResult {
		out = box[Out]{} // gob may have decoded a part of it
	}
	return out.V, err
}

// Async is traigo.Async of Run, in a task that is by default named after the function.
func (f *Function[In, Out]) Async(s *traigo.Scope, in In, opts ...traigo.TaskOption) *traigo.Future[Out] {
	all := append([]traigo.TaskOption{traigo.Name(f.name)}, opts...)
	return traigo.Async(s, func(ctx context.Context) (Out, error) { return f.Run(ctx, in) }, all...)
}

// A Sequence is a function that yields items in a worker process. See [Source].
type Sequence[In, Item any] struct {
	name string
	fn   func(ctx context.Context, in In) iter.Seq2[Item, error]
}

// Source is [Func] for a function that yields many results.
func Source[In, Item any](name string, fn func(ctx context.Context, in In) iter.Seq2[Item, error]) *Sequence[In, Item] {
	q := &Sequence[In, Item]{name, fn}
	register("Source", name, fn != nil, q)
	return q
}

// Name returns the name that was given to [Source].
func (q *Sequence[In, Item]) Name() string { return q.name }

// Run calls the function in a worker, as [Function.Run] does, and yields its items as they
// come. An error that the function yields comes with its item and ends nothing. The worker is
// ahead of the loop by as much as the socket holds.
//
// When the loop is left, the context of the function is canceled, and Run waits for its end
// or kills the worker. What else ends the sequence, such as the cause of ctx or a
// [*BrokenWorkerError], is yielded last, with a zero item.
func (q *Sequence[In, Item]) Run(ctx context.Context, in In) iter.Seq2[Item, error] {
	mustHaveContext(q.name, ctx)
	return func(yield func(Item, error) bool) {
		var next box[Item]
		hasLeft := false
		c := &call{name: q.name, in: &box[In]{in}, out: &next}
		c.yield = func(err error) bool {
			v := next.V
			next = box[Item]{}
			hasLeft = !yield(v, err)
			return !hasLeft
		}
		if err := c.run(ctx); err != nil && !hasLeft { // hasLeft: yield has returned false
			var none Item
			yield(none, err)
		}
	}
}

// A callable is a Function or a Sequence, in a worker.
type callable interface {
	// prepare decodes an argument and returns the body of the job.
	prepare(d *decoder, data []byte, flags uint8) (func(ctx context.Context, j *job) error, error)
}

func (f *Function[In, Out]) prepare(d *decoder, data []byte, flags uint8) (func(context.Context, *job) error, error) {
	var in box[In]
	if err := d.decode(data, flags, &in); err != nil {
		return nil, err
	}
	return func(ctx context.Context, j *job) error {
		out, err := f.fn(ctx, in.V)
		j.out = &box[Out]{out}
		return err
	}, nil
}

func (q *Sequence[In, Item]) prepare(d *decoder, data []byte, flags uint8) (func(context.Context, *job) error, error) {
	var in box[In]
	if err := d.decode(data, flags, &in); err != nil {
		return nil, err
	}
	return func(ctx context.Context, j *job) error {
		for v, err := range q.fn(ctx, in.V) {
			if failed := j.yield(&box[Item]{v}, err); failed != nil {
				return failed
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	}, nil
}

// registry has what was registered before Serve.
var registry = struct {
	sync.Mutex
	callables map[string]callable
	handlers  map[string]func(net.Conn)
	isClosed  bool
}{callables: map[string]callable{}, handlers: map[string]func(net.Conn){}}

func register(call, name string, hasFunc bool, s callable) {
	registry.Lock()
	defer registry.Unlock()
	mustBeRegistrable(call, name, hasFunc)
	if registry.callables[name] != nil {
		panic(fmt.Sprintf("traigo: proc.%s(%q): the name is taken by another function", call, name))
	}
	registry.callables[name] = s
}

// Handle registers fn as what serves the processes that [Launch] starts for kind. In such a
// process [Serve] calls fn with the connection, and exits with 0 when fn returns. fn takes
// over to watch the end of file there: it must tell whether its work was done before, or its
// parent has gone. Handle panics if fn is nil, if kind is empty or taken, and after Serve.
func Handle(kind string, fn func(conn net.Conn)) {
	registry.Lock()
	defer registry.Unlock()
	mustBeRegistrable("Handle", kind, fn != nil)
	if registry.handlers[kind] != nil || kind == workerKind {
		panic(fmt.Sprintf("traigo: proc.Handle(%q): the kind is taken", kind))
	}
	registry.handlers[kind] = fn
}

func mustBeRegistrable(call, name string, hasFunc bool) {
	switch {
	case name == "":
		panic("traigo: proc." + call + ": the name is empty")
	case !hasFunc:
		panic(fmt.Sprintf("traigo: proc.%s(%q): the function is nil", call, name))
	case registry.isClosed:
		panic(fmt.Sprintf("traigo: proc.%s(%q): Serve was called before: register in a package variable or in init", call, name))
	}
}

func callableNamed(name string) callable {
	registry.Lock()
	defer registry.Unlock()
	return registry.callables[name]
}

// isServing is whether Serve was called in this process. A worker runs the same main, so
// where it was not called here, no worker would serve.
var isServing atomic.Bool

func mustHaveContext(name string, ctx context.Context) {
	if ctx == nil {
		panic(fmt.Sprintf("traigo: proc: %q is called with a nil context", name))
	}
}
