package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc/panics"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/processes"
)

// The worker's side: from the beginning of the process until it leaves.

// workerKind is what a worker serves; other kinds are those of Handle.
const workerKind = "worker"

// origin is how this process was started; nil if not by Launch. It is read, and what it
// stands for is inherited, before the packages that use this one are initialized: nothing that they
// start gets the mark or the socket.
var origin, stopWatching = func() (*mark, func()) {
	m := readMark()
	if m == nil {
		return nil, nil
	}
	return m, m.inherit()
}()

// Serve serves, in a process that [Func], [Source] or [Launch] has started, what it was
// started for, and does not return. In any other process it returns at once. It must be the
// first statement of main and, for tests, of TestMain. What the functions need, and main
// prepares after it, a worker does not have: see [Init].
func Serve() {
	registry.Lock()
	registry.isClosed = true
	registry.Unlock()
	if isServing.Swap(true) || origin == nil {
		return
	}
	registry.Lock()
	handler := registry.handlers[origin.kind]
	registry.Unlock()
	if origin.kind == workerKind {
		handler = serveJobs
	}
	stopWatching()
	if origin.memory > 0 {
		debug.SetMemoryLimit(origin.memory / 10 * 9)
	}
	conn, err := inherited()
	if err == nil {
		hello := byte(serving)
		if handler == nil {
			hello = unhandled
		}
		_, err = conn.Write([]byte{hello})
	}
	if err != nil {
		endGroup() // the parent has gone
	}
	if handler == nil {
		origin.exit(1)
	}
	handler(conn)
	origin.exit(0)
}

// A server serves the jobs of the parent, one at a time.
type server struct {
	link  *link
	scope *traigo.Scope // of the worker itself: Init runs in it

	dec decoder // of the goroutine that receives

	// The next job may come before the write of an answer has returned.
	sending sync.Mutex // protects enc
	enc     encoder

	ready     chan struct{} // closed when Init has returned; nil if there is none
	isLeaving atomic.Bool

	kept      atomic.Uint32 // the job that runs on the goroutine that receives; 0: none
	isWatched atomic.Bool   // readOn is running

	mu       sync.Mutex
	current  *job
	canceled uint32 // the last job that was canceled before it had come
	cause    error  // its cause
}

func serveJobs(conn net.Conn) {
	w := &server{link: newLink(conn), scope: traigo.New(context.Background(), traigo.Name("worker"))}
	go w.watchScope()
	go w.receive()
	select {} // leave, or a failure, ends the process
}

// watchScope ends the process when its scope fails, which is by what Init has spawned.
func (w *server) watchScope() {
	<-w.scope.Done()
	if w.isLeaving.Load() {
		return
	}
	if err := w.scope.Wait(); err != nil { // or a panic, which ends the process too
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "traigo: the scope of a worker has failed: %v\n", err)
	origin.exit(1)
}

// leave ends the process, as the parent has asked for.
func (w *server) leave() {
	w.isLeaving.Store(true)
	if err := w.scope.Close(); err != nil {
		fail(err)
	}
	origin.exit(0)
}

// receive handles what comes from the parent. What takes long (Init, a job, the end) runs on
// the goroutine that has received it. Another one goes on to receive, so that a cancellation
// and the end of the parent are noticed: at once, or for a job after readOnAfter. To start a
// goroutine for each job takes longer than most of a short call.
func (w *server) receive() {
	for {
		f, err := w.link.receive()
		if err != nil {
			endGroup() // the parent has gone
		}
		switch f.kind {
		case doInit:
			run := w.prepareInit(f)
			w.link.data = nil // it is decoded meanwhile
			go w.receive()
			run()
			return
		case doJob:
			if f.flags&startFresh != 0 {
				w.sending.Lock()
				w.enc.gob = nil
				w.sending.Unlock()
			}
			if !w.runJob(w.prepare(f), f.job) {
				return
			}
			w.link.trim()
		case doCancel:
			w.cancel(f)
		case doSnapshot:
			var within time.Duration
			_ = json.Unmarshal(f.data, &within)
			go w.snapshot(f.job, within, f.flags&withStacks != 0)
		case doLeave:
			go w.receive()
			w.leave()
		default:
			fmt.Fprintf(os.Stderr, "traigo: proc: a frame of kind %d\n", f.kind)
			origin.exit(1)
		}
	}
}

// readOnAfter is for how long a job runs at least before another goroutine receives.
const readOnAfter = 500 * time.Microsecond

