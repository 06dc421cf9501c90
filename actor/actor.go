package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// An Actor is the handle of an actor: of one that this process has started, or of one that it
// has found or dialed. Its methods may be called from any goroutine.
type Actor struct {
	id    ID
	name  string
	grace time.Duration
	link  *link
	task  *traigo.Task
	over  <-chan struct{} // closed when calls may say that it has gone

	child  *child  // nil if this process has not started it
	remote *remote // otherwise
}

// ID returns who the actor is.
func (a *Actor) ID() ID { return a.id }

// Name returns the name that the actor was started with.
func (a *Actor) Name() string { return a.id.Name() }

// Task returns the task that stands for the actor: it ends when the actor has ended or, of one
// that was found or dialed, when the connection has.
func (a *Actor) Task() *traigo.Task { return a.task }

// Cancel asks the actor to end, and does not wait. cause may be nil. An actor that was dialed
// is not asked: the connection ends. That this process has asked is no failure of the actor;
// see [Grace] for one that does not end.
func (a *Actor) Cancel(cause error) {
	if a.remote != nil {
		a.remote.cancel(cause)
		return
	}
	a.task.Cancel(cause)
}

// Wait waits until the actor has ended, and returns Err. If ctx ends before, it returns the
// cause of ctx.
func (a *Actor) Wait(ctx context.Context) error { return a.task.Wait(ctx) }

// Done returns the Done of Task: closed when the actor has ended.
func (a *Actor) Done() <-chan struct{} { return a.task.Done() }

// Err returns the Err of Task: nil before the end, and after an end that this process has asked
// for. Otherwise it is an [*Error] if the actor's scope has failed, a [*Canceled] if somebody
// else has canceled it, and a [*GoneError] if it has died, or had to be killed.
func (a *Actor) Err() error { return a.task.Err() }

// Kill kills the process and its process group, now. It panics if this process has not started
// the actor.
func (a *Actor) Kill() {
	if a.child == nil {
		panic(fmt.Sprintf("traigo: actor: Kill of %q, which is no child of this process: use Cancel", a.id.Path))
	}
	a.child.kill()
}

