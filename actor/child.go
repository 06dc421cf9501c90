package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

// A child is what this process has of an actor that it has started.
type child struct {
	options *options
	process *proc.Child
	leave   func() // the registrar is not used any more

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
	late := here.clock.after(startTimeout, func() { cancel(&GoneError{Actor: ID{Path: path, Host: hostname()}, Err: errTimeout}) })
	defer late.stop()

	registrar, leave, err := here.enter()
	if err != nil {
		return err
	}
	a.child.leave = leave
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // of the process: nothing but what is below ends it
	stopLife := context.AfterFunc(starting, end)
	process, err := proc.Launch(life, kind, proc.KillAfter(0), proc.Grace(max(a.grace, time.Second)))
	if err != nil {
		end()
		leave()
		return notLaunched(starting, path, err)
	}
	a.child.process = process
	a.id = ID{Path: path, Pid: process.Pid(), Host: hostname()}
	if err := a.greet(starting, registrar); err != nil {
		hasDied := errors.Is(err, errConnection) && here.clock.wait(2*time.Second, process.Exited(), starting.Done())
		end()
		if a.link != nil {
			a.link.close()
		}
		_ = process.Conn().Close()
		process.Signal(syscall.SIGKILL)
		<-process.Exited()
		leave()
		if starting.Err() != nil {
			return context.Cause(starting)
		}
		if hasDied {
			err = a.exit(err)
		}
		if _, refused := errors.AsType[*Error](err); refused {
			return err
		}
		return &GoneError{Actor: a.id, Err: err}
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
	l.onLost = func() { here.pauses.lose(a) }
	o := a.child.options
	b := &begin{
		Path: a.id.Path, Findable: o.isFindable, Registrar: registrar, Grace: a.grace,
		Record: here.recordDir(o.record), Starter: starterOf(a.task),
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
	case askPause:
		here.pauses.hear(a, payload)
	default:
	}
}

// attend waits for the end of the actor, and returns it as the error of its task. done, if it
// is not nil, is closed when the actor has nothing to do any more.
func (a *Actor) attend(ctx context.Context, done <-chan struct{}) error {
	c := a.child
	defer c.leave()
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
