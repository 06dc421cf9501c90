package live

import "sort"

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
