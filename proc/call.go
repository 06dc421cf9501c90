package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/processes"
)

// A call is one call of a Function, or one loop over a Sequence.
type call struct {
	name  string
	in    any                  // a *box with the argument
	out   any                  // a *box for the result, or for the next item
	yield func(err error) bool // passes on the item in out; nil for a Function

	hasResult  bool
	hasLeft    bool // the loop was left
	isAnswered bool
	isReusable bool               // the worker
	failed     error              // an item could not be decoded
	panicked   *traigo.PanicError // of the function
	initFailed error
}

// run makes the call, and returns when its worker has answered or has ended.
func (c *call) run(ctx context.Context) error {
	mustHaveContext(c.name, ctx)
	p := poolOf(ctx)
	if err := ready(&p.options); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.exit()
	for {
		w, isNew, err := p.take(ctx, c.name)
		if err != nil {
			return err
		}
		if err = c.runOn(ctx, w, isNew); err != errNotRead { //nolint:errorlint // an error of the job may have any Is
			return err
		}
	}
}

// errNotRead says that an idle worker has ended before it has read the job: it is given to
// another one.
var errNotRead = errors.New("the worker has ended before it has read the job")

// runOn makes the call with the worker w, in a scope named after the two.
func (c *call) runOn(ctx context.Context, w *worker, isNew bool) (err error) {
	c.isAnswered, c.isReusable = false, !isNew // if a Wrapper does not let the body run
	defer func() {
		w.pool.put(w, c.isAnswered, c.isReusable)
		if w.pool.scope == nil {
			w.awaitEnd(ctx)
		}
	}()
	hasBody := false
	var path atomic.Pointer[string]
	outcome := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		hasBody = true
		at := s.Path()
		path.Store(&at)
		err = c.exchange(ctx, at, w, isNew)
		shown := err
		switch {
		case c.panicked != nil: // raised by Run, which then has its stack in its text
			s.Spawn(func(context.Context) error { panic(c.panicked) }, traigo.Name(c.name))
			shown = nil
		case err == errNotRead: //nolint:errorlint // as in run
			shown = nil // nobody is to see it: the job is given to another worker
		}
		return shown
	}, traigo.Name(fmt.Sprintf("%s[%d]", c.name, w.child.Pid())), withBelow(func(ctx context.Context, stacks bool) any {
		if at := path.Load(); at != nil {
			return w.ask(ctx, *at, stacks)
		}
		return []traigo.Snapshot(nil)
	}))
	switch {
	case !hasBody:
		return outcome
	case c.panicked != nil:
		panic(c.panicked) // with PanicAsError
	}
	return err
}

// awaitEnd waits for the end of a worker that had one job.
func (w *worker) awaitEnd(ctx context.Context) {
	select {
	case <-w.child.exited:
	case <-ctx.Done():
		w.child.kill(nil)
		<-w.child.exited
	}
	w.pool.forget(w)
}

// exchange gives the job to the worker and receives the answer. path is that of the call.
func (c *call) exchange(ctx context.Context, path string, w *worker, isNew bool) error {
	c.isReusable = true
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	job := w.begin()
	w.child.watchMemory(true)
	stop := context.AfterFunc(ctx, func() { w.cancel(job, context.Cause(ctx)) })
	isSent, hasReturned := false, false
	defer func() {
		if isSent && !hasReturned { // the loop body has panicked, or called Goexit
			c.leaveLoop(w, job)
			_ = c.receive(ctx, path, w, job, nil, isNew)
		}
		stop()
		w.end()
		w.child.watchMemory(false)
		w.enc.trim()
		w.link.trim()
		c.isReusable = c.isReusable && (c.isAnswered || !isSent) && c.panicked == nil && !w.wasKilled()
	}()
	if err := c.sendInit(w); err != nil {
		c.isReusable = false
		return err
	}
	buf := w.enc.begin()
	deadline, _ := ctx.Deadline()
	appendTime(buf, deadline)
	appendText(buf, c.name)
	if err := w.enc.add(c.in); err != nil {
		return fmt.Errorf("traigo: proc: the argument of %q cannot be encoded: %w", c.name, err)
	}
	isSent = true
	err := w.link.send(doJob, w.enc.flags()|w.dec.flags(), job, w.enc.buf.Bytes())
	err = c.receive(ctx, path, w, job, err, isNew)
	hasReturned = true
	return err
}

