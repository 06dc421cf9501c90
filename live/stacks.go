package live

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// maxGoroutines are dumped without ?stacks=force, which stops the program for some 40 ms.
const maxGoroutines = 10_000

// checkDumpCost returns an error if a dump would stop the program for long, unless the
// query asks for it nevertheless.
func (h *handler) checkDumpCost(q query) error {
	if n := runtime.NumGoroutine(); n > maxGoroutines && !q.force {
		return statusError{http.StatusConflict, fmt.Sprintf(
			"there are %s goroutines: to write their stacks would stop the program for about %v; ?stacks=force does it nevertheless",
			withCommas(n), h.looker.expectedCost(n).Round(100*time.Millisecond))}
	}
	return nil
}

// userFrames leaves out the frames by which package traigo called the function of a task.
// They say nothing about the task, and are not the same for all tasks.
func userFrames(stack string) string {
	below := max(strings.LastIndex(stack, "traigo.(*Task).call("), strings.LastIndex(stack, "traigo.(*call).run("))
	if below < 0 {
		return stack
	}
	return stack[:strings.LastIndexByte(stack[:below], '\n')+1]
}

// dump returns dumps of the roots. They are a look, too. Only h.dumps calls it.
func (h *handler) dump() []traigo.Snapshot {
	roots, _ := h.source()
	return h.looker.dump(roots)
}

// snapshotWithStacks returns a snapshot with stacks. The warnings are those of a snapshot
// without stacks that is taken first.
func (h *handler) snapshotWithStacks(r *http.Request, q query) (*snapshot, error) {
	if err := h.checkDumpCost(q); err != nil {
		return nil, err
	}
	s, err := h.snapshots.get(r.Context(), struct{}{})
	if err != nil {
		return nil, err
	}
	dumps, err := h.dumps.get(r.Context(), struct{}{})
	if err != nil {
		return nil, err
	}
	if s.shots != nil {
		stacks := make(map[nodeID]string)
		stacksOf(dumps, stacks)
		dumps = withStacks(s.shots, stacks)
	}
	dumped := newSnapshot(dumps, time.Now(), h.looker.get(), &lintState{})
	dumped.counts, dumped.warnings, dumped.recheck, dumped.ended, dumped.limiters = s.counts, s.warnings, s.recheck, s.ended, s.limiters
	dumped.note = s.note
	dumped.copyWarnings(s)
	if n := processesWithout(dumps); n > 0 {
		dumped.addNotes(fmt.Sprintf("There are no stacks of %s here.", pluralOf(n, "other process", "other processes")))
	}
	return dumped, nil
}

// copyWarnings gives the nodes of s the warnings that they have in another snapshot.
func (s *snapshot) copyWarnings(other *snapshot) {
	warned := make(map[nodeID][]string)
	for _, root := range other.roots {
		root.walk(nil, func(n, _ *node) {
			if n.Warnings != nil {
				warned[n.nodeID] = n.Warnings
			}
		})
	}
	for _, root := range s.roots {
		root.walk(nil, func(n, _ *node) { n.Warnings = warned[n.nodeID] })
	}
}

// serveStack serves the stack of one task, or of the body of a scope, as text.
func (h *handler) serveStack(w http.ResponseWriter, r *http.Request) {
	text, err := h.stackOf(r)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

func (h *handler) stackOf(r *http.Request) (string, error) {
	values := r.URL.Query()
	q, err := parseQuery(values)
	if err != nil {
		return "", statusError{http.StatusBadRequest, err.Error()}
	}
	task, err := idParam(values, "task")
	if err != nil || q.scope == 0 {
		return "", statusError{http.StatusBadRequest, "stack needs ?scope=ID, and ?task=ID unless it is that of the body"}
	}
	if err := h.checkDumpCost(q); err != nil {
		return "", err
	}
	s, err := h.snapshots.get(r.Context(), struct{}{})
	if err != nil {
		return "", err
	}
	if len(s.find(query{scope: q.scope})) == 0 {
		return "", statusError{http.StatusNotFound, "the scope has closed"}
	}
	dumps, err := h.dumps.get(r.Context(), struct{}{})
	if err != nil {
		return "", err
	}
	pid := 0
	for _, shots := range [][]traigo.Snapshot{dumps, s.shots} {
		scope := scopeIn(shots, q.scope)
		if scope == nil {
			continue
		}
		if stack := stackIn(scope, task, values.Has("call")); stack != "" {
			return stack, nil
		}
		pid = scope.Pid
	}
	if pid != 0 {
		return "", statusError{http.StatusNotFound, fmt.Sprintf("its stack is not known here: it is in process %d, which has not given one", pid)}
	}
	return "", statusError{http.StatusNotFound, "it has no stack of its own: it has ended, has not started, or never had one"}
}

// scopeIn returns the snapshot of the scope with this ID; nil if there is none.
func scopeIn(shots []traigo.Snapshot, id uint64) *traigo.Snapshot {
	for i := range shots {
		if shots[i].ID == id {
			return &shots[i]
		}
		if found := scopeIn(shots[i].Scopes, id); found != nil {
			return found
		}
	}
	return nil
}

// stackIn returns the stack of a task of the scope, or that of the scope's body if task is
// 0; if ofCalls is set, the stacks of the calls that the task, or the body, has abandoned.
func stackIn(s *traigo.Snapshot, task uint64, ofCalls bool) string {
	if task == 0 && !ofCalls {
		return s.Stack
	}
	var stacks []string
	for _, t := range s.Tasks {
		if t.ID == task && (t.State == stateAbandoned) == ofCalls && t.Stack != "" {
			stacks = append(stacks, userFrames(t.Stack))
		}
	}
	return strings.Join(stacks, "\n")
}

// stackShape returns the stack without numbers of goroutines, times, addresses and
// arguments, so that goroutines at the same place have the same stack.
func stackShape(stack string) string {
	if stack == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(stack) {
		line = strings.TrimSuffix(line, "\n")
		if name, _, found := strings.Cut(line, " in goroutine "); found {
			line = name // the line "created by"
		}
		if !strings.HasPrefix(line, "goroutine ") {
			line, _, _ = strings.Cut(line, "(0x")
			line, _, _ = strings.Cut(line, "({0x")
			line, _, _ = strings.Cut(line, " +0x")
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
