package supervise

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"github.com/traigo/traigo"
)

// WithServices is [traigo.Run] with services. A service is a task that other tasks need,
// and that is therefore stopped after them. When body and everything in its scope s has
// ended, for whatever reason, the services are stopped one after the other, the last
// started first: each is canceled, and has ended before the next is canceled.
//
// Body and the tasks in s are canceled if ctx ends, if the timeout of the block passes,
// or if body, a task of s or a service fails. The context of a service does not end then:
// it ends when the service is stopped. With a [traigo.CancelTimeout] the tasks, and
// then each service, get that time to end after they were canceled; a body that does not
// return is waited for, as in traigo.Run.
//
// The error is nil or an [*traigo.Error]. Its Err is the first failure, of a service or
// not. Its Others are the later failures: at most 16, the rest is counted. They include
// the error of a service that was stopped, unless the error only says that the service was
// canceled. If a task, body or a service panics, the services are stopped in the same
// order, and WithServices panics when everything has ended.
//
// In the tree the scope of the block has these children: s, with the name "tasks", and a
// scope for each service that runs. The options are those of the block, except
// [traigo.Limit], which applies to s. [traigo.Stopping] is closed
// for services and tasks at the same time, so a service should wait for the end of its
// context instead. WithServices panics if body or an option is nil.
//
// The idea is that of Trio's issue 1521, service nurseries.
func WithServices(ctx context.Context, body func(ctx context.Context, s *traigo.Scope, services *Services) error, opts ...traigo.ScopeOption) error {
	mustHave("WithServices", body != nil, "function", "pass the body that starts the services")
	outer, inner := splitLimits(opts)
	services := &Services{logger: loggerOf(opts)}
	err := traigo.Run(ctx, func(ctx context.Context, block *traigo.Scope) error {
		services.block = block
		services.run(ctx, body, append(inner, traigo.Name("tasks")))
		return nil
	}, named(body, outer)...)
	return services.outcome(err)
}

var (
	limitType   = reflect.TypeOf(traigo.Limit(1))
	timeoutType = reflect.TypeOf(traigo.Timeout(1))
)

// splitLimits separates the limit from the other options of a block. A scope does not
// inherit it, and it is meant for the scope of the tasks.
func splitLimits(opts []traigo.ScopeOption) (others, limits []traigo.ScopeOption) {
	for _, o := range opts {
		if o != nil && reflect.TypeOf(o) == limitType {
			limits = append(limits, o)
		} else {
			others = append(others, o)
		}
	}
	return others, limits
}

// Services are the services of a block: see [WithServices], which makes them. The
// methods may be called from any goroutine.
type Services struct {
	logger       *slog.Logger
	block, tasks *traigo.Scope // block is the parent of tasks and of the scopes of services
	results      []result      // used only by the goroutine of the body

	mu       sync.Mutex     // a leaf: nothing foreign is called while it is held
	running  list.List      // of *service, in the order in which they were started
	stopped  bool           // running is empty, and stays so
	removals sync.WaitGroup // the goroutines of removeLater; none is started once stopped is set
}

// A service is the scope of one service.
type service struct {
	scope *traigo.Scope
	place *list.Element // in running, under mu; nil for the scope of the tasks
}

// Spawn runs fn as a service, and does not wait for it. The service is a task as those of
// [traigo.Scope.Spawn]. If fn fails, the block fails, and everything in it is canceled in
// the order of [WithServices]. If fn returns nil, the service has ended and the block
// goes on; to have it run always, pass a function made by [Restart] with [Always].
//
// The context of fn carries a scope that belongs to this service alone. That scope is to
// fn what the scope of [traigo.Run] is to its body: when fn has returned, it ends as soon
// as nothing awaited is left in it. Until then, and at the latest until the service is
// stopped, the tasks that fn has spawned there go on.
//
// An option for tasks and scopes, such as [traigo.Name], applies to the task and to its
// scope; a [traigo.Timeout] applies to the task alone. [traigo.Awaited] has no effect.
//
// Once the tasks of the block are canceled no service can start. Spawn then returns a
// task that has ended; its error is [traigo.ErrRefused], with the cause wrapped. Spawn
// panics if fn or an option is nil.
func (s *Services) Spawn(fn func(ctx context.Context) error, opts ...traigo.TaskOption) *traigo.Task {
	mustHave("Services.Spawn", fn != nil, "function", "pass the one that the service is to run")
	scope := s.open(fn, opts).scope
	return scope.Spawn(func(ctx context.Context) error {
		defer scope.Finalize()
		return fn(ctx)
	}, optionsOf(fn, opts)...)
}

