package history

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// deepest is how far the tree is indented: further down it goes on at that place.
const deepest = 60

// foldFrom is how many siblings have to be alike to be drawn as one.
const foldFrom = 5

// WriteTree draws the tree of scopes and tasks as text: how each ended, after what
// time, and who ended it. Siblings that are alike, in all that is below them too, are
// drawn as one, with their number. What is known to be missing is said above.
//
// The idea is trio-vis's print_task_tree.
func (h *History) WriteTree(w io.Writer) error {
	return writeTo(w, func(out sink) {
		out.text(h.headline())
		out.text("\n")
		for _, warning := range h.warnings() {
			out.text("! " + warning + "\n")
		}
		d := &drawing{history: h, out: out, kinds: make(map[string]int), known: make(culprits)}
		if s := h.firstFailed(); s != nil {
			out.text("First to fail: " + oneLine(s.Path(), most) + ", after " + h.span(s.Canceled-s.Opened) + ": " + d.causeNote(s) + "\n")
		}
		out.text("\n")
		var roots []*node
		for _, s := range h.Scopes {
			if s.Parent == nil {
				roots = append(roots, d.scope(s))
			}
		}
		for _, g := range grouped(roots, foldFrom) {
			d.draw(g, "", "")
		}
	})
}

// A node is a scope or a task with what is below it.
type node struct {
	scope *Scope
	task  *Task // nil: it is the scope itself
	kind  int   // the same for those that look alike, apart from times and errors
	below []*node
}

// A group is some nodes that are drawn as one.
type group []*node

type drawing struct {
	history *History
	out     sink
	kinds   map[string]int
	known   culprits
	depth   int
}

func (d *drawing) scope(s *Scope) *node {
	n := &node{scope: s}
	for _, t := range s.Tasks {
		n.below = append(n.below, d.task(t))
	}
	for _, c := range s.Scopes {
		if c.By == nil {
			n.below = append(n.below, d.scope(c))
		}
	}
	slices.SortStableFunc(n.below, func(a, b *node) int { return cmp.Compare(a.begin(), b.begin()) })
	cause := ""
	if s.Cause != nil {
		cause = s.Cause.Kind
	}
	n.kind = d.kindOf(n, "scope", s.Name, string(s.State), cause, strconv.FormatBool(s.Failed()))
	return n
}

func (d *drawing) task(t *Task) *node {
	n := &node{scope: t.Scope, task: t}
	for _, s := range t.Scopes {
		n.below = append(n.below, d.scope(s))
	}
	n.kind = d.kindOf(n, "task", t.Name, string(t.State), strconv.FormatBool(t.Master), "")
	return n
}

// kindOf numbers how things look: what is below counts, how often does not.
func (d *drawing) kindOf(n *node, looks ...string) int {
	below := make([]int, 0, len(n.below))
	for _, b := range n.below {
		below = append(below, b.kind)
	}
	slices.Sort(below)
	var key strings.Builder
	for _, look := range looks {
		key.WriteString(strconv.Quote(look))
	}
	for _, kind := range slices.Compact(below) {
		key.WriteString(strconv.Itoa(kind))
		key.WriteByte(' ')
	}
	kind, known := d.kinds[key.String()]
	if !known {
		kind = len(d.kinds)
		d.kinds[key.String()] = kind
	}
	return kind
}

func (n *node) begin() time.Duration {
	if n.task != nil {
		return n.task.Spawned
	}
	return n.scope.Opened
}

func (n *node) end() time.Duration {
	if n.task != nil {
		return n.task.Ended
	}
	return n.scope.Closed
}

// grouped puts those that are alike together, at the place of the first, where there
// are enough of them.
func grouped(nodes []*node, enough int) (groups []group) {
	count := make(map[int]int)
	for _, n := range nodes {
		count[n.kind]++
	}
	place := make(map[int]int)
	for _, n := range nodes {
		at, known := place[n.kind]
		switch {
		case count[n.kind] < enough:
			groups = append(groups, group{n})
		case !known:
			place[n.kind] = len(groups)
			groups = append(groups, group{n})
		default:
			groups[at] = append(groups[at], n)
		}
	}
	return groups
}

// draw writes a group with the branch that leads to it, and what is below it with the
// stem that goes past it.
func (d *drawing) draw(g group, branch, stem string) {
	d.out.text(branch)
	d.out.text(d.describe(g))
	d.out.text("\n")
	below, enough := g[0].below, foldFrom
	if len(g) > 1 {
		below, enough = nil, 1
		for _, n := range g {
			below = append(below, n.below...)
		}
	}
	groups := grouped(below, enough)
	d.depth++
	for i, b := range groups {
		branch, past := stem+"├─ ", stem+"│  "
		if i == len(groups)-1 {
			branch, past = stem+"└─ ", stem+"   "
		}
		if d.depth > deepest {
			past = stem
		}
		d.draw(b, branch, past)
	}
	d.depth--
}
