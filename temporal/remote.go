package temporal

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/semaphore"

	"github.com/traigo/traigo"
)

// A Remote is the remote half of a scope: what runs through it runs on the workers of a queue, and
// ends with the scope. See [Open].
type Remote struct {
	openOptions
	engine *Engine
	scope  *traigo.Scope // that it is the remote half of
	own    *traigo.Scope // "remote QUEUE", below it
	queue  string
	owner  string // a name for this Remote that no other has
	path   string // of scope

	flight *semaphore.Weighted // the calls that are in the engine
	held   chan struct{}       // closed when the lease is held for the first time: calls may go
	over   chan struct{}       // closed when the lease is lost

	tasks atomic.Int64 // that were named
	sight sight

	pushing chan struct{} // holds one: there are cancels

	mu      sync.Mutex
	run     string    // of the scope's workflow, at the moment
	token   []byte    // of the activity that holds the lease; nil: there is none at the moment
	lost    error     // wraps ErrLease; nil until over is closed
	isEnded bool      // the scope has ended, or is about to: its workflow closes because of that
	cancels []pending // to be told to the workers
	equal   map[string]int
}

type openOptions struct {
	lease    time.Duration
	inFlight int
	id       string
	isNamed  bool // by Resume
}

// An OpenOption is an option of [Open].
type OpenOption func(*openOptions)

// Lease sets for how long silence counts as life, of the owner and of a worker: 30 s by default. It
// is renewed every third of it. A short one notices sooner that somebody is gone; a long one costs
// less, and bears longer pauses. Lease panics if d is less than 1 s.
func Lease(d time.Duration) OpenOption {
	if d < time.Second {
		panic(fmt.Sprintf("traigo: temporal.Lease(%v): at least 1 s", d))
	}
	return func(o *openOptions) { o.lease = d }
}

// InFlight lets at most n of the tasks be in the engine at once; 500 by default. The others wait in
// the order in which they came, as local tasks. InFlight panics if n is less than 1.
func InFlight(n int) OpenOption {
	if n < 1 {
		panic(fmt.Sprintf("traigo: temporal.InFlight(%d): at least 1", n))
	}
	return func(o *openOptions) { o.inFlight = n }
}

// Resume names the scope, so that an owner that comes later can go on with it. If a scope of that id
// lives, it is taken over: its tasks and its lease go on, and the owner it had gets [ErrLease].
//
// In such a scope a call is known by its function and its argument, the k-th equal one by its k. If
// it has succeeded, in this or in an earlier opening of the id, its recorded result is returned. If it
// runs, the call joins it. Otherwise it runs. The engine keeps results for as long as its namespace
// says. So an owner that was killed, and is back within the lease, loses nothing, and a job that has
// failed and is started again does only what is left. A changed argument is another call, and
// a new run of everything is a new id.
//
// If the cause of the scope's cancellation wraps [ErrHandover], its calls return that at once, and the
// remote side goes on until another owner takes over, or the lease ends. Resume panics if id is empty.
func Resume(id string) OpenOption {
	if id == "" {
		panic("traigo: temporal.Resume: the id is empty")
	}
	return func(o *openOptions) { o.id, o.isNamed = id, true }
}

// Open opens the remote half of s, whose tasks run on the workers of the queue. No worker needs to be
// there yet. It appears in the tree as the child "remote QUEUE" of s, which does not wait for
// it. A scope may have several.
//
// This process is the owner: it renews the lease. If it is killed, frozen, or cut off for that long,
// the scope ends on the other side. An owner that learns that its lease is lost cancels s
// with a cause that wraps [ErrLease]; what is waited for then returns that after one lease more, if
// its end could not be learned.
//
// A task must not wait for another one of the same Remote, since that one may be waiting for
// [InFlight]; tasks that open a Remote of their own are fine. The error wraps traigo.ErrRefused if s
// has ended, and [ErrEngine] if the engine has not answered for a lease, or refuses. Open panics
// if s, e or an option is nil, or if the queue is empty.
func Open(s *traigo.Scope, e *Engine, queue string, opts ...OpenOption) (*Remote, error) {
	switch {
	case s == nil:
		panic("traigo: temporal.Open: the scope is nil")
	case e == nil:
		panic("traigo: temporal.Open: the engine is nil")
	case queue == "":
		panic("traigo: temporal.Open: the queue has no name")
	}
	r := &Remote{
		openOptions: openOptions{lease: 30 * time.Second, inFlight: 500},
		engine:      e, scope: s, queue: queue, owner: rand.Text(), path: s.Path(),
		held: make(chan struct{}), over: make(chan struct{}), pushing: make(chan struct{}, 1), equal: map[string]int{},
	}
	for _, o := range opts {
		if o == nil {
			panic("traigo: temporal.Open: an option is nil")
		}
		o(&r.openOptions)
	}
	r.id = bounded(cmp.Or(r.id, r.path+"-"+strings.ToLower(rand.Text()[:8])))
	r.flight = semaphore.NewWeighted(int64(r.inFlight))
	if s.State() >= traigo.Canceling {
		return nil, r.refused()
	}
	err := e.lease(r)
	begun := time.Now()
	if err == nil {
		err = r.start(s.Context())
	}
	if err != nil {
		e.unlease(r)
		if s.State() >= traigo.Canceling { // which is why, and the engine may have started it
			r.leave(context.Cause(s.Context()))
			return nil, r.refused()
		}
		return nil, err
	}
	r.own = traigo.New(s.Context(), traigo.Name("remote "+queue))
	keep := func(ctx context.Context) error {
		r.keep(ctx, begun)
		return nil
	}
	if t := r.own.Spawn(keep, traigo.Name("lease"), cancelTimeoutOff); t.State() == traigo.Ended && errors.Is(t.Err(), traigo.ErrRefused) {
		r.leave(context.Cause(s.Context()))
		e.unlease(r)
		return nil, r.refused()
	}
	return r, nil
}

