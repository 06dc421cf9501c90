package live

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// The kinds of nodes.
const (
	kindScope = "scope"
	kindTask  = "task"
)

// A node is a scope or a task as it is shown, or several with alike names that fold has
// made one. Its JSON keys are described in doc.go.
type node struct {
	Key       string        `json:"key"`
	Kind      string        `json:"kind"`
	ID        uint64        `json:"id,omitempty"`
	Scope     uint64        `json:"scope,omitempty"`
	Name      string        `json:"name"`
	Path      string        `json:"path"`
	Pid       int           `json:"pid,omitempty"`
	Processes int           `json:"processes,omitempty"`
	State     string        `json:"state"`
	Since     time.Time     `json:"since"`
	Newest    time.Time     `json:"newest,omitzero"`
	Deadline  time.Time     `json:"deadline,omitzero"`
	Cause     string        `json:"cause,omitempty"`
	Flags     []string      `json:"flags,omitempty"`
	Limit     int           `json:"limit,omitempty"`
	Waiting   int           `json:"waiting,omitempty"`
	Blocked   []string      `json:"blocked,omitempty"`
	Holders   []string      `json:"holders,omitempty"`
	Unawaited []string      `json:"unawaited,omitempty"`
	Warnings  []string      `json:"warnings,omitempty"`
	Waits     string        `json:"waits,omitempty"`
	From      time.Time     `json:"from,omitzero"`
	For       time.Duration `json:"for,omitempty"`
	At        string        `json:"at,omitempty"`
	Stack     string        `json:"stack,omitempty"`

	// Of several that were folded:
	Count    int            `json:"count,omitempty"`
	States   map[string]int `json:"states,omitempty"`
	Standing []standing     `json:"standing,omitempty"`
	Members  []*node        `json:"members,omitempty"` // set by addMembers

	Below []*node `json:"below,omitempty"`
	More  int     `json:"more,omitempty"`

	nodeID      nodeID
	shape       uint64      // siblings with the same shape may be folded: see setShapes
	folded      []*node     // those that were folded into this node
	hasWarning  bool        // a lint has found something in this node or below it
	canceledAt  time.Time   // of a scope: when it was canceled, as far as that is known
	wasLongOpen bool        // of a scope: an earlier snapshot saw it open for reportAfter
	stats       *childStats // of a scope: made by childStats when first needed
	awaited     bool        // of a task
	place       *place      // from the last look; nil if that has none
}

// newTree turns a scope into a tree of nodes. A scope that a task has opened is below
// that task.
func newTree(s traigo.Snapshot, now time.Time) *node {
	n := &node{
		nodeID: nodeID{scope: s.ID}, Kind: kindScope,
		ID: s.ID, Name: escape(s.Name, maxNameLen), Path: s.Path, Pid: s.Pid, State: s.State.String(),
		Since: s.Opened, Deadline: s.Deadline, Cause: escape(firstLine(s.Cause), maxNameLen),
		Limit: s.Limit, Waiting: s.Waiting, Blocked: escapeAll(s.Blocked[:min(len(s.Blocked), maxExamples)]),
		Holders: holdersOf(s), Unawaited: escapeAll(s.Unawaited), Waits: s.Waits, For: s.For, At: escape(s.At, maxNameLen), Stack: s.Stack,
		Below: make([]*node, 0, len(s.Tasks)+len(s.Scopes)),
	}
	tasks := make([]node, len(s.Tasks)) // in one allocation: there may be 100,000
	var calls map[nodeID]int            // how many abandoned calls of a task there are
	for i := range s.Tasks {
		tasks[i].setTask(&s.Tasks[i], n, now)
		if tasks[i].State == stateAbandoned { // a call, of which a task may have several
			if calls == nil {
				calls = make(map[nodeID]int)
			}
			calls[tasks[i].nodeID]++
			tasks[i].nodeID.call = calls[tasks[i].nodeID]
		}
		n.Below = append(n.Below, &tasks[i])
	}
	openers := openersOf(s, n.Below)
	for _, below := range s.Scopes {
		parent := n
		if opener := openers[below.Task]; opener != nil {
			parent = opener
		}
		parent.Below = append(parent.Below, newTree(below, now))
	}
	return n
}

// holdersOf returns paths of tasks that have a slot under the Limit of s, if something waits for
// one. A call that was abandoned keeps the slot of its task.
func holdersOf(s traigo.Snapshot) (paths []string) {
	if s.Waiting == 0 {
		return nil
	}
	for _, t := range s.Tasks {
		hasSlot := t.Awaited && t.Scope == s.ID && t.State != stateGivenUp
		if path := escape(t.Path, maxPathLen); hasSlot && !slices.Contains(paths, path) {
			if paths = append(paths, path); len(paths) == maxExamples {
				break
			}
		}
	}
	return paths
}

