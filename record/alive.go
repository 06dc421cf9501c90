package record

import (
	"cmp"
	"maps"
	"slices"

	"github.com/traigo/traigo"
)

// An alive is everything that has begun and not ended: what a census lists.
//
// It is kept by the recorder itself, event by event and under its lock, also where an
// event is dropped. So at each place in the log it is exactly what a reader who had all
// the lines before that place would find unfinished, and a census cannot miss what is
// alive, nor bring back what has ended. Snapshots of the scopes would cost nothing until
// one is needed, but they are about another moment than the place in the log: a task is
// not in them between TaskSpawned and its place in the queue, and still is after TaskEnded,
// until its scope has dealt with the result. Also their texts call foreign code.
type alive struct {
	scopes map[*traigo.Scope]openScope
	tasks  map[*traigo.Task]liveTask
	latest int64 // time of any event

	mostScopes, mostTasks int // since the maps were made: they do not shrink by themselves
}

// An openScope is what a census says of a scope beyond what that says itself.
type openScope struct {
	at, deadline int64
	by           *traigo.Task // that opened it
	root         bool         // it has no ancestor here
	state        string       // "" while it is open
	cause        string       // as a census has it: no longer than it may be
}

// A liveTask is when it was spawned, and below that two bits.
type liveTask int64

const (
	started liveTask = 1 << iota
	stuck
	stateBits
)

func newAlive() alive {
	return alive{scopes: make(map[*traigo.Scope]openScope), tasks: make(map[*traigo.Task]liveTask)}
}

// note takes an event in. d may be nil where the event has no details.
func (a *alive) note(t int64, e traigo.Event, d *details) {
	a.latest = max(a.latest, t)
	switch e.Kind {
	case traigo.TaskSpawned:
		a.tasks[e.Task] = liveTask(t) << stateBits
		a.mostTasks = max(a.mostTasks, len(a.tasks))
	case traigo.TaskStarted:
		a.tasks[e.Task] |= started
	case traigo.TaskEnded:
		delete(a.tasks, e.Task)
		a.tasks = shrunk(a.tasks, &a.mostTasks)
	case traigo.TaskStuck:
		if was, known := a.tasks[e.Task]; known { // its end may have come before
			a.tasks[e.Task] = was | stuck
		}
	case traigo.ScopeOpened:
		a.scopes[e.Scope] = openScope{at: t, deadline: d.deadline, by: d.by, root: !a.isBelow(e.Scope)}
		a.mostScopes = max(a.mostScopes, len(a.scopes))
	case traigo.ScopeFinalized:
		a.move(e.Scope, "finalizing", "")
	case traigo.ScopeCanceled:
		a.move(e.Scope, "canceling", d.cause)
	case traigo.ScopeClosed:
		delete(a.scopes, e.Scope)
		a.scopes = shrunk(a.scopes, &a.mostScopes)
	default:
	}
}

func (a *alive) move(s *traigo.Scope, state, cause string) {
	if was, known := a.scopes[s]; known {
		was.state, was.cause = state, cause
		a.scopes[s] = was
	}
}

func (a *alive) isBelow(s *traigo.Scope) bool {
	for up := s.Parent(); up != nil; up = up.Parent() {
		if _, known := a.scopes[up]; known {
			return true
		}
	}
	return false
}

// shrunk gives back what a crowd has needed that is gone.
func shrunk[K comparable, V any](m map[K]V, most *int) map[K]V {
	const worthIt = 1 << 14
	if *most < worthIt || len(m) > *most/16 {
		return m
	}
	small := make(map[K]V, 2*len(m))
	maps.Copy(small, m)
	*most = len(small)
	return small
}

func (a *alive) isEmpty() bool { return len(a.scopes)+len(a.tasks) == 0 }

func (a *alive) clone() alive {
	return alive{scopes: maps.Clone(a.scopes), tasks: maps.Clone(a.tasks)}
}

// census is the list of what is alive at t: parents first, each scope followed by its
// tasks. A task that was given up may have outlived its scopes; they are listed as closed.
func (a *alive) census(t int64) []byte {
	tasks := make(map[*traigo.Scope][]*traigo.Task)
	scopes := make(map[*traigo.Scope]openScope, len(a.scopes))
	maps.Copy(scopes, a.scopes)
	for task, was := range a.tasks {
		tasks[task.Scope()] = append(tasks[task.Scope()], task)
		for s := task.Scope(); s != nil; s = s.Parent() {
			if _, known := scopes[s]; known || s.State() != traigo.Closed {
				break // or it is above what is observed here
			}
			scopes[s] = openScope{at: int64(was >> stateBits), deadline: never, state: "closed"}
		}
	}

	n := len(scopes) + len(a.tasks)
	b := end(appendNumber(begin(make([]byte, 0, 128*(n+1)), t, "live"), "n", uint64(n)))
	byID := func(a, b *traigo.Scope) int { return cmp.Compare(a.ID(), b.ID()) }
	for _, s := range slices.SortedFunc(maps.Keys(scopes), byID) {
		was := scopes[s]
		if _, known := a.tasks[was.by]; !known {
			was.by = nil // it has ended, and only for its name a reader would take it as alive
		}
		b = appendScope(b, was.at, s, was.deadline, was.by)
		b = appendKey(b, "st", cmp.Or(was.state, "open"))
		if was.cause != "" {
			b = append(appendEscaped(append(b, `,"err":"`...), was.cause), '"')
		}
		b = end(b)

		slices.SortFunc(tasks[s], func(a, b *traigo.Task) int { return cmp.Compare(a.ID(), b.ID()) })
		for _, task := range tasks[s] {
			state := a.tasks[task]
			b = appendSpawn(b, int64(state>>stateBits), task)
			b = end(appendKey(b, "st", state.String()))
		}
	}
	return b
}

func (t liveTask) String() string {
	switch {
	case t&stuck != 0:
		return "stuck"
	case t&started != 0:
		return "running"
	default:
		return "queued"
	}
}
