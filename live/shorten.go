package live

import (
	"slices"
	"sort"
	"strconv"
	"time"
)

// minFold is how many equal siblings are folded into one line. Four are few enough to be
// read, and the stack of each can be asked for.
const minFold = 5

// setShapes sets the shape of n and of all nodes below it, and whether they have warnings.
//
// Two nodes have the same shape if they differ only in their IDs and times, and if the
// same shapes are below them, however many there are of each: a connection with three
// workers has the shape of one with four.
func (n *node) setShapes() uint64 {
	n.hasWarning = len(n.Warnings) > 0
	h := emptyHash.add(n.Kind).add(n.label()).add(n.State).add(n.Cause).add(stackShape(n.Stack)).
		number(uint64(n.Limit)) //nolint:gosec // a Limit is positive
	for _, flag := range n.Flags {
		h = h.add(flag)
	}
	for _, warning := range n.Warnings {
		h = h.add("!").add(warning)
	}
	if !n.Deadline.IsZero() {
		h = h.add("has a deadline")
	}
	if len(n.Unawaited) > 0 {
		h = h.add("has failures that nobody has awaited")
	}
	if n.Pid != 0 {
		h = h.add("is in another process") // in which one does not matter
	}
	shapes := make([]uint64, len(n.Below))
	for i, below := range n.Below {
		shapes[i] = below.setShapes()
		n.hasWarning = n.hasWarning || below.hasWarning
	}
	slices.Sort(shapes)
	for _, shape := range slices.Compact(shapes) {
		h = h.number(shape)
	}
	n.shape = uint64(h)
	return n.shape
}

// A hash is FNV-1a. The one in hash/fnv needs an allocation for each node.
type hash uint64

const emptyHash hash = 14695981039346656037

func (h hash) add(s string) hash {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0)
}

func (h hash) number(n uint64) hash {
	for ; n != 0; n >>= 8 {
		h = h.byte(byte(n))
	}
	return h.byte(0)
}

func (h hash) byte(b byte) hash { return (h ^ hash(b)) * 1099511628211 }

// label returns the name of n, without the number of a scope's default name, so that
// scopes without names can be folded.
func (n *node) label() string {
	if n.hasDefaultName() && n.Kind == kindScope {
		return "scope#"
	}
	return n.Name
}

// fold returns a copy of the tree in which siblings of the same shape, if there are at
// least from of them, are one node, in the place of the first. It leaves the nodes that
// it is given as they are, since views share them. parent is the key of the parent.
func fold(siblings []*node, parent string, from int) []*node {
	if len(siblings) == 0 {
		return nil
	}
	folded := make([]*node, 0, 16)
	var groups map[uint64][]*node
	if len(siblings) >= from {
		groups = make(map[uint64][]*node)
		for _, n := range siblings {
			groups[n.shape] = append(groups[n.shape], n)
		}
	}
	for _, n := range siblings {
		group := groups[n.shape]
		switch {
		case len(group) < from:
			single := *n
			single.Key, single.Path = n.nodeID.key(), escape(n.Path, maxPathLen)
			single.Below = fold(n.Below, single.Key, from)
			folded = append(folded, &single)
		case group[0] == n:
			folded = append(folded, merge(group, parent))
		}
	}
	return folded
}

// merge returns one node for a group with the same shape.
func merge(group []*node, parent string) *node {
	one := *oldest(group)
	one.Count, one.Name, one.Waiting = len(group), one.label(), 0
	one.Unawaited = nil
	one.Path = escape(one.Path, maxPathLen)
	// The key must not depend on the oldest, which may be another in the next snapshot: the
	// page would take the line for a new one.
	one.Key = parent + "/" + strconv.FormatUint(one.shape, 36)
	one.Processes = processes(group)
	var shapes []uint64
	below := make(map[uint64][]*node)
	for _, n := range group {
		one.Waiting += n.Waiting
		one.Unawaited = append(one.Unawaited, n.Unawaited...)
		one.Deadline = earlier(one.Deadline, n.Deadline)
		if n.Since.After(one.Newest) {
			one.Newest = n.Since
		}
		for _, b := range n.Below {
			if below[b.shape] == nil {
				shapes = append(shapes, b.shape)
			}
			below[b.shape] = append(below[b.shape], b)
		}
	}
	one.Below = make([]*node, len(shapes))
	for i, shape := range shapes {
		one.Below[i] = merge(below[shape], one.Key)
	}
	return &one
}

// processes returns in how many other processes the nodes of a group are; 0 if in one or none.
func processes(group []*node) int {
	if group[0].Pid == 0 {
		return 0 // all have the same shape
	}
	pids := make(map[int]bool)
	for _, n := range group {
		pids[n.Pid] = true
	}
	if len(pids) == 1 {
		return 0
	}
	return len(pids)
}

func oldest(group []*node) *node {
	return slices.MinFunc(group, func(a, b *node) int { return a.Since.Compare(b.Since) })
}

// earlier returns the earlier of two times; the other one if one of them is zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

const (
	maxLines = 2000    // nodes in an answer, unless the query asks for all
	maxDepth = 1 << 10 // levels that are kept at most when lines are left out
	minWidth = 4       // siblings that are kept everywhere before levels are left out
)

// limitLines leaves out nodes until the trees have at most as many lines as most says. It
// keeps the same number of siblings everywhere, so that the scopes with the most children
// lose lines first; if minWidth siblings are still too many, it leaves out the deepest
// levels. Among siblings those with warnings are kept first. lost is the number of lines
// that were left out.
func limitLines(roots []*node, most int) (kept []*node, lost int) {
	total := countLines(roots, maxDepth*maxDepth, maxDepth*maxDepth)
	if total <= most {
		return roots, 0
	}
	depth := maxDepth
	for depth > 1 && countLines(roots, minWidth, depth) > most {
		depth /= 2
	}
	tooWide := func(i int) bool { return countLines(roots, minWidth+1+i, depth) > most }
	width := minWidth + sort.Search(most-minWidth, tooWide)
	kept = trim(roots, width, depth)
	return kept, total - countLines(kept, width, depth)
}

// countLines returns how many nodes trim keeps.
func countLines(siblings []*node, width, depth int) (sum int) {
	if depth == 0 {
		return 0
	}
	for _, n := range choose(siblings, width) {
		sum += 1 + countLines(n.Below, width, depth-1)
	}
	return sum
}

// trim leaves out all but width siblings everywhere, and everything below depth levels.
// It changes the nodes, which are copies made by fold.
func trim(siblings []*node, width, depth int) []*node {
	if depth == 0 {
		return nil
	}
	kept := choose(siblings, width)
	for _, n := range kept {
		left := 0
		for _, below := range n.Below {
			left += below.size()
		}
		n.Below = trim(n.Below, width, depth-1)
		for _, below := range n.Below {
			left -= below.size()
		}
		n.More += left
	}
	return kept
}

// choose returns width of the siblings, in their order: first those with warnings, then
// from the beginning of the list.
func choose(siblings []*node, width int) []*node {
	if len(siblings) <= width {
		return siblings
	}
	chosen := make([]*node, 0, width)
	rest := width // how many without warnings
	for _, n := range siblings {
		if n.hasWarning && rest > 0 {
			rest--
		}
	}
	warned := width - rest
	for _, n := range siblings {
		switch {
		case n.hasWarning && warned > 0:
			warned--
			chosen = append(chosen, n)
		case !n.hasWarning && rest > 0:
			rest--
			chosen = append(chosen, n)
		}
	}
	return chosen
}