// Start starts an actor: a process of this program, in which the functions that it exposes can
// be run. It returns when the actor is ready.
//
// The actor is a task of s with its name, by default one that s does not wait for: see
// traigo.Awaited and [Task]. When that task is canceled, the actor is asked to end. If the actor
// ends otherwise, the task fails: see [Actor.Err].
//
// If ctx or s ends before the actor is ready, it is killed and Start returns the cause; so it is
// if nothing was heard of it for 30 s. If it ends before, Start returns a [*GoneError]. In a
// program that has not called [Serve] it returns [ErrNotServed], and on other systems than Linux
// errors.ErrUnsupported. Start panics if ctx or s is nil, and for a name that is empty or
// contains a slash.
func Start(ctx context.Context, s *traigo.Scope, name string, opts ...Option) (*Actor, error) {
	if ctx == nil || s == nil {
		panic(fmt.Sprintf("traigo: actor.Start(%q): ctx or s is nil", name))
	}
	mustBeName("Start", name)
	a := newChild(name, optionsOf(opts))
	task := append([]traigo.TaskOption{
		traigo.Awaited(false), cancelTimeoutOff,
	}, a.child.options.task...)
	task = append(task, traigo.Name(name))
	_, err := s.Start(ctx, func(ctx context.Context, ready func()) error {
		a.task = traigo.CurrentTask(ctx)
		a.over = a.task.Done()
		if err := a.launch(ctx); err != nil {
			return err
		}
		ready()
		return a.attend(ctx, nil)
	}, task...)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// cancelTimeoutOff keeps the task of an actor from being given up: Grace bounds its end.
var cancelTimeoutOff = traigo.CancelTimeout(math.MaxInt64)

// callAlone starts an actor in the task of ctx, calls one function in it, and returns when the
// actor has ended.
func (a *Actor) callAlone(ctx context.Context, name string, argument mem.Buffer) ([]byte, error) {
	ended, done := make(chan struct{}), make(chan struct{})
	a.task, a.over = traigo.CurrentTask(ctx), ended
	a.name = strings.ReplaceAll(a.task.Name(), "/", ".")
	if err := a.launch(ctx); err != nil {
		return nil, err
	}
	var end error
	go func() {
		defer close(ended)
		end = a.attend(ctx, done)
	}()
	c, err := a.begin(name)
	var data []byte
	if err != nil {
		err = a.gone(ctx)
	} else {
		data, err = c.invoke(ctx, argument) // attend cancels it
		c.leave()
	}
	close(done)
	<-ended
	// What an *Error holds is another matter: that the function has failed by itself.
	by, isCanceled := err.(*Canceled)
	if isCanceled && ctx.Err() != nil && by.By == Self() {
		err = context.Cause(ctx)
	}
	_, isGone := err.(*GoneError)
	switch {
	case end == nil:
		return data, err
	case err == nil, isGone, isCanceled, saysNoMore(err, end):
		return data, end
	default:
		return data, errors.Join(err, end)
	}
}

// saysNoMore reports whether err, of a call, is what the actor has failed with.
func saysNoMore(err, end error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Err != nil && strings.Contains(end.Error(), textOf(failure.Err))
}

func mustBeName(call, name string) {
	if name == "" || strings.Contains(name, "/") {
		panic(fmt.Sprintf("traigo: actor.%s(%q): a name is not empty, and has no slash", call, name))
	}
}

// A child is what this process has of an actor that it has started.
type child struct {
	options *options
	process *proc.Child

	acks   chan struct{} // holds one: it has acknowledged a cancellation or a signal
	killed chan struct{} // closed by Kill
	once   sync.Once

	mu     sync.Mutex
	asks   map[uint64]chan snapshotAnswer
	lastID uint64
}

func newChild(name string, o *options) *Actor {
	return &Actor{name: name, grace: o.grace, child: &child{
		options: o, acks: make(chan struct{}, 1), killed: make(chan struct{}), asks: map[uint64]chan snapshotAnswer{},
	}}
}

func (c *child) kill() {
	c.once.Do(func() { close(c.killed) })
	c.process.Signal(syscall.SIGKILL)
}

// startTimeout is within what time an actor must be ready.
const startTimeout = 30 * time.Second

var errTimeout = fmt.Errorf("nothing was heard of it for %v", startTimeout)

// launch starts the process, and returns when it is ready or has ended. ctx is that of the task.
func (a *Actor) launch(ctx context.Context) error {
	path := Self().Path + "/" + a.name
	starting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	late := time.AfterFunc(startTimeout, func() { cancel(&GoneError{Actor: ID{Path: path, Host: hostname()}, Err: errTimeout}) })
	defer late.Stop()

	registrar, err := here.enter()
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // of the process: nothing but what is below ends it
	stopLife := context.AfterFunc(starting, end)
	process, err := proc.Launch(life, kind, proc.KillAfter(0), proc.Grace(max(a.grace, time.Second)))
	if err != nil {
		end()
		here.leave()
		return notLaunched(starting, path, err)
	}
	a.child.process = process
	a.id = ID{Path: path, Pid: process.Pid(), Host: hostname()}
	if err := a.greet(starting, registrar); err != nil {
		end()
		if a.link != nil {
			a.link.close()
		}
		_ = process.Conn().Close()
		process.Signal(syscall.SIGKILL)
		<-process.Exited()
		here.leave()
		if starting.Err() != nil {
			return context.Cause(starting)
		}
		if _, refused := errors.AsType[*Error](err); refused {
			return err
		}
		return &GoneError{Actor: a.id, Err: a.exit(err)}
	}
	stopLife()
	go func() {
		<-process.Exited()
		end()
	}()
	here.add(a)
	return nil
}

// notLaunched returns the error of a process that has not come to serve.
func notLaunched(starting context.Context, path string, err error) error {
	var broken *proc.BrokenWorkerError
	switch {
	case starting.Err() != nil:
		return context.Cause(starting)
	case errors.As(err, &broken):
		gone := &GoneError{Actor: ID{Path: path, Pid: broken.Pid, Host: hostname()}, Err: &exit{broken}}
		if errors.Is(err, proc.ErrNotServed) {
			gone.Err = fmt.Errorf("%w: %w", ErrNotServed, gone.Err)
		}
		return gone
	case errors.Is(err, proc.ErrNotServed):
		return ErrNotServed
	default:
		return err
	}
}

// greet tells the process who it is, and waits until it is ready.
func (a *Actor) greet(ctx context.Context, registrar string) error {
	l, err := connectTo(a.child.process.Conn())
	if err != nil {
		return err
	}
	a.link = l
	o := a.child.options
	b := &begin{
		Path: a.id.Path, Findable: o.isFindable, Registrar: registrar, Grace: a.grace,
		Record: here.recordDir(o.record), Starter: a.starter(), IsPaused: here.clock.paused(),
	}
	for _, fn := range o.exposed {
		b.Expose = append(b.Expose, fn.Name())
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() { // gRPC would try for long to reach a process that has ended
		select {
		case <-a.child.process.Exited():
			_ = l.conn.Close()
		case <-stop:
		}
	}()
	id, err := l.greet(ctx, hello{Begin: b}, a.hear)
	if err != nil && id != (ID{}) {
		return &Error{From: id, Path: []ID{id}, Err: err}
	}
	return err
}

// starter returns the task that stands for the actor, as the actor's recording names it.
func (a *Actor) starter() starter {
	t := a.task
	return starter{Run: runOf(t.Scope()), Scope: t.Scope().ID(), Task: t.ID()}
}

// hear handles what a child says beside calls.
func (a *Actor) hear(kind control, id uint64, payload []byte) {
	switch kind {
	case acknowledged:
		select {
		case a.child.acks <- struct{}{}:
		default:
		}
	case answerSnapshot:
		a.child.deliver(id, payload)
	case askPause, endPause:
		here.relayPause(a, kind, id, payload)
	default:
	}
}

// attend waits for the end of the actor, and returns it as the error of its task. done, if it
// is not nil, is closed when the actor has nothing to do any more.
func (a *Actor) attend(ctx context.Context, done <-chan struct{}) error {
	c := a.child
	defer here.leave()
	defer here.remove(a)
	defer a.link.close()
	stopping := traigo.Stopping(ctx)
	for {
		select {
		case <-c.process.Exited():
			return a.outcome(c.isKilled())
		case <-a.link.ended:
			a.link.awaitCalls(2 * time.Second)
			a.link.close() // which lets it exit
			<-c.process.Exited()
			return a.outcome(c.isKilled())
		case <-a.link.lost:
			if !here.clock.wait(2*time.Second, c.process.Exited(), nil) {
				c.process.Signal(syscall.SIGKILL) // it has closed its end, and goes on
				<-c.process.Exited()
			}
			return a.outcome(c.isKilled())
		case <-ctx.Done():
			select {
			case <-c.process.Exited(): // before it could be asked
				return a.outcome(c.isKilled())
			default:
				return a.endFor(context.Cause(ctx))
			}
		case <-done:
			return a.endFor(nil)
		case <-stopping:
			stopping = nil
			a.link.outbox.post(stopActor, 0, nil)
		}
	}
}

func (c *child) isKilled() bool {
	select {
	case <-c.killed:
		return true
	default:
		return false
	}
}

// outcome returns how a process that was reaped has ended. asked is whether this process has
// asked for it.
func (a *Actor) outcome(asked bool) error {
	select {
	case <-a.link.ended:
		return a.link.ending(a.id, asked)
	default:
	}
	if asked {
		return nil
	}
	return &GoneError{Actor: a.id, Err: a.exit(errors.New("exit status 0, without its scope having ended"))}
}

// exit returns how the process has ended; otherwise, if that says nothing.
func (a *Actor) exit(otherwise error) error {
	if broken, ok := errors.AsType[*proc.BrokenWorkerError](a.child.process.Err()); ok {
		return &exit{broken}
	}
	return otherwise
}

// ending returns the error of an actor that has told how it has ended.
func (l *link) ending(id ID, asked bool) error {
	l.mu.Lock()
	how := l.how
	l.mu.Unlock()
	if by, ok := errors.AsType[*Canceled](asError(how.Canceled)); ok && by.By == Self() {
		asked = true // by way of another connection
	}
	switch {
	case how.IsFailed:
		return failedIn(id, how.Err)
	case asked || how.Canceled == nil:
		if how.Err != nil {
			slog.Warn("traigo: an actor that was to end has failed besides", "actor", id.Path, "err", how.Err)
		}
		return nil
	case how.Err != nil:
		return errors.Join(canceledBy(how.Canceled), failedIn(id, how.Err))
	default:
		return canceledBy(how.Canceled)
	}
}

// gone returns the error of a call that the actor has not answered, or not begun. What stands
// for the actor fails before that: it is what has happened.
func (a *Actor) gone(ctx context.Context) error {
	select {
	case <-a.over:
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // by the end of the actor, perhaps, of which its scope tells
		return context.Cause(ctx)
	}
	err := a.how()
	var gone *GoneError
	if errors.As(err, &gone) && gone.Actor == a.id {
		return gone
	}
	if err == nil {
		err = errEnded
	}
	return &GoneError{Actor: a.id, Err: err}
}

// how returns how the actor has ended, when over is closed.
func (a *Actor) how() error {
	if a.over == a.task.Done() {
		return a.task.Err()
	}
	return a.outcome(a.child.isKilled())
}

var errEnded = registered("it has ended, as it was asked to")

// endFor asks the process to end, and has it killed if it does not. It returns the error of the
// actor's task.
func (a *Actor) endFor(cause error) error {
	if !a.bringDown(cause) {
		return a.outcome(true)
	}
	return errors.Join(&GoneError{Actor: a.id, Err: a.exit(errKilled)}, a.failureBefore())
}

var errKilled = errors.New("it had to be killed")

// failureBefore returns the failure that the actor has told of before it had to be killed.
func (a *Actor) failureBefore() error {
	select {
	case <-a.link.ended:
		return a.link.ending(a.id, true)
	default:
		return nil
	}
}

const (
	ackTimeout  = 2 * time.Second // for an actor to acknowledge that it is to end
	termTimeout = time.Second     // for a signal to be acknowledged
)

// bringDown has the process ended, and reaped. It reports whether it had to be killed. First
// the process is asked; then its group gets SIGTERM, if it has not acknowledged in time, or has
// used up three quarters of its grace; at the end of that, SIGKILL.
func (a *Actor) bringDown(cause error) (killed bool) {
	c, exited := a.child, a.child.process.Exited()
	if a.grace == 0 {
		c.process.Signal(syscall.SIGKILL)
		<-exited
		return false
	}
	grace := here.graceFor(a.grace)
	spent := here.clock.stopwatch()
	gone := a.awaitExit()
	a.link.outbox.post(cancelActor, 0, cancelRequest{Grace: grace, Cause: traigo.AsRemote(cause, Self().String())})
	within := func(d time.Duration) time.Duration { return max(min(d, grace-spent()), 0) }
	heard := here.clock.wait(within(min(ackTimeout, grace/2)), c.acks, gone)
	if heard && here.clock.wait(grace*3/4-spent(), gone, nil) {
		<-exited
		return false
	}
	c.process.Signal(syscall.SIGTERM)
	if here.clock.wait(within(termTimeout), c.acks, gone) {
		if here.clock.wait(within(grace), gone, nil) {
			<-exited
			return false
		}
	}
	c.process.Signal(syscall.SIGKILL)
	<-exited
	return !c.isKilled()
}

// awaitExit returns a channel that is closed when the process has been reaped. It lets the
// process exit once it has told how its scope has ended.
func (a *Actor) awaitExit() <-chan struct{} {
	exited := a.child.process.Exited()
	go func() {
		select {
		case <-a.link.ended:
			a.link.awaitCalls(2 * time.Second)
			a.link.close()
		case <-exited:
		}
	}()
	return exited
}
