package record

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"weak"

	"github.com/traigo/traigo"
)

// A Starter says what has started a process: a task of a scope of another process. With it
// a reader of the logs of both puts the scopes of the one below the task of the other.
type Starter struct {
	Run   string // the run of the starter's recording, see [RunOf]; "" if it does not record itself
	PID   int    // the process of the starter
	Scope uint64 // ID of the scope that has started the process
	Task  uint64 // ID of the task of that scope that stands for the process; 0 if none does
}

// StartedBy writes into the first line of the log, and of each file of a rotated one, what
// has started this process. Each process of a tree has a log of its own, since only that
// survives any end of the process; history.ReadDir reads all of a directory as one.
//
// The starter's recording is found by its run. Without a run, or if the recording of that
// run is not there, it is found by the number of its process.
//
// StartedBy panics if the PID is not positive or the scope is 0.
func StartedBy(by Starter) Option {
	if by.PID <= 0 || by.Scope == 0 {
		panic(fmt.Sprintf("record: StartedBy(PID %d, scope %d): both must be positive", by.PID, by.Scope))
	}
	return func(s *settings) { s.by = &by }
}

// appendStarter appends the key of the first line that has the starter.
func appendStarter(b []byte, by *Starter) []byte {
	b = append(b, `,"by":{"pid":`...)
	b = strconv.AppendInt(b, int64(by.PID), 10)
	if by.Run != "" {
		b = appendString(b, "run", by.Run)
	}
	b = appendNumber(b, "scope", by.Scope)
	if by.Task != 0 {
		b = appendNumber(b, "task", by.Task)
	}
	return append(b, '}')
}

// RunOf returns the run of a recorder in this process that observes s, which is open: what
// identifies its recording in the first line of the log. Of several it is the one that was
// created last. RunOf returns "" if there is none, because nobody records s, the recorder
// or the scope has been closed, or s is nil.
//
// It is for code that starts processes, and gives them the [Starter] of their recordings:
// so users need not hand their recorder to it.
func RunOf(s *traigo.Scope) string {
	for _, r := range slices.Backward(recorders.list()) {
		if r.observes(s) {
			return r.run
		}
	}
	return ""
}

// observes reports whether s is alive for the recorder.
func (r *Recorder) observes(s *traigo.Scope) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.alive.scopes[s]
	return known
}

// recorders has the recorders of this process that have not been closed. It is the only
// state of the package: a scope does not tell its observers.
var recorders registry

// A registry is a list of recorders in the order of their creation. It holds them weakly: a
// Durable recorder has no goroutine, and may be forgotten without having been closed.
type registry struct {
	mu   sync.Mutex // a leaf: the mu of a recorder is not locked under it either
	open []weak.Pointer[Recorder]
}

func (g *registry) add(r *Recorder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = append(slices.DeleteFunc(g.open, func(p weak.Pointer[Recorder]) bool { return p.Value() == nil }), weak.Make(r))
}

func (g *registry) remove(r *Recorder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = slices.DeleteFunc(g.open, func(p weak.Pointer[Recorder]) bool { return p == weak.Make(r) })
}

func (g *registry) list() []*Recorder {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*Recorder, 0, len(g.open))
	for _, p := range g.open {
		if r := p.Value(); r != nil {
			all = append(all, r)
		}
	}
	return all
}