// runJob runs a job on the goroutine that receives, and reports whether that is to go on to
// receive.
func (w *server) runJob(run func(), number uint32) (again bool) {
	w.kept.Store(number)
	if !w.isWatched.Swap(true) {
		go w.readOn()
	}
	hasReturned := false
	defer func() {
		again = w.kept.CompareAndSwap(number, 0)
		if again && !hasReturned { // the job has called Goexit
			go w.receive()
		}
	}()
	run()
	hasReturned = true
	return again
}

// readOn starts a goroutine that receives when a job runs for long. It ends when none is
// there: a worker that is idle does nothing.
func (w *server) readOn() {
	last := uint32(0)
	for {
		time.Sleep(readOnAfter)
		now := w.kept.Load()
		switch {
		case now == 0 && last == 0:
			w.isWatched.Store(false)
			if w.kept.Load() == 0 || w.isWatched.Swap(true) {
				return
			}
		case now == last && w.kept.CompareAndSwap(now, 0):
			w.link.data = nil // it may be decoded still
			go w.receive()
		}
		last = now
	}
}

// where is what errors that were made here say where they were made.
var where = sync.OnceValue(func() string { return fmt.Sprintf("process %d", os.Getpid()) })

// prepareInit returns a function that calls the function of Init.
func (w *server) prepareInit(f frame) (run func()) {
	w.ready = make(chan struct{})
	return func() {
		err := traigo.ErrGoexit // unless it returns
		defer func() {
			if value := recover(); value != nil {
				panic(value) // the end of the process
			}
			if err != nil {
				w.isLeaving.Store(true)
				_ = w.link.send(initFailed, 0, 0, encodeJSON(traigo.AsRemote(err, where())))
				origin.exit(1)
			}
			close(w.ready)
		}()
		err = w.callInit(f)
	}
}

func (w *server) callInit(f frame) error {
	name, data, err := cutText(f.data)
	if err != nil {
		return err
	}
	body, err := w.decode(name, data, f.flags)
	if err != nil {
		return err
	}
	return body(w.scope.Context(), new(job))
}

// decode returns the body of a call of the function with that name, with its argument.
func (w *server) decode(name string, data []byte, flags uint8) (func(context.Context, *job) error, error) {
	s := callableNamed(name)
	if s == nil {
		return nil, fmt.Errorf("traigo: proc: the worker has no function %q: it must be registered in a package variable or in init of every program that serves", name)
	}
	body, err := s.prepare(&w.dec, data, flags)
	if err != nil {
		return nil, fmt.Errorf("traigo: proc: the argument of %q cannot be decoded: %w", name, err)
	}
	return body, nil
}

// A job is one call, in the worker.
type job struct {
	*server
	number  uint32
	name    string
	ctx     *jobContext
	cancel  context.CancelCauseFunc
	scope   atomic.Pointer[traigo.Scope]
	out     any // the result of a Function
	bodyErr error
	hasBody bool // the body has returned
}

// A jobContext is the context of a job. It has the deadline of the caller's context, but ends
// only when the caller says so: that tells by which cause, and a timeout can be changed.
type jobContext struct {
	context.Context //nolint:containedctx // it is one
	deadline        time.Time
}