// Start is Spawn for a service that says when it can be used. Like [traigo.Scope.Start]
// it returns when fn has called ready. If fn returns before that, Start returns its
// error, or [traigo.ErrNotReady] for nil; if ctx ends before that, the service is
// canceled and has ended when Start returns the cause of ctx. That error belongs to the
// caller: the block goes on.
func (s *Services) Start(ctx context.Context, fn func(ctx context.Context, ready func()) error, opts ...traigo.TaskOption) (*traigo.Task, error) {
	mustHave("Services.Start", fn != nil, "function", "pass the one that is to call ready")
	sv := s.open(fn, opts)
	t, err := sv.scope.Start(ctx, func(ctx context.Context, ready func()) error {
		defer sv.scope.Finalize()
		return fn(ctx, ready)
	}, optionsOf(fn, opts)...)
	if err != nil && sv.place != nil {
		sv.scope.Cancel(nil)
		s.remove(sv)
	}
	return t, err
}

// optionsOf returns the options for the task that runs fn. The task has to be awaited.
// Its scope is finalized before its error is known; if the scope did not wait for the
// task it could complete in between, and a failure after that is only logged.
func optionsOf(fn any, opts []traigo.TaskOption) []traigo.TaskOption {
	all := append(make([]traigo.TaskOption, 0, len(opts)+2), traigo.NameOf(fn))
	return append(append(all, opts...), traigo.Awaited(true))
}

// open opens the scope of a service. When no service can start any more it returns the
// scope of the tasks instead, which is canceled then, and refuses tasks.
func (s *Services) open(fn any, opts []traigo.TaskOption) *service {
	if s.tasks.State() >= traigo.Canceling {
		return &service{scope: s.tasks}
	}
	both := []traigo.ScopeOption{traigo.NameOf(fn)}
	for _, o := range opts {
		if o, ok := o.(traigo.ScopeOption); ok && reflect.TypeOf(o) != timeoutType {
			both = append(both, o)
		}
	}
	sv := &service{scope: traigo.New(context.WithoutCancel(s.block.Context()), both...)}
	s.watch(sv)
	s.mu.Lock()
	late := s.stopped
	if !late {
		sv.place = s.running.PushBack(sv)
	}
	s.mu.Unlock()
	if late {
		sv.scope.Cancel(nil)
		return &service{scope: s.tasks}
	}
	return sv
}

// watch has ended called when a scope ends, by the goroutine that ends it. With
// context.AfterFunc it would be called by a goroutine of its own, and if two scopes fail,
// the scheduler would decide which of the failures ends the block.
func (s *Services) watch(sv *service) {
	ctx, ok := sv.scope.Context().(interface{ AfterFunc(f func()) func() bool })
	if !ok {
		panic("traigo: supervise.WithServices: the context of a scope has no AfterFunc")
	}
	ctx.AfterFunc(func() { s.ended(sv) })
}

// ended is called when the scope of a service, or of the tasks, has been canceled, and
// before it closes. If the scope has failed, it ends the block.
func (s *Services) ended(sv *service) {
	c, ok := context.Cause(sv.scope.Context()).(*traigo.Cancellation) //nolint:errorlint // the one of this scope, and not one that it wraps
	switch {
	case !ok || c.Kind == traigo.ParentCanceled || isStop(c.Err):
		return
	case c.Err == nil:
	case sv.scope == s.tasks && (c.Kind == traigo.Panicked || c.Kind == traigo.BodyFailed && c.Err == traigo.ErrGoexit): //nolint:errorlint // the body may return an error that wraps ErrGoexit
		// It unwinds the body of the block, which ends the block. If the block were
		// canceled here, the panic would come second, and be logged as a lost error.
	case c.Kind == traigo.Panicked:
		s.block.Cancel(c.Err)
	default:
		s.block.Cancel(&failure{sv.scope, c})
	}
	s.removeLater(sv)
}

// removeLater removes a service that has ended by itself, when its scope has closed. It
// starts a goroutine for that, because it is called by the goroutine that will close the
// scope.
func (s *Services) removeLater(sv *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv.place != nil && !s.stopped {
		s.removals.Go(func() { s.remove(sv) })
	}
}

// remove waits until the scope of a service has closed, and takes the service off the
// list. If the scope has failed it stays there, for stop to collect the error: that may be
// much later, and the call of Err keeps package traigo from logging, until then, that nobody
// has asked for the outcome.
func (s *Services) remove(sv *service) {
	<-sv.scope.Done()
	if sv.scope.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running.Remove(sv.place) // does nothing if stop has been faster
}

// How a block ends: first the tasks, then one service after the other, and then their
// errors become one.

