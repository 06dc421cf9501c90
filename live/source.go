package live

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A SnapshotFunc takes the snapshot of a root, with more in it than Snapshot of the scope
// itself has: scopes of other processes, for instance, each with its Pid. actor.Snapshot of
// traigo's module actor is one.
//
// It should return when ctx is done, which is after 2 s, with what it has by then. An error
// that comes with a snapshot is shown as the note of the answer, beside the tree; lines of it
// are joined. If it returns an error and no snapshot, panics, or has not returned after 3 s,
// the scopes that live in this process are shown without the rest, and the note says why. A
// call that hangs is not repeated while it does, and at most 16 calls run at a time.
//
// Stacks in the snapshot are shown when stacks are asked for. Those of this process are added
// to it, and a note says of how many others there are none.
type SnapshotFunc func(ctx context.Context, s *traigo.Scope) (traigo.Snapshot, error)

// HandlerFunc is like [Handler], but takes the snapshots of the roots with a function:
//
//	live.HandlerFunc(actor.Snapshot, s)
//
// It panics if the function is nil, and where Handler does.
func HandlerFunc(take SnapshotFunc, roots ...*traigo.Scope) http.Handler {
	if take == nil {
		panic("live: HandlerFunc has been given a nil function")
	}
	return handlerOf("HandlerFunc", take, roots)
}

// RegisterFunc is like [Register], with the [HandlerFunc] of the roots.
func RegisterFunc(mux *http.ServeMux, take SnapshotFunc, roots ...*traigo.Scope) {
	if mux == nil {
		panic("live: RegisterFunc has been given a nil *http.ServeMux")
	}
	mount(mux, HandlerFunc(take, roots...))
}

const (
	askTimeout  = 2 * time.Second // after which the context of a SnapshotFunc is done
	takeTimeout = 3 * time.Second // how long it is waited for
	maxTakes    = 16              // calls of it that run at a time, with those that hang
)

// A taker takes the snapshots of roots. It calls foreign code, which may hang.
type taker struct {
	take  SnapshotFunc  // nil: Snapshot of the scope
	slots chan struct{} // a semaphore of maxTakes

	mu      sync.Mutex
	running map[*traigo.Scope]bool // roots whose calls have not returned
}

func newTaker(take SnapshotFunc) *taker {
	return &taker{take: take, slots: make(chan struct{}, maxTakes), running: make(map[*traigo.Scope]bool)}
}

// snapshots returns a snapshot of each root, and what is missing from them.
func (t *taker) snapshots(roots []*traigo.Scope) (shots []traigo.Snapshot, notes []string) {
	shots = make([]traigo.Snapshot, len(roots))
	if t.take == nil {
		for i, root := range roots {
			// root.Err must not be called: the outcome would count as received, and a failure
			// that nobody else asks for would no longer be logged.
			shots[i] = root.Snapshot()
		}
		return shots, nil
	}
	for i, r := range t.ask(roots) {
		if shots[i] = r.shot; r.shot.ID == 0 {
			shots[i] = roots[i].Snapshot()
		}
		switch {
		case !r.came:
			notes = append(notes, fmt.Sprintf("The function that takes the snapshots does not answer: of %s only this process is shown.", escape(roots[i].Path(), maxPathLen)))
		case r.note != "":
			notes = append(notes, r.note)
		}
	}
	return shots, notes
}

// A result is what a SnapshotFunc has returned for a root.
type result struct {
	root int // index
	shot traigo.Snapshot
	note string // the error
	came bool
}

// ask calls the function for each root, and returns what has come in time.
func (t *taker) ask(roots []*traigo.Scope) []result {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	patience := time.NewTimer(takeTimeout)
	defer patience.Stop()
	all := make([]result, len(roots))
	results := make(chan result, len(roots)) // with room for all, so that late ones wait for nobody
	asked := 0
	for i, root := range roots {
		if t.begin(ctx, root) {
			asked++
			go t.call(ctx, root, i, results)
		}
	}
	for ; asked > 0; asked-- {
		select {
		case r := <-results:
			all[r.root] = r
		case <-patience.C:
			return all
		}
	}
	return all
}