// cancelTimeoutOff keeps the end of a lease from being given up: it has bounds of its own.
var cancelTimeoutOff = traigo.CancelTimeout(math.MaxInt64)

// ID returns the workflow ID of the scope.
func (r *Remote) ID() string { return r.id }

// bounded returns an ID that the engine takes, and that goes into a header: it has at most 1,000 bytes,
// of ASCII. Another one is cut, and a hash keeps it apart from those that are equal then.
func bounded(id string) string {
	const maxID = 1000
	ascii := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '_'
		}
		return c
	}, id)
	if ascii == id && len(id) <= maxID {
		return id
	}
	hash := sha256.Sum256([]byte(id))
	return cut(ascii, maxID-17) + "-" + hex.EncodeToString(hash[:8])
}

// refused is the error of who comes after the end of the scope.
func (r *Remote) refused() error {
	if cause := context.Cause(r.scope.Context()); cause != nil {
		return fmt.Errorf("traigo: temporal: scope %q has ended: %w: %w", r.path, traigo.ErrRefused, cause)
	}
	return fmt.Errorf("traigo: temporal: scope %q has ended: %w", r.path, traigo.ErrRefused)
}

// start starts the scope's workflow, or takes over the one that has its id.
func (r *Remote) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.lease)
	defer cancel()
	options := client.StartWorkflowOptions{
		ID: r.id, TaskQueue: r.queue, StaticSummary: r.path, WorkflowTaskTimeout: r.taskTimeout(),
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}
	own := ownership{Owner: r.owner, Queue: r.engine.queue, Lease: r.lease}
	for {
		var started client.WorkflowRun
		var err error
		if r.isNamed {
			started, err = r.engine.client.SignalWithStartWorkflow(ctx, r.id, signalName, message{Own: &own}, options, scopeType, scopeInput{})
		} else {
			started, err = r.engine.client.ExecuteWorkflow(ctx, options, scopeType, scopeInput{Own: &own})
		}
		if err == nil {
			r.mu.Lock()
			r.run = started.GetRunID()
			r.mu.Unlock()
			return nil
		}
		if ctx.Err() == nil && !isRefusal(err) {
			pause(ctx, retryDelay)
		}
		if ctx.Err() != nil || isRefusal(err) || r.engine.isClosed() {
			return fmt.Errorf("%w at %s: the scope %q cannot be opened: %w", ErrEngine, r.engine.address, r.id, err)
		}
	}
}

// taskTimeout is the time after which a step of a workflow is given to another worker. A busy machine
// needs some seconds.
func (r *Remote) taskTimeout() time.Duration { return min(max(r.lease, 5*time.Second), 10*time.Second) }

// errLease returns the error of a lost lease.
func (r *Remote) errLease(why string) error {
	return fmt.Errorf("%w: scope %q (%s): %s", ErrLease, r.path, r.id, why)
}

// lose ends the scope because its lease is lost, or belongs to somebody else.
func (r *Remote) lose(why string) {
	r.mu.Lock()
	if r.lost != nil || r.isEnded {
		r.mu.Unlock()
		return
	}
	err := r.errLease(why)
	r.lost = err
	close(r.over)
	r.mu.Unlock()
	r.scope.Cancel(err)
}

// errLost returns the error of the lost lease; nil while it is not.
func (r *Remote) errLost() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// isHandedOver reports whether what ends with this cause goes on at the other side.
func (r *Remote) isHandedOver(cause error) bool { return r.isNamed && errors.Is(cause, ErrHandover) }

// taskID returns the workflow ID of a call of a function.
func (r *Remote) taskID(function string, in any) (string, error) {
	if !r.isNamed {
		return bounded(fmt.Sprintf("%s/%s-%d", r.id, function, r.tasks.Add(1))), nil
	}
	key, err := keyOf(function, in)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	r.equal[key]++
	k := r.equal[key]
	r.mu.Unlock()
	hash := sha256.Sum256(fmt.Appendf(nil, "%s %d", key, k))
	return bounded(r.id + "/" + function + "-" + hex.EncodeToString(hash[:10])), nil
}

// logHandover says that the remote side goes on.
func (r *Remote) logHandover() {
	slog.Info("traigo: the scope is handed over: its tasks go on until the lease ends or another owner resumes it", "id", r.id, "scope", r.path, "lease", r.lease)
}