// sendInit sends the call of Init to a new worker.
func (c *call) sendInit(w *worker) error {
	init := w.pool.init
	if init == nil || w.hasInit {
		return nil
	}
	w.hasInit = true
	appendText(w.enc.begin(), init.name)
	if err := w.enc.add(init.in); err != nil {
		return fmt.Errorf("traigo: proc: the argument of %q, for Init, cannot be encoded: %w", init.name, err)
	}
	_ = w.link.send(doInit, w.enc.flags(), 0, w.enc.buf.Bytes())
	return nil
}

var errLeft = errors.New("the loop was left")

// leaveLoop cancels the job because the loop was left.
func (c *call) leaveLoop(w *worker, job uint32) {
	c.hasLeft = true
	w.cancel(job, errLeft)
}

// receive returns when the worker has answered, or has ended and was reaped. sent is the
// error of having sent the job.
func (c *call) receive(ctx context.Context, path string, w *worker, job uint32, sent error, isNew bool) error {
	for hasBegun := isNew; ; {
		f, err := w.link.receive()
		if err != nil {
			w.child.kill(nil) // it may have closed the socket and live
			w.awaitExit()
			isUnread := sent != nil || errors.Is(err, syscall.ECONNRESET) && !w.link.hasMore.Load()
			if isUnread && !hasBegun && ctx.Err() == nil {
				return errNotRead
			}
			return c.broken(ctx, w)
		}
		if f.flags&startFresh != 0 {
			w.enc.gob = nil
		}
		switch f.kind {
		case answer:
			c.isAnswered = true
			return c.answered(ctx, path, w, f)
		case item:
			hasBegun = true
			if c.hasLeft {
				w.dec.skip()
			} else if !c.next(w, f) {
				c.leaveLoop(w, job)
			}
		case snapshot:
			var shots []traigo.Snapshot
			if json.Unmarshal(f.data, &shots) == nil {
				w.deliver(f.job, shots)
			}
		case initFailed:
			c.initFailed = decodeError(f.data)
		default:
			w.child.kill(fmt.Errorf("traigo: proc: a frame of kind %d came", f.kind))
		}
	}
}

// next yields an item, and reports whether the loop goes on. After an item that cannot be
// decoded it does not: those after it could not be either.
func (c *call) next(w *worker, f frame) bool {
	remote, data, err := cutError(f.data)
	if err == nil {
		err = w.dec.decode(data, f.flags, c.out)
	}
	switch {
	case err != nil:
		c.failed = fmt.Errorf("traigo: proc: an item of %q cannot be decoded: %w", c.name, err)
		return false
	case remote != nil:
		return c.yield(remote)
	}
	return c.yield(nil)
}

// answered returns the error of an answer, and decodes the result.
func (c *call) answered(ctx context.Context, path string, w *worker, f frame) error {
	if len(f.data) == 0 {
		return fmt.Errorf("traigo: proc: an empty answer of %q", c.name)
	}
	how := f.data[0]
	remote, data, err := cutError(f.data[1:])
	if err == nil && len(data) > 0 {
		if err = w.dec.decode(data, f.flags, c.out); err != nil {
			err = fmt.Errorf("traigo: proc: the result of %q cannot be decoded: %w", c.name, err)
		}
		c.hasResult = err == nil
	}
	switch {
	case c.failed != nil && how != panicked:
		return c.failed
	case how == succeeded:
		return err
	case how == failed && remote != nil:
		return remote
	case how == panicked && remote != nil:
		c.panicked = asPanic(remote, path, c.name)
		return c.panicked
	case how == exited:
		return traigo.ErrGoexit
	case c.hasLeft:
		return nil
	case how == canceled && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("traigo: proc: an answer of %q that has no meaning: %d, %w", c.name, how, err)
}

// asPanic returns the panic of a function as one of the call: the path of the function in the
// worker becomes that of the call.
func asPanic(remote *traigo.RemoteError, path, name string) *traigo.PanicError {
	p, ok := errors.AsType[*traigo.PanicError](remote)
	if !ok {
		p = &traigo.PanicError{Task: name, Recovered: &panics.Recovered{Value: remote, Stack: []byte(remote.Stack)}}
	}
	p.Task = path + strings.TrimPrefix(p.Task, name)
	return p
}

// broken returns the error of a call whose worker has ended.
func (c *call) broken(ctx context.Context, w *worker) error {
	switch {
	case w.wasKilled() && c.hasLeft:
		return c.failed
	case w.wasKilled():
		return context.Cause(ctx)
	}
	broken := w.child.broken(c.name)
	if broken.Err == nil && c.initFailed != nil {
		broken.Err = c.initFailed
	}
	return broken
}

// withBelow returns an option by which a snapshot of the scope of a call shows the scopes in
// the worker.
func withBelow(ask processes.Ask) traigo.ScopeOption {
	return processes.Option(ask).(traigo.ScopeOption)
}
