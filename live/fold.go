package live

import (
	"slices"
	"strconv"
	"strings"
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
