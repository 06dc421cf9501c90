package record

import (
	"cmp"
	"maps"
	"slices"

	"github.com/traigo/traigo"
)

// An alive is the set of scopes and tasks that have begun and not ended. A census in the log
// is a list of it.
//
// The recorder updates it with each event, under its lock, and for dropped events too. So at
// each place in the log it equals what is unfinished for a reader of all lines before that
// place, lost ones included: a census after a gap lists nothing that has ended, and misses
// nothing that has not. Snapshots of the scopes would need no memory before the first loss,
// but they describe another moment than the place in the log: a task is not in a snapshot
// between its TaskSpawned event and its place in the queue, and is still in one after
// TaskEnded, until the scope has taken the result. They also call foreign code for texts.
type alive struct {
	scopes map[*traigo.Scope]openScope
	tasks  map[*traigo.Task]liveTask
	latest int64                   // the highest time of an event
	sites  map[*traigo.Task]string // where tasks were spawned; nil unless that is asked for

	peakScopes, peakTasks int // sizes since the maps were made, as a map never shrinks
}

// An openScope has the fields of a scope in a census that the scope itself does not have.
type openScope struct {
	at, deadline int64
	by           *traigo.Task // the task that opened it
	root         bool         // no ancestor is observed
	site         string       // where it was opened
	state        string       // "" means open
	cause        string       // as in the census
}

// A liveTask is the time at which a task was spawned, shifted left by two state bits.
type liveTask int64

const (
	started liveTask = 1 << iota
	stuck
	stateBits
)

func newAlive() alive {
	return alive{scopes: make(map[*traigo.Scope]openScope), tasks: make(map[*traigo.Task]liveTask)}
}

// apply updates the set. d is used for events of scopes only.
func (a *alive) apply(t int64, e traigo.Event, d *details) {
	a.latest = max(a.latest, t)
	switch e.Kind {
	case traigo.TaskSpawned:
		a.tasks[e.Task] = liveTask(t) << stateBits
		a.peakTasks = max(a.peakTasks, len(a.tasks))
		if d.site != "" {
			a.setSite(e.Task, d.site)
		}
	case traigo.TaskStarted:
		a.tasks[e.Task] |= started
	case traigo.TaskEnded:
		delete(a.tasks, e.Task)
		a.tasks = shrink(a.tasks, &a.peakTasks)
		delete(a.sites, e.Task)
	case traigo.TaskStuck:
		if was, known := a.tasks[e.Task]; known { // the events of its end and of giving it up are concurrent
			a.tasks[e.Task] = was | stuck
		}
	case traigo.ScopeOpened:
		a.scopes[e.Scope] = openScope{at: t, deadline: d.deadline, by: d.by, site: d.site, root: !a.hasAncestor(e.Scope)}
		a.peakScopes = max(a.peakScopes, len(a.scopes))
	case traigo.ScopeFinalized:
		a.setState(e.Scope, "finalizing", "")
	case traigo.ScopeCanceled:
		a.setState(e.Scope, "canceling", d.cause)
	case traigo.ScopeClosed:
		delete(a.scopes, e.Scope)
		a.scopes = shrink(a.scopes, &a.peakScopes)
	default:
	}
}

func (a *alive) setState(s *traigo.Scope, state, cause string) {
	if was, known := a.scopes[s]; known {
		was.state, was.cause = state, cause
		a.scopes[s] = was
	}
}

func (a *alive) setSite(t *traigo.Task, at string) {
	if a.sites == nil {
		a.sites = make(map[*traigo.Task]string)
	}
	a.sites[t] = at
}

func (a *alive) hasAncestor(s *traigo.Scope) bool {
	for up := s.Parent(); up != nil; up = up.Parent() {
		if _, known := a.scopes[up]; known {
			return true
		}
	}
	return false
}

// shrink copies a map that has been much larger than it is now, to release its memory.
func shrink[K comparable, V any](m map[K]V, peak *int) map[K]V {
	const minPeak = 1 << 14
	if *peak < minPeak || len(m) > *peak/16 {
		return m
	}
	small := make(map[K]V, 2*len(m))
	maps.Copy(small, m)
	*peak = len(small)
	return small
}

func (a *alive) isEmpty() bool { return len(a.scopes)+len(a.tasks) == 0 }

func (a *alive) clone() alive {
	return alive{scopes: maps.Clone(a.scopes), tasks: maps.Clone(a.tasks), sites: maps.Clone(a.sites)}
}

// roots returns scopes such that all that is alive is in them or below: those without an
// observed ancestor, and the closed ones of tasks that were given up and have outlived them.
func (a *alive) roots() []*traigo.Scope {
	roots := make(map[*traigo.Scope]bool)
	for s, was := range a.scopes {
		if was.root {
			roots[s] = true
		}
	}
	for task := range a.tasks {
		s := task.Scope()
		if _, known := a.scopes[s]; !known && !a.hasAncestor(s) {
			roots[s] = true
		}
	}
	return slices.SortedFunc(maps.Keys(roots), byID)
}

func byID(a, b *traigo.Scope) int { return cmp.Compare(a.ID(), b.ID()) }

// census returns the lines that list what is alive at t: parents before children, each scope
// followed by its tasks. The scopes of a task that was given up may have closed before it
// ends; they are listed as closed.
func (a *alive) census(t int64) []byte {
	tasks := make(map[*traigo.Scope][]*traigo.Task)
	scopes := make(map[*traigo.Scope]openScope, len(a.scopes))
	maps.Copy(scopes, a.scopes)
	for task, was := range a.tasks {
		tasks[task.Scope()] = append(tasks[task.Scope()], task)
		for s := task.Scope(); s != nil; s = s.Parent() {
			if _, known := scopes[s]; known || s.State() != traigo.Closed {
				break // not closed and not known: it is not observed by this recorder
			}
			scopes[s] = openScope{at: int64(was >> stateBits), deadline: never, state: "closed"}
		}
	}

	n := len(scopes) + len(a.tasks)
	b := endLine(appendNumber(beginLine(make([]byte, 0, 128*(n+1)), t, "live"), "n", uint64(n)))
	for _, s := range slices.SortedFunc(maps.Keys(scopes), byID) {
		was := scopes[s]
		if _, known := a.tasks[was.by]; !known {
			was.by = nil // it has ended; a reader would take a task named in a census for alive
		}
		b = appendScope(b, was.at, s, was.deadline, was.by, was.site)
		b = appendString(b, "st", cmp.Or(was.state, "open"))
		if was.cause != "" {
			b = append(appendEscaped(append(b, `,"err":"`...), was.cause), '"')
		}
		b = endLine(b)

		slices.SortFunc(tasks[s], func(a, b *traigo.Task) int { return cmp.Compare(a.ID(), b.ID()) })
		for _, task := range tasks[s] {
			state := a.tasks[task]
			b = appendSpawn(b, int64(state>>stateBits), task, a.sites[task])
			b = endLine(appendString(b, "st", state.String()))
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
