package live

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/traigo/traigo/internal/serials"
)

// minFold is how many alike siblings are folded into one line. Four are few enough to be
// read, and the stack of each can be asked for.
const minFold = 5

// setShapes sets the shape of n and of all nodes below it, and whether they have warnings.
//
// Siblings have the same shape if they are of one kind, their names differ only in numbers
// (see package serials), and none or each of them is in another process. States, times and what
// is below them do not count: these change all the time, and a row that is folded now must be
// folded in the next snapshot. Stacks do count where they
// were asked for: a group shows only one.
func (n *node) setShapes() {
	n.hasWarning = len(n.Warnings) > 0
	h := emptyHash.add(n.Kind).addFolded(n.Name).add(stackShape(n.Stack))
	if n.Pid != 0 {
		h = h.add("is in another process") // in which one does not matter
	}
	n.shape = uint64(h)
	for _, below := range n.Below {
		below.setShapes()
		n.hasWarning = n.hasWarning || below.hasWarning
	}
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

// addFolded adds what serials.Fold(s) returns.
func (h hash) addFolded(s string) hash {
	for i := 0; i < len(s); {
		var c byte
		c, i = serials.Next(s, i)
		h = h.byte(c)
	}
	return h.byte(0)
}

func (h hash) byte(b byte) hash { return (h ^ hash(b)) * 1099511628211 }

// fold returns a copy of the tree in which siblings of the same shape, if there are at
// least from of them, are one node, in the place of the first. It leaves the nodes that
// it is given as they are, since views share them. parent is the key of the parent.
func fold(siblings []*node, parent string, from int) []*node {
	if len(siblings) == 0 {
		return nil
	}
	folded := make([]*node, 0, min(len(siblings), 16))
	var groups map[uint64][]*node
	if len(siblings) >= from {
		groups = groupByShape(siblings)
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

func groupByShape(siblings []*node) map[uint64][]*node {
	groups := make(map[uint64][]*node)
	for _, n := range siblings {
		groups[n.shape] = append(groups[n.shape], n)
	}
	return groups
}

// merge returns one node for a group with the same shape. Below it everything is merged, so
// that a node there stands for what is in all of the group, also if that is a single one.
func merge(group []*node, parent string) *node {
	one := *oldest(group)
	one.Count, one.folded = len(group), group
	one.States = make(map[string]int)
	one.Waiting, one.Limit, one.Blocked, one.Holders, one.Unawaited = 0, 0, nil, nil, nil
	one.Waits, one.From, one.For, one.At = "", time.Time{}, 0, ""
	one.Path = escape(one.Path, maxPathLen)
	// The key depends on names only: with that of the oldest, which may be another in the
	// next snapshot, the page would take the line for a new one.
	one.Key = parent + "/" + strconv.FormatUint(one.shape, 36)
	one.Processes = processes(group)
	var below []*node
	alike := true
	for _, n := range group {
		one.add(n)
		below = append(below, n.Below...)
		alike = alike && n.Name == one.Name
	}
	if !alike {
		one.Name = serials.Fold(one.Name)
	}
	one.State = mostFrequent(one.States)
	one.Cause = causeOf(group)
	one.Below = make([]*node, 0, 4)
	groups := groupByShape(below)
	for _, n := range below {
		if inside := groups[n.shape]; inside[0] == n {
			one.Below = append(one.Below, merge(inside, one.Key))
		}
	}
	one.Standing = standings(&one)
	return &one
}

// add adds what a member says to n, into which it is folded.
func (n *node) add(member *node) {
	n.States[member.State]++
	n.Waiting += member.Waiting
	n.Limit = max(n.Limit, member.Limit)
	n.Blocked = append(n.Blocked, member.Blocked[:min(len(member.Blocked), maxExamples-len(n.Blocked))]...)
	n.Holders = append(n.Holders, member.Holders[:min(len(member.Holders), maxExamples-len(n.Holders))]...)
	n.Unawaited = append(n.Unawaited, member.Unawaited...)
	n.Deadline = earlier(n.Deadline, member.Deadline)
	n.hasWarning = n.hasWarning || member.hasWarning
	if member.Since.After(n.Newest) {
		n.Newest = member.Since
	}
	missing := func(flag string) bool { return !slices.Contains(member.Flags, flag) }
	if slices.ContainsFunc(n.Flags, missing) { // only what all have is said of the group
		n.Flags = slices.DeleteFunc(slices.Clone(n.Flags), missing)
	}
	for _, name := range member.Warnings {
		if !slices.Contains(n.Warnings, name) {
			n.Warnings = append(slices.Clip(n.Warnings), name)
		}
	}
}

// causeOf returns the cause of those in a group that have one, with how many these are unless
// all have it. If there are several causes it is the first.
func causeOf(group []*node) (cause string) {
	count := 0
	for _, n := range group {
		if cause == "" {
			cause = n.Cause
		}
		if n.Cause != "" && n.Cause == cause {
			count++
		}
	}
	if cause != "" && count < len(group) {
		cause = withCommas(count) + " × " + cause
	}
	return cause
}

// mostFrequent returns the state that most have, of equals the first by name.
func mostFrequent(states map[string]int) string {
	return slices.MaxFunc(slices.Sorted(maps.Keys(states)), func(a, b string) int { return cmp.Compare(states[a], states[b]) })
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

// A standing says how many of a group wait for the same at the same place.
type standing struct {
	Waits string        `json:"waits"`
	At    string        `json:"at,omitempty"`
	From  time.Time     `json:"from,omitzero"` // the earliest
	For   time.Duration `json:"for,omitempty"` // the longest
	Count int           `json:"count"`
}

const maxStandings = 5 // of a group

// standings returns what those wait for that were folded into one, and that wait for nothing
// below them; and what those wait for that are below: of the places with the most, maxStandings.
func standings(one *node) []standing {
	type place struct{ waits, at string }
	var found map[place]standing // made when the first is found: mostly there are none
	add := func(s standing) {
		if found == nil {
			found = make(map[place]standing)
		}
		sum := found[place{s.Waits, s.At}]
		found[place{s.Waits, s.At}] = standing{s.Waits, s.At, earlier(s.From, sum.From), max(s.For, sum.For), s.Count + sum.Count}
	}
	for _, n := range one.folded {
		if n.Waits != "" && !n.waitsForSomethingBelow() {
			add(standing{n.Waits, n.At, n.From, n.For, 1})
		}
	}
	for _, below := range one.Below {
		for _, s := range below.Standing {
			add(s)
		}
	}
	most := slices.SortedFunc(maps.Values(found), func(a, b standing) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.At, b.At), cmp.Compare(a.Waits, b.Waits))
	})
	return most[:min(len(most), maxStandings)]
}

const (
	maxMembers     = 10   // of a group that are shown
	maxMemberLines = 1000 // in an answer: members, and what is below them
	maxBelowMember = 50   // lines for one member
)

// addMembers gives the groups in a folded tree their most notable members, with what is
// below them, until there are about most lines of these. The groups further up come first.
func addMembers(roots []*node, most int) {
	for siblings := roots; len(siblings) > 0; {
		var next []*node
		for _, n := range siblings {
			if n.Count == 0 {
				next = append(next, n.Below...)
				continue
			}
			if most <= 0 {
				return
			}
			n.Members = nil
			for _, member := range notable(n.folded) {
				one, _ := limitLines(fold([]*node{member}, "", minFold), maxBelowMember)
				n.Members = append(n.Members, one...)
				most -= countLines(one, maxDepth*maxDepth, maxDepth*maxDepth)
			}
			next = append(next, n.Members...)
		}
		siblings = next
	}
}

// notable returns maxMembers of a group, in its order: first those with warnings, then those
// that were given up or canceled, then the oldest.
func notable(group []*node) []*node {
	if len(group) <= maxMembers {
		return group
	}
	chosen := make([]int, 0, maxMembers+1) // indexes, the most notable first
	for i, n := range group {
		at, _ := slices.BinarySearchFunc(chosen, n, func(other int, n *node) int {
			return cmp.Or(cmp.Compare(group[other].rank(), n.rank()), group[other].Since.Compare(n.Since), -1)
		})
		if at < maxMembers {
			chosen = slices.Insert(chosen, at, i)
			chosen = chosen[:min(len(chosen), maxMembers)]
		}
	}
	slices.Sort(chosen)
	members := make([]*node, len(chosen))
	for i, at := range chosen {
		members[i] = group[at]
	}
	return members
}

// rank returns how notable n is in its group: 0 is the most.
func (n *node) rank() int {
	switch {
	case n.hasWarning:
		return 0
	case n.State == stateGivenUp || n.State == stateAbandoned:
		return 1
	case isCanceled(n):
		return 2
	default:
		return 3
	}
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