func (c *jobContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *jobContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// prepare returns a function that runs the job of a frame and answers. From now on the job can
// be canceled.
func (w *server) prepare(f frame) (run func()) {
	j := &job{server: w, number: f.job}
	deadline, data, err := cutTime(f.data)
	if err == nil {
		j.name, data, err = cutText(data)
	}
	j.ctx = &jobContext{deadline: deadline}
	j.ctx.Context, j.cancel = context.WithCancelCause(context.Background())
	w.mu.Lock()
	w.current = j
	if w.canceled == j.number {
		defer j.cancel(w.cause)
	}
	w.mu.Unlock()
	return func() { j.run(data, f.flags, err) }
}

// cancel cancels the job of a frame, which may not have begun: the argument of one that is
// large comes after its cancellation.
func (w *server) cancel(f frame) {
	cause := decodeError(f.data)
	w.mu.Lock()
	j := w.current
	if j == nil || j.number != f.job {
		w.canceled, w.cause = f.job, cause
		j = nil
	}
	w.mu.Unlock()
	if j != nil {
		j.cancel(cause)
	}
}

// run runs the job in a scope, and answers. The argument is decoded here, since that may take
// as long as anything.
func (j *job) run(data []byte, flags uint8, err error) {
	defer j.cancel(nil)
	if j.ready != nil {
		<-j.ready
	}
	var body func(context.Context, *job) error
	if err == nil {
		body, err = j.decode(j.name, data, flags)
	}
	if err != nil {
		j.answer(failed, err, nil)
		return
	}
	hasReturned := false
	defer func() {
		value := recover()
		switch {
		case hasReturned:
			j.answerOutcome(err)
		case value != nil:
			j.answerPanic(value)
		default:
			j.answer(exited, traigo.ErrGoexit, nil)
		}
	}()
	err = traigo.Run(j.ctx, func(ctx context.Context, s *traigo.Scope) error {
		j.scope.Store(s)
		j.bodyErr = body(ctx, j)
		j.hasBody = true
		return j.bodyErr
	}, traigo.Name(j.name))
	hasReturned = true
}

// An ending is the first byte of an answer.
const (
	succeeded = iota
	failed
	canceled // with nothing but the cancellation that the caller knows of
	panicked
	exited
)

// answerOutcome answers with the outcome of the scope. If that is the error of the body alone,
// it is told as it is.
func (j *job) answerOutcome(err error) {
	outcome, ok := err.(*traigo.Error) //nolint:errorlint // what Run returns is one
	if !ok {
		j.answer(succeeded, nil, j.out)
		return
	}
	cancellation, _ := outcome.Err.(*traigo.Cancellation) //nolint:errorlint // not one further down
	isCanceled := j.ctx.Err() != nil && cancellation != nil && cancellation.Kind == traigo.ParentCanceled
	switch others := outcome.Others; {
	case isCanceled && len(others) == 0 && j.hasBody && j.bodyErr == nil && j.out != nil:
		j.answer(succeeded, nil, j.out) // it has heard of the cancellation too late, or has a result all the same
	case isCanceled && len(others) == 0:
		j.answer(canceled, nil, nil)
	case isSame(outcome.Err, j.bodyErr) && len(others) == 0, isCanceled && len(others) == 1 && isSame(others[0], j.bodyErr):
		j.answer(failed, j.bodyErr, j.out)
	default:
		j.answer(failed, err, j.out)
	}
}

// isSame reports whether a and b are the same error; false if they cannot be compared.
func isSame(a, b error) (is bool) {
	defer func() { _ = recover() }()
	return a == b //nolint:errorlint // not one that a wraps
}

func (j *job) answerPanic(value any) {
	p, ok := value.(*traigo.PanicError)
	if !ok {
		recovered := panics.NewRecovered(2, value)
		p = &traigo.PanicError{Task: j.name, Recovered: &recovered}
	}
	j.answer(panicked, p, nil)
}

// answer ends the job. If out cannot be encoded that is the error.
func (j *job) answer(how byte, err error, out any) {
	w := j.server
	w.mu.Lock()
	w.current = nil
	w.mu.Unlock()
	w.sending.Lock()
	defer w.sending.Unlock()
	message := func() {
		buf := w.enc.begin()
		buf.WriteByte(how)
		appendError(buf, remoteOf(err))
	}
	message()
	w.enc.isFresh = false
	if out != nil {
		if cannot := w.enc.add(out); cannot != nil && how == succeeded {
			how, err = failed, fmt.Errorf("traigo: proc: the result of %q cannot be encoded: %w", j.name, cannot)
			message()
		}
	}
	_ = w.link.send(answer, w.enc.flags()|w.dec.flags(), j.number, w.enc.buf.Bytes())
	w.enc.trim()
}

func remoteOf(err error) *traigo.RemoteError {
	if err == nil {
		return nil // without where, which costs a system call
	}
	return traigo.AsRemote(err, where())
}

// yield sends an item of a Source. It returns an error if it cannot be encoded.
func (j *job) yield(v any, err error) error {
	w := j.server
	w.sending.Lock()
	defer w.sending.Unlock()
	appendError(w.enc.begin(), remoteOf(err))
	if cannot := w.enc.add(v); cannot != nil {
		return fmt.Errorf("traigo: proc: an item of %q cannot be encoded: %w", j.name, cannot)
	}
	_ = w.link.send(item, w.enc.flags(), j.number, w.enc.buf.Bytes())
	return nil
}

// snapshot tells of the scopes that are in this process. It leaves some of the time that the
// parent waits for that, so that the answer is there in time without the processes below this
// one that do not answer.
func (w *server) snapshot(number uint32, within time.Duration, stacks bool) {
	ctx, cancel := context.WithTimeout(context.Background(), within*2/3)
	defer cancel()
	w.mu.Lock()
	j := w.current
	w.mu.Unlock()
	var all []traigo.Snapshot
	if j != nil {
		if s := j.scope.Load(); s != nil {
			all = append(all, processes.Snapshot(ctx, s, stacks).(traigo.Snapshot))
		}
	}
	if own := processes.Snapshot(ctx, w.scope, stacks).(traigo.Snapshot); len(own.Tasks)+len(own.Scopes) > 0 {
		all = append(all, own)
	}
	w.link.post(snapshot, 0, number, encodeJSON(all))
}

// Served reports whether [Serve] has been called in this process.
func Served() bool { return isServing.Load() }
