package live

import (
	"slices"
	"sort"
	"strconv"
	"time"
)

// foldFrom is how many equal siblings become one line: four can still be read, and
// each be asked for its stack.
const foldFrom = 5

// Two nodes have the same shape if what is said of them is equal, but for ids and
// times, and below them is the same, however often: a connection with three workers is
// like one with four.

// outline works out the shape of n and of all below it, and what matters.
func (n *node) outline() uint64 {
	n.matters = len(n.Warnings) > 0
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
	shapes := make([]uint64, len(n.Below))
	for i, below := range n.Below {
		shapes[i] = below.outline()
		n.matters = n.matters || below.matters
	}
	slices.Sort(shapes)
	for _, shape := range slices.Compact(shapes) {
		h = h.number(shape)
	}
	n.shape = uint64(h)
	return n.shape
}

// A hash is FNV-1a. That of package hash makes an allocation, which is many for 100,000.
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

// label is the name of n among others: the default names of scopes differ by nothing
// but their number.
func (n *node) label() string {
	if n.hasDefaultName() && n.Kind == aScope {
		return "scope#"
	}
	return n.Name
}

// fold returns nodes with equal siblings as one, if there are from or more, at the place
// of the first. What it is given is left as it is: others look at it too.
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
			alone := *n
			alone.Key, alone.Path = n.who.key(), clean(n.Path, longestPath)
			alone.Below = fold(n.Below, alone.Key, from)
			folded = append(folded, &alone)
		case group[0] == n:
			folded = append(folded, merge(group, parent))
		}
	}
	return folded
}

// merge makes one node of a group with the same shape.
func merge(group []*node, parent string) *node {
	one := *oldest(group)
	one.Count, one.Name, one.Waiting = len(group), one.label(), 0
	one.Unawaited = nil
	one.Path = clean(one.Path, longestPath)
	// The oldest may be another the next time: what is one line has to stay one.
	one.Key = parent + "/" + strconv.FormatUint(one.shape, 36)
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

func oldest(group []*node) *node {
	return slices.MinFunc(group, func(a, b *node) int { return a.Since.Compare(b.Since) })
}

// earlier is the earlier of two times, of which one may not be set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// mostLines is how many nodes an answer has that does not ask for all.
const mostLines = 2000

// deepest is how deep a tree may be, of which still something is left out.
const deepest = 1 << 10

// narrowest is how many siblings stay, however little is left of what is below them.
const narrowest = 4

// cut leaves out siblings until the tree has no more than most lines: everywhere as many
// stay, so that the widest loses first. If that is not enough, the deepest goes. What
// there is a warning about stays before others. It returns how many lines were lost.
func cut(roots []*node, most int) (kept []*node, lost int) {
	total := lines(roots, deepest*deepest, deepest*deepest)
	if total <= most {
		return roots, 0
	}
	depth := deepest
	for depth > 1 && lines(roots, narrowest, depth) > most {
		depth /= 2
	}
	tooWide := func(i int) bool { return lines(roots, narrowest+1+i, depth) > most }
	width := narrowest + sort.Search(most-narrowest, tooWide)
	kept = trim(roots, width, depth)
	return kept, total - lines(kept, width, depth)
}

// lines counts the nodes down to depth, of each family at most width.
func lines(siblings []*node, width, depth int) (sum int) {
	if depth == 0 {
		return 0
	}
	for _, n := range choose(siblings, width) {
		sum += 1 + lines(n.Below, width, depth-1)
	}
	return sum
}

// trim makes the tree that lines has counted. The nodes are the folding's own, so they
// can be changed.
func trim(siblings []*node, width, depth int) []*node {
	if depth == 0 {
		return nil
	}
	kept := choose(siblings, width)
	for _, n := range kept {
		left := 0
		for _, below := range n.Below {
			left += below.many()
		}
		n.Below = trim(n.Below, width, depth-1)
		for _, below := range n.Below {
			left -= below.many()
		}
		n.More += left
	}
	return kept
}

// choose takes width siblings, in their order: those that matter, then the first ones.
func choose(siblings []*node, width int) []*node {
	if len(siblings) <= width {
		return siblings
	}
	chosen := make([]*node, 0, width)
	rest := width
	for _, n := range siblings {
		if n.matters && rest > 0 {
			rest--
		}
	}
	urgent := width - rest
	for _, n := range siblings {
		switch {
		case n.matters && urgent > 0:
			urgent--
			chosen = append(chosen, n)
		case !n.matters && rest > 0:
			rest--
			chosen = append(chosen, n)
		}
	}
	return chosen
}
