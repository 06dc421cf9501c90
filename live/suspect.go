package live

import (
	"slices"
	"strings"
	"time"
)

// mostExamples is how many paths a warning has.
const mostExamples = 5

// mostRemembered bounds what is known of earlier looks: suspicions beyond it are never
// old enough to be warnings.
const mostRemembered = 10_000

// seenRecently is how far apart two looks may be for something that flickers to have
// been so all the time between them.
const seenRecently = 30 * time.Second

// A warning is what a lint has found.
type warning struct {
	Lint  string    `json:"lint"`
	Level string    `json:"level"`
	Count int       `json:"count"`
	Since time.Time `json:"since"` // the longest
	Says  string    `json:"says"`
	Do    string    `json:"do"`
	At    []string  `json:"at"`
}

// A memory is what must be known of earlier looks, since a snapshot does not say since
// when something is so. It holds nothing of what is no longer so.
type memory struct {
	last  time.Time
	first map[suspicion]time.Time
}

// A suspicion is that of a lint, or what is remembered of a scope.
type suspicion struct {
	what string
	who  who
}

const (
	wasCanceled = "canceled"
	wasOpen     = "open"
)

// inspect marks the nodes that a lint has something to say of. Those of which it may
// have something to say soon are counted in recheck.
func (m *memory) inspect(roots []*node, now time.Time) (warnings []warning, recheck int) {
	next := memory{last: now, first: make(map[suspicion]time.Time)}
	for _, root := range roots {
		m.date(root, nil, &next)
	}
	found := make([]warning, len(lints))
	marks := make([][]string, len(lints)) // shared by the nodes that have no other
	for i, l := range lints {
		found[i] = warning{Lint: l.name, Level: l.level, Says: l.says, Do: l.do}
		marks[i] = []string{l.name}
	}
	visit := func(n, scope *node) {
		if n.State == "closed" {
			return
		}
		young := false
		for i := range lints {
			l := &lints[i]
			since, yes := l.found(n, scope, now)
			if !yes {
				continue
			}
			if since.IsZero() {
				since = m.firstSight(suspicion{l.name, n.who}, l.flickers, &next)
			}
			if now.Sub(since) < l.after {
				young = true
				continue
			}
			found[i].add(n, since)
			if n.Warnings == nil {
				n.Warnings = marks[i]
			} else {
				n.Warnings = append(slices.Clip(n.Warnings), l.name)
			}
		}
		if young {
			recheck++
		}
	}
	for _, root := range roots {
		root.each(nil, visit)
	}
	*m = next
	return slices.DeleteFunc(found, func(w warning) bool { return w.Count == 0 }), recheck
}

func (w *warning) add(n *node, since time.Time) {
	if w.Count++; len(w.At) < mostExamples {
		w.At = append(w.At, clean(n.Path, longestPath))
	}
	w.Since = earlier(w.Since, since)
}

// firstSight is when s was first seen, which may be now.
func (m *memory) firstSight(s suspicion, flickers bool, next *memory) time.Time {
	at, known := m.first[s]
	if !known || flickers && next.last.Sub(m.last) > seenRecently {
		at = next.last
	}
	if len(next.first) < mostRemembered {
		next.first[s] = at
	}
	return at
}

// date finds out since when the scopes from n on are canceled: some say it, of others
// it is known when that was first seen. And which of them were open for long.
func (m *memory) date(n, above *node, next *memory) {
	if n.Kind == aScope {
		switch n.State {
		case stateCanceling:
			n.canceled = m.canceledAt(n, above, next)
		case "open", "finalizing":
			s := suspicion{wasOpen, n.who}
			_, n.wasOpen = m.first[s]
			if n.wasOpen || n.State == "open" && next.last.Sub(n.Since) >= patience {
				m.firstSight(s, false, next)
			}
		}
		above = n
	}
	for _, below := range n.Below {
		m.date(below, above, next)
	}
}

func (m *memory) canceledAt(n, above *node, next *memory) time.Time {
	switch {
	case strings.HasPrefix(n.Cause, "timeout") && !n.Deadline.IsZero():
		return n.Deadline
	case strings.HasPrefix(n.Cause, "parent canceled") && above != nil && !above.canceled.IsZero():
		if n.Since.After(above.canceled) {
			return n.Since
		}
		return above.canceled
	default:
		return m.firstSight(suspicion{wasCanceled, n.who}, false, next)
	}
}
