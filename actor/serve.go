package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
	"github.com/traigo/traigo/record"
)

// kind is what the processes of this package are for proc.Launch.
const kind = "actor"

//nolint:gochecknoinits // before Serve, as a user's functions are
func init() { proc.Handle(kind, serve) }

// Serve serves, in an actor, what it is asked for, and does not return. In any other process it
// returns at once. It must be the first statement of main and, for tests, of TestMain. It is
// the same function as proc.Serve. What stands before it runs in every actor: there logging is
// set up, say.
func Serve() { proc.Serve() }

// A place is this process as an actor.
type place struct {
	host   *host
	conn   net.Conn
	signal chan os.Signal

	ready    chan struct{} // closed when the parent has said who this is
	hasEnded atomic.Bool   // the scope has, and all was said about it
	gone     chan struct{} // closed when the parent has closed the connection after that
	once     sync.Once

	recorder *record.Recorder
	entry    *entry // of the registrar; nil if it is not findable
}

// serve is what an actor does from its beginning to its end.
func serve(conn net.Conn) {
	p := &place{signal: make(chan os.Signal, 1), ready: make(chan struct{}), gone: make(chan struct{})}
	p.host = &host{control: p.control}
	p.conn = &parentConn{conn, p}
	parent := p.host.serve(p.conn, true)
	<-p.ready
	how := p.outcome()
	p.entry.close()
	p.host.tell(how, p.farewell(), parent)
	if p.recorder != nil {
		if err := p.recorder.Close(); err != nil {
			slog.Warn("traigo: the recording of an actor is not complete", "actor", Self().Path, "err", err)
		}
	}
	p.hasEnded.Store(true)
	parent.outbox.post(ended, 0, how)
	<-p.gone
}

// farewell is how long those who use the actor have to close their connections.
func (p *place) farewell() time.Duration {
	here.mu.Lock()
	defer here.mu.Unlock()
	if here.given > 0 {
		return min(time.Second, here.given/4)
	}
	return time.Second
}

// A parentConn is the connection with the parent. When that ends before the scope of the
// actor, the parent has died, and no code of the actor may run on.
type parentConn struct {
	net.Conn
	place *place
}

func (c *parentConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.lost()
	}
	return n, err
}

func (c *parentConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.lost()
	}
	return n, err
}

func (c *parentConn) lost() {
	if !c.place.hasEnded.Load() {
		endGroup()
	}
	c.place.once.Do(func() { close(c.place.gone) })
}

// control handles what is said on the control streams, beside calls.
func (p *place) control(s *session, kind control, id uint64, payload []byte) {
	switch kind {
	case sayHello:
		p.begin(s, payload)
	case cancelActor:
		var req cancelRequest
		_ = decodeJSON(payload, &req)
		if s.isOurs {
			here.mu.Lock()
			here.given = req.Grace
			here.mu.Unlock()
		}
		s.outbox.post(acknowledged, 0, nil)
		p.cancel(s.asker(), asError(req.Cause))
	case stopActor:
		if s.isOurs {
			go p.shutdown()
		}
	case askSnapshot:
		var req snapshotRequest
		_ = decodeJSON(payload, &req)
		go p.answerSnapshot(s, id, req)
	case tellPause:
		var on bool
		_ = decodeJSON(payload, &on)
		if s.isOurs {
			here.tellPause(on)
		}
	case answerPause:
		if s.isOurs {
			here.pauses.answer(payload)
		}
	default:
	}
}

// begin makes this process the actor that the parent says it is. The parent is answered then.
func (p *place) begin(s *session, payload []byte) {
	var h hello
	if err := decodeJSON(payload, &h); err != nil || h.Begin == nil {
		s.refusal = fmt.Errorf("%w: the parent has not said who this is", errFrame)
		return
	}
	b := h.Begin
	id := here.become(b)
	here.parent.Store(s)
	here.host.Store(p.host)
	var err error
	opts := []traigo.ScopeOption{traigo.Name(id.Name())}
	if b.Record != "" {
		if p.recorder, err = startRecording(b.Record, id, b.Starter); err != nil {
			s.refusal = err
			return
		}
		opts = append(opts, traigo.Observe(p.recorder))
	}
	p.host.exposed = registeredFunctions(b.Expose)
	p.host.scope = traigo.New(context.Background(), opts...)
	if b.Findable {
		if p.entry, err = enroll(b.Registrar, id, p.host); err != nil {
			s.refusal = err
			return
		}
		context.AfterFunc(p.host.scope.Context(), p.entry.close)
	}
	signal.Notify(p.signal, syscall.SIGTERM)
	go p.hearSignals(s)
	close(p.ready)
}

// hearSignals takes a SIGTERM for a cancellation by nobody.
func (p *place) hearSignals(s *session) {
	for range p.signal {
		s.outbox.post(acknowledged, 0, nil)
		p.cancel(ID{}, errTerminated)
	}
}

var errTerminated = registered("signal: terminated")

// cancel cancels the scope of the actor. Without a failure elsewhere it ends quietly: to be asked to
// end is what an actor is for, and no failure in a recording.
func (p *place) cancel(by ID, cause error) {
	c := &Canceled{Actor: Self(), By: by, Err: cause}
	switch {
	case p.host.scope.State() >= traigo.Canceling, !p.host.canceled.CompareAndSwap(nil, c): // it ends already
	case hasFailure(cause):
		p.host.scope.Cancel(c)
	default:
		p.host.scope.Cancel(nil)
	}
}

// shutdown lets what runs come to its end.
func (p *place) shutdown() {
	defer func() { _ = recover() }() // a panic of a task: outcome has it too
	_ = p.host.scope.Shutdown(context.Background())
}

// outcome waits until the scope has ended, and returns how.
func (p *place) outcome() ending {
	err := p.join()
	by := p.host.canceled.Load()
	outcome, isError := errors.AsType[*traigo.Error](err)
	switch {
	case err == nil && by != nil:
		return ending{Canceled: asRemote(by)}
	case err == nil:
		return ending{}
	case by != nil && isError && isCancellationBy(outcome.Err, by):
		how := ending{Canceled: asRemote(by)}
		if len(outcome.Others) > 0 {
			how.Err = asRemote(errors.Join(outcome.Others...))
		}
		return how
	default:
		return ending{IsFailed: true, Err: asRemote(err)}
	}
}

// join returns the outcome of the scope; a panic as a *traigo.PanicError.
func (p *place) join() (err error) {
	defer func() {
		if value := recover(); value != nil {
			panicked, ok := value.(*traigo.PanicError)
			if !ok {
				panic(value) // not by a task
			}
			err = panicked
		}
	}()
	<-p.host.scope.Done()
	return p.host.scope.Wait()
}

// isCancellationBy reports whether err, which has ended a scope, is that it was canceled with by.
// A task that has failed with by, or with what by wraps, is another matter.
func isCancellationBy(err error, by *Canceled) bool {
	canceled, ok := err.(*Canceled)
	return ok && canceled == by
}
