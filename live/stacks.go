package live

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// Dumps stop the program, so they are made on demand only: one a second at most, and
// none that would take long unless that is said to be meant.

// mostGoroutines is what a dump may cost without a word: some 40 ms.
const mostGoroutines = 10_000

// mostDumps is of how many roots one answer has stacks: each is a dump of its own.
const mostDumps = 8

// affordable refuses a dump that would stop the program for long.
func affordable(q query) error {
	if n := runtime.NumGoroutine(); n > mostGoroutines && !q.force {
		return refusal{http.StatusConflict, fmt.Sprintf(
			"there are %s goroutines: to write their stacks would stop the program for about %v; ?stacks=force does it nevertheless",
			number(n), (time.Duration(n) * 20 * time.Microsecond).Round(100*time.Millisecond))}
	}
	return nil
}

// ownFrames leaves out how the scope came to call the function of a task: it says
// nothing, and is not the same for all.
func ownFrames(stack string) string {
	below := max(strings.LastIndex(stack, "traigo.(*Task).call("), strings.LastIndex(stack, "traigo.(*call).run("))
	if below < 0 {
		return stack
	}
	return stack[:strings.LastIndexByte(stack[:below], '\n')+1]
}

// rootIDs are the roots of a dump; 0 is none.
type rootIDs [mostDumps]uint64

// dump is what the camera for dumps takes. A root that has gone is left out.
func (h *handler) dump(ids rootIDs) (shots []traigo.Snapshot) {
	roots, _ := h.source()
	for _, s := range roots {
		if slices.Contains(ids[:], s.ID()) {
			shots = append(shots, s.Dump())
		}
	}
	return shots
}

// lookWithStacks is a look whose trees are dumps. It knows the warnings, but adds
// nothing to what is remembered for them.
func (h *handler) lookWithStacks(r *http.Request, q query) (*look, error) {
	if err := affordable(q); err != nil {
		return nil, err
	}
	l, err := h.looks.get(r.Context(), struct{}{})
	if err != nil {
		return nil, err
	}
	roots := l.roots
	if q.scope != 0 || q.path != "" {
		roots = l.rootsOf(l.find(q))
	}
	var ids rootIDs
	for i, root := range roots[:min(len(roots), mostDumps)] {
		ids[i] = root.ID
	}
	shots, err := h.dumps.get(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	dumped := newLook(shots, time.Now(), &memory{})
	dumped.census, dumped.warnings, dumped.recheck, dumped.ended = l.census, l.warnings, l.recheck, l.ended
	dumped.mark(l)
	if len(roots) > mostDumps {
		dumped.note = fmt.Sprintf("Stacks are those of the first %d of %d roots: ask for others with ?scope=ID.", mostDumps, len(roots))
	}
	return dumped, nil
}

// rootsOf are the roots that have some of the nodes in them.
func (l *look) rootsOf(nodes []*node) (roots []*node) {
	wanted := make(map[*node]bool, len(nodes))
	for _, n := range nodes {
		wanted[n] = true
	}
	for _, root := range l.roots {
		has := false
		root.each(nil, func(n, _ *node) { has = has || wanted[n] })
		if has {
			roots = append(roots, root)
		}
	}
	return roots
}

// mark takes over the warnings of another look.
func (l *look) mark(other *look) {
	warned := make(map[who][]string)
	for _, root := range other.roots {
		root.each(nil, func(n, _ *node) {
			if n.Warnings != nil {
				warned[n.who] = n.Warnings
			}
		})
	}
	for _, root := range l.roots {
		root.each(nil, func(n, _ *node) { n.Warnings = warned[n.who] })
	}
}

// serveStack answers with the stack of one task, or of the body of a scope.
func (h *handler) serveStack(w http.ResponseWriter, r *http.Request) {
	text, err := h.stackOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

func (h *handler) stackOf(r *http.Request) (string, error) {
	values := r.URL.Query()
	q, err := parseQuery(values)
	if err != nil {
		return "", refusal{http.StatusBadRequest, err.Error()}
	}
	task, err := numberIn(values, "task")
	if err != nil || q.scope == 0 {
		return "", refusal{http.StatusBadRequest, "stack needs ?scope=ID, and ?task=ID unless it is that of the body"}
	}
	if err := affordable(q); err != nil {
		return "", err
	}
	l, err := h.looks.get(r.Context(), struct{}{})
	if err != nil {
		return "", err
	}
	root, found := l.rootOf(q.scope)
	if !found {
		return "", refusal{http.StatusNotFound, "the scope has closed"}
	}
	shots, err := h.dumps.get(r.Context(), rootIDs{root})
	if err != nil {
		return "", err
	}
	stack := stackIn(shots, q.scope, task, values.Has("call"))
	if stack == "" {
		return "", refusal{http.StatusNotFound, "it has no stack of its own: it has ended, has not started, or never had one"}
	}
	return stack, nil
}

// stackIn is the stack of a task, or with 0 of the body; or of the calls that it has
// abandoned. A task that was given up is found where it is shown: not in its scope, if that
// has closed.
func stackIn(shots []traigo.Snapshot, scope, task uint64, ofCalls bool) string {
	var stacks []string
	for _, shot := range shots {
		if shot.ID == scope && task == 0 && !ofCalls {
			return shot.Stack
		}
		for _, t := range shot.Tasks {
			if t.Scope == scope && t.ID == task && (t.State == stateAbandoned) == ofCalls && t.Stack != "" {
				stacks = append(stacks, ownFrames(t.Stack))
			}
		}
		if stack := stackIn(shot.Scopes, scope, task, ofCalls); stack != "" {
			stacks = append(stacks, stack)
		}
	}
	return strings.Join(stacks, "\n")
}

// rootOf finds the root that has the scope in it, or what is left of it.
func (l *look) rootOf(scope uint64) (root uint64, found bool) {
	i := slices.IndexFunc(l.roots, func(root *node) bool {
		isIn := false
		root.each(nil, func(n, _ *node) { isIn = isIn || n.who.scope == scope })
		return isIn
	})
	if i < 0 {
		return 0, false
	}
	return l.roots[i].ID, true
}

// stackShape is a stack without what differs between equal ones: the number of the
// goroutine, how long it waits, addresses and arguments.
func stackShape(stack string) string {
	if stack == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(stack) {
		line = strings.TrimSuffix(line, "\n")
		if name, _, found := strings.Cut(line, " in goroutine "); found {
			line = name // created by
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
