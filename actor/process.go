package actor

import (
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traigo/traigo"
)

// here is this process, as a part of the tree.
var here = &process{id: ID{Path: rootName, Pid: os.Getpid(), Host: hostname()}, children: map[*Actor]struct{}{}}

// A process is what one process knows of itself and of its children.
type process struct {
	isActor atomic.Bool             // it was started by Start or Spawn
	parent  atomic.Pointer[session] // of an actor
	host    atomic.Pointer[host]    // likewise
	clock   clock
	pauses  pauses

	mu        sync.Mutex
	id        ID
	where     string // the text of id; "" before it is needed
	children  map[*Actor]struct{}
	record    string        // the folder that Record has named above
	given     time.Duration // to end in, by its parent; 0 if that has not asked
	registrar string        // the socket that Find asks; in the root that of own
	own       *registrar    // that this process has; nil without actors, and in an actor
	users     int           // of own
}

func (p *process) add(a *Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.children[a] = struct{}{}
	if p.clock.paused() { // tellPause may have been here before; if it comes later, it has the last word
		a.link.outbox.post(tellPause, 0, true)
	}
}

func (p *process) remove(a *Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.children, a)
}

func (p *process) all() []*Actor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.children))
}

// recordDir returns the folder for the recording of a child: its own, or that of this process.
func (p *process) recordDir(own string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own != "" {
		return own
	}
	return p.record
}

// graceFor returns how long a child has to end. If this process was itself asked to end, that
// is less than what it has, so that it can still kill the child, and tell of it.
func (p *process) graceFor(grace time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given > 0 {
		return min(grace, p.given*3/4)
	}
	return grace
}

// become makes this process the actor that its parent says it is.
func (p *process) become(b *begin) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id.Path, p.record, p.registrar = b.Path, b.Record, b.Registrar
	p.where = ""
	p.isActor.Store(true)
	return p.id
}

// explain returns the cause for which something elsewhere is to be canceled, with a *Canceled of this
// actor in it if that was canceled itself.
func (p *process) explain(cause error) error {
	if h := p.host.Load(); h != nil && cause != nil && h.canceled.Load() != nil {
		if by, ok := h.explain(cause).(*Canceled); ok && !by.isOwn {
			return by
		}
	}
	return cause
}

// asRemote returns an error as it travels.
func asRemote(err error) *traigo.RemoteError { return bounded(traigo.AsRemote(err, here.String())) }

// String returns the text of the ID. It is made once: who cancels a call does not wait for it.
func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.where == "" {
		p.where = p.id.String()
	}
	return p.where
}
