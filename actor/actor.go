package actor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/mem"

	"github.com/traigo/traigo"
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

// Kill kills the process and its process group, now. As with Cancel, that is no failure of the actor.
// Kill panics if this process has not started the actor.
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
	saysNoMore := c.how.verdict == actorFailed // than end
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
	case err == nil, isGone, isCanceled, saysNoMore:
		return data, end
	default:
		return data, errors.Join(err, end)
	}
}

// maxName is how long a name may be: Record makes a part of a file's name of it.
const maxName = 100

func mustBeName(call, name string) {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name) {
		panic(fmt.Sprintf("traigo: actor.%s(%.300q): a name is text of 1 to %d bytes, without a slash", call, name, maxName))
	}
}