// begin reports whether the function may be called for a root: it waits until fewer than
// maxTakes calls run. The call of an earlier snapshot may still hang.
func (t *taker) begin(ctx context.Context, root *traigo.Scope) bool {
	if t.isRunning(root) {
		return false
	}
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running[root] = true
	return true
}

func (t *taker) isRunning(root *traigo.Scope) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running[root]
}

// call calls the function. A result is sent however it ends.
func (t *taker) call(ctx context.Context, root *traigo.Scope, i int, results chan<- result) {
	r := result{root: i, came: true, note: "The function that takes the snapshots has called runtime.Goexit."}
	defer func() {
		if value := recover(); value != nil {
			r.shot, r.note = traigo.Snapshot{}, "The function that takes the snapshots panicked: "+escape(fmt.Sprint(value), maxErrorLen)
		}
		t.end(root)
		results <- r
	}()
	shot, err := t.take(ctx, root)
	note := ""
	switch {
	case err != nil:
		note = noteOf(err)
	case shot.ID == 0:
		note = "The function that takes the snapshots has returned none."
	}
	r.shot, r.note = shot, note
}

func (t *taker) end(root *traigo.Scope) {
	t.mu.Lock()
	delete(t.running, root)
	t.mu.Unlock()
	<-t.slots
}

// noteOf returns the text of an error on one line.
func noteOf(err error) string {
	return escape(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "), maxErrorLen)
}

// stacksOf returns the stacks in snapshots, by what they are of.
func stacksOf(shots []traigo.Snapshot, stacks map[nodeID]string) {
	for i := range shots {
		s := &shots[i]
		stacks[nodeID{scope: s.ID}] = s.Stack
		eachTask(s, func(id nodeID, t *traigo.TaskSnapshot) { stacks[id] = t.Stack })
		stacksOf(s.Scopes, stacks)
	}
}

// withStacks returns a copy of snapshots in which what has no stack has the one in stacks.
func withStacks(shots []traigo.Snapshot, stacks map[nodeID]string) []traigo.Snapshot {
	copied := append([]traigo.Snapshot(nil), shots...)
	for i := range copied {
		s := &copied[i]
		if s.Stack == "" {
			s.Stack = stacks[nodeID{scope: s.ID}]
		}
		s.Tasks = append([]traigo.TaskSnapshot(nil), s.Tasks...)
		eachTask(s, func(id nodeID, t *traigo.TaskSnapshot) {
			if t.Stack == "" {
				t.Stack = stacks[id]
			}
		})
		s.Scopes = withStacks(s.Scopes, stacks)
	}
	return copied
}

// eachTask calls visit for each task and abandoned call of a scope.
func eachTask(s *traigo.Snapshot, visit func(id nodeID, t *traigo.TaskSnapshot)) {
	calls := make(map[uint64]int)
	for i := range s.Tasks {
		t := &s.Tasks[i]
		id := nodeID{scope: s.ID, task: t.ID}
		if t.State == stateAbandoned {
			calls[t.ID]++
			id.call = calls[t.ID]
		}
		visit(id, t)
	}
}

// processesWithout returns the other processes that have tasks, and no stack of any.
func processesWithout(shots []traigo.Snapshot) int {
	has := make(map[int]bool)
	var visit func(shots []traigo.Snapshot)
	visit = func(shots []traigo.Snapshot) {
		for i := range shots {
			s := &shots[i]
			for _, t := range s.Tasks {
				has[s.Pid] = has[s.Pid] || t.Stack != ""
			}
			visit(s.Scopes)
		}
	}
	visit(shots)
	without := 0
	for pid, some := range has {
		if pid != 0 && !some {
			without++
		}
	}
	return without
}
