package traigo_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// A trace is an observer that checks, event by event, that the story of each
// scope is a path of the state table and that of each task its life.
type trace struct {
	mu     sync.Mutex
	scopes map[*traigo.Scope]traigo.State
	tasks  map[*traigo.Task]traigo.EventKind
	faults []error
	done   bool
}

func newTrace() *trace {
	return &trace{scopes: map[*traigo.Scope]traigo.State{}, tasks: map[*traigo.Task]traigo.EventKind{}}
}

var stateAfter = map[traigo.EventKind]traigo.State{
	traigo.ScopeFinalized: traigo.Finalizing,
	traigo.ScopeCanceled:  traigo.Canceling,
	traigo.ScopeClosed:    traigo.Closed,
}

func (tr *trace) Observe(e traigo.Event) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	at, known := tr.scopes[e.Scope]
	switch to, isState := stateAfter[e.Kind]; {
	case tr.done:
		tr.fault(e, "after Run has returned")
	case e.Kind == traigo.ScopeOpened:
		if known {
			tr.fault(e, "twice")
		}
		tr.scopes[e.Scope] = traigo.Open
	case !known:
		tr.fault(e, "before the scope was opened")
	case at == traigo.Closed:
		tr.fault(e, "after the scope was closed")
	case isState:
		if !leads(at, to) {
			tr.fault(e, "from "+at.String())
		}
		tr.scopes[e.Scope] = to
	default:
		tr.task(e)
	}
}

// leads reports whether the table has an arrow from one state to another.
func leads(from, to traigo.State) bool {
	_, inputs, next := traigo.StateTable()
	for in := range inputs {
		if from != to && next(from, in) == to {
			return true
		}
	}
	return false
}

func (tr *trace) task(e traigo.Event) {
	last, known := tr.tasks[e.Task]
	ok := false
	switch e.Kind {
	case traigo.TaskSpawned:
		ok = !known
	case traigo.TaskStarted:
		ok = known && last == traigo.TaskSpawned
	case traigo.TaskReady, traigo.TaskAbandoned, traigo.TaskStuck:
		ok = known && (last == traigo.TaskStarted || last == traigo.TaskReady)
	case traigo.TaskEnded:
		ok = known && last != traigo.TaskEnded && last != traigo.TaskSpawned
	}
	if !ok {
		tr.fault(e, fmt.Sprintf("after %v", last))
	}
	tr.tasks[e.Task] = e.Kind
}

func (tr *trace) fault(e traigo.Event, what string) {
	tr.faults = append(tr.faults, fmt.Errorf("scope %d: %v %s", e.Scope.ID(), e.Kind, what))
}

// check is called when Run has returned: the story must be complete.
func (tr *trace) check() []error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.done = true
	for s, at := range tr.scopes {
		if at != traigo.Closed {
			tr.faults = append(tr.faults, fmt.Errorf("the story of scope %d ends in %v", s.ID(), at))
		}
	}
	for t, last := range tr.tasks {
		if last != traigo.TaskEnded {
			tr.faults = append(tr.faults, fmt.Errorf("the story of task %d of scope %d ends with %v", t.ID(), t.Scope().ID(), last))
		}
	}
	return tr.faults
}

// An observer's story of any program is a path of the state table, and complete
// when Run returns. Whoever looks for a race here: effects applied in another
// order than decided were seen in one of some 20,000 runs.
func TestObserverHearsAPathOfTheStateTable(t *testing.T) {
	runs := 20_000
	if testing.Short() {
		runs = 2_000
	}
	quiet := traigo.Logger(slog.New(slog.DiscardHandler))
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			p, tr := newProgram(uint64(seed), 20), newTrace()
			_ = p.run(context.Background(), quiet, traigo.Observe(tr))
			story := tr.check()
			require.NoError(t, p.check(), "seed %d, story: %v", seed, story)
			require.Empty(t, story, "seed %d", seed)
		})
	}
}