// escapeAll returns the names escaped.
func escapeAll(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = escape(name, maxNameLen)
	}
	return all
}

// openersOf returns the tasks of s by ID, if any of them may have opened a scope.
func openersOf(s traigo.Snapshot, tasks []*node) map[uint64]*node {
	if !slices.ContainsFunc(s.Scopes, func(below traigo.Snapshot) bool { return below.Task != 0 }) {
		return nil
	}
	openers := make(map[uint64]*node, len(tasks))
	for _, t := range tasks {
		if t.State != stateAbandoned { // an abandoned call has the ID of its task
			openers[t.ID] = t
		}
	}
	return openers
}

// The states of tasks, as in traigo.TaskSnapshot.
const (
	stateQueued    = "queued"
	stateRunning   = "running"
	stateCanceling = "canceling"
	stateGivenUp   = "given up"
	stateAbandoned = "abandoned"
)

// setTask makes n the node of task t of a scope.
func (n *node) setTask(t *traigo.TaskSnapshot, scope *node, now time.Time) {
	*n = node{
		nodeID: nodeID{scope: scope.ID, task: t.ID}, Kind: kindTask,
		ID: t.ID, Scope: scope.ID, Name: escape(t.Name, maxNameLen), Path: t.Path, State: t.State,
		Since: t.Spawned, Deadline: t.Deadline, Cause: escape(firstLine(t.Cause), maxNameLen),
		Waits: t.Waits, For: t.For, At: escape(t.At, maxNameLen), Stack: userFrames(t.Stack), awaited: t.Awaited,
	}
	if t.State == stateAbandoned {
		// A snapshot has only the age of a call. The time is cut to the second, or it would
		// differ a little in each snapshot, and streams would send it as a change.
		n.Since = now.Add(-t.Age).Truncate(time.Second)
		return // the flags are those of the task
	}
	n.Flags = flagsOf(t)
}

// flagsOf returns the flags of t that differ from the default.
func flagsOf(t *traigo.TaskSnapshot) (flags []string) {
	if t.Master {
		flags = append(flags, "master")
	}
	if !t.Awaited {
		flags = append(flags, "not awaited")
	}
	if !t.Bubble {
		flags = append(flags, "no bubble")
	}
	if t.Ready {
		flags = append(flags, "ready")
	}
	return flags
}

// A nodeID identifies a scope, a task or an abandoned call in all snapshots.
type nodeID struct {
	scope, task uint64
	call        int // number of the call among the abandoned ones of the task, from 1
}

// key returns the ID as it is written in JSON.
func (id nodeID) key() string {
	key := "s" + strconv.FormatUint(id.scope, 10)
	if id.task != 0 || id.call != 0 {
		key += "." + strconv.FormatUint(id.task, 10)
	}
	if id.call != 0 {
		key += "-" + strconv.Itoa(id.call)
	}
	return key
}

// size returns how many scopes or tasks are folded into n.
func (n *node) size() int { return max(1, n.Count) }

// walk calls visit for n and all nodes below it, each with its scope: for a scope this is
// the node itself.
func (n *node) walk(scope *node, visit func(n, scope *node)) {
	if n.Kind == kindScope {
		scope = n
	}
	visit(n, scope)
	for _, below := range n.Below {
		below.walk(scope, visit)
	}
}

// counts are the numbers of scopes and tasks that have not ended.
type counts struct {
	Scopes    int `json:"scopes"`
	Tasks     int `json:"tasks"`
	Canceling int `json:"canceling"`
}

func countNodes(roots []*node) (c counts) {
	for _, root := range roots {
		root.walk(nil, func(n, _ *node) {
			switch {
			case n.State == traigo.Closed.String():
				return
			case n.Kind == kindScope:
				c.Scopes++
			default:
				c.Tasks++
			}
			if n.State == traigo.Canceling.String() || n.State == stateCanceling || n.State == stateGivenUp {
				c.Canceling++
			}
		})
	}
	return c
}

// hasDefaultName reports whether n has a default name that does not identify it: that of
// a scope, which is its ID, or that of a function literal.
func (n *node) hasDefaultName() bool {
	if id, found := strings.CutPrefix(n.Name, "scope#"); found && n.Kind == kindScope {
		return id == strconv.FormatUint(n.ID, 10)
	}
	_, after, found := strings.Cut(n.Name, ".func")
	return found && after != "" && after[0] >= '0' && after[0] <= '9'
}