// run runs the tasks of the block, and then stops its services, also if a panic or a
// Goexit unwinds it.
func (s *Services) run(ctx context.Context, body func(context.Context, *traigo.Scope, *Services) error, opts []traigo.ScopeOption) {
	returned := false
	defer func() {
		if returned {
			return
		}
		value := recover()
		panicked := s.stop()
		switch {
		case value != nil:
			s.reportHidden(ctx, panicked)
			panic(value)
		default: // a Goexit
			s.reportHidden(ctx, nil)
			if panicked != nil {
				panic(panicked)
			}
		}
	}()
	err := traigo.Run(ctx, func(ctx context.Context, tasks *traigo.Scope) error {
		s.tasks = tasks
		s.watch(&service{scope: tasks})
		return body(ctx, tasks, s)
	}, opts...)
	returned = true
	s.results = append(s.results, result{s.tasks, err})
	if panicked := s.stop(); panicked != nil {
		s.reportHidden(ctx, nil)
		panic(panicked)
	}
}

// stop stops the services, the last started first, and collects their errors. It returns
// the value of the first panic.
func (s *Services) stop() (panicked any) {
	for scope := s.next(); scope != nil; scope = s.next() {
		scope.Cancel(&stop{})
		value, err := closeScope(scope)
		switch {
		case value == nil:
			s.results = append(s.results, result{scope, err})
		case panicked == nil:
			panicked = value
		default:
			s.results = append(s.results, result{scope, scope.Err()})
		}
	}
	s.removals.Wait()
	return panicked
}

// next takes the service that was started last off the list. If there is none, it sets
// stopped and returns nil.
func (s *Services) next() *traigo.Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.running.Back()
	if last == nil {
		s.stopped = true
		return nil
	}
	s.running.Remove(last)
	return last.Value.(*service).scope
}

// closeScope waits for a scope that was canceled. It recovers a panic of the scope, so
// that the other services are still stopped.
func closeScope(scope *traigo.Scope) (panicked any, err error) {
	defer func() { panicked = recover() }()
	return nil, scope.Close()
}

// A stop is the cause with which a service is stopped. With a nil cause the scope would
// end quietly, and a later error of the service would not be in its outcome.
type stop struct{}

func (*stop) Error() string { return "the tasks that needed the service have ended" }

func isStop(err error) bool {
	_, is := err.(*stop) //nolint:errorlint // the cause itself, and not one that it wraps
	return is
}

// A failure is the cause with which a block is canceled because one of its scopes has
// failed.
type failure struct {
	scope *traigo.Scope
	why   *traigo.Cancellation
}

func (f *failure) Error() string {
	if f.why.Kind == traigo.TaskFailed {
		task := strings.TrimPrefix(f.why.Task, f.why.Scope+"/")
		return (&traigo.TaskError{Task: task, Err: f.why.Err}).Error()
	}
	return f.why.Err.Error()
}

func (f *failure) Unwrap() error { return f.why.Err }

// A result is the outcome of one of the scopes of a block.
type result struct {
	scope *traigo.Scope
	err   error
}

// errors returns the errors of r for the outcome of the block, and how many more errors r
// has counted. It leaves out an error that only says that the service was stopped, or that
// the block has ended. If flat is false, several errors stay together in one, which names
// their scope.
func (r result) errors(flat bool) (errs []error, more int) {
	e, failed := errors.AsType[*traigo.Error](r.err)
	if !failed {
		return nil, 0
	}
	all := e.Unwrap()
	if isParentCanceled(e.Err) || isStop(e.Err) {
		all = all[1:]
	}
	if len(all) < 2 || flat {
		return all, e.More
	}
	rest := *e
	rest.Err, rest.Others = all[0], all[1:]
	return []error{&rest}, 0
}

// outcome returns the error of WithServices, made of err, the outcome of the block, and
// of the results. If one of the scopes has ended the block, its errors come first, and
// the first of them takes the place of the *failure that stands for it in err.
func (s *Services) outcome(err error) error {
	ended, _ := errors.AsType[*traigo.Error](err)
	var first *failure
	if ended != nil {
		first, _ = ended.Err.(*failure) //nolint:errorlint // the one of this block, and not of a block below
	}
	var cause, others []error
	more := 0
	for _, r := range s.results {
		errs, n := r.errors(r.scope == s.tasks)
		more += n
		if first != nil && r.scope == first.scope {
			cause = errs
		} else {
			others = append(others, errs...)
		}
	}
	if len(cause) > 0 {
		exact := *ended
		exact.Err = cause[0]
		err, others = &exact, append(cause[1:len(cause):len(cause)], others...)
	}
	return join(s.block.Path(), err, others, more)
}

// reportHidden logs the errors that WithServices does not return because it panics, or is
// unwound by a Goexit. panicked is a second panic, if there was one.
func (s *Services) reportHidden(ctx context.Context, panicked any) {
	var hidden []error
	more := 0
	for _, r := range s.results {
		errs, n := r.errors(r.scope == s.tasks)
		hidden, more = append(hidden, errs...), more+n
	}
	if err, ok := panicked.(error); ok {
		hidden = append(hidden, err)
	}
	if len(hidden) > 0 {
		log(ctx, s.logger, slog.LevelError, "errors hidden by a panic or a Goexit", s.block, nil,
			join(s.block.Path(), nil, hidden, more))
	}
}
