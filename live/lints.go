package live

import (
	"slices"
	"strings"
	"time"
)

// A lint is something that is worth a word when it is so for long enough.
type lint struct {
	name     string
	level    string
	after    time.Duration // so long it may be so
	flickers bool          // it may have come, gone and come again between two looks
	says, do string

	// found reports whether it is so of n, which is in scope (of a scope: itself), and
	// since when; a time that is not set means that the snapshot does not tell.
	found func(n, scope *node, now time.Time) (since time.Time, yes bool)
}

const (
	warns = "warning"
	hints = "hint" // nothing is wrong yet
)

// The thresholds. They are in doc.go too.
const (
	cleanUp       = 2 * time.Second  // a task that was canceled may take
	patience      = 10 * time.Second // as the core's, which then logs
	shutdownTime  = time.Minute
	lateness      = time.Second // of a timer, or of a start
	fewStragglers = 3
	stormFrom     = 10_000
	unnamedFrom   = 50
)

// The lints, the most urgent first.
var lints = []lint{
	{
		name: "ignored-cancel", level: warns, after: patience,
		says: "was canceled, and still runs",
		do: "Its function must return when ctx is done: select on ctx.Done() where it waits, pass ctx to what it calls, " +
			"or give it a CancelTimeout to be given up after. Its stack says where it is.",
		found: func(n, scope *node, _ time.Time) (time.Time, bool) {
			return canceledAt(n, scope), ignoresCancel(n, scope)
		},
	},
	{
		name: "straggler", level: warns, after: cleanUp,
		says: "holds up the end of its scope, which was canceled",
		do: "The others have ended. If it does not clean up something, it waits for something that knows no ctx: " +
			"look at its stack.",
		found: func(n, scope *node, now time.Time) (time.Time, bool) {
			isOne := n.Kind == aTask && scope.State == stateCanceling && ignoresCancel(n, scope) &&
				scope.family().running <= fewStragglers && now.Sub(scope.canceled) < patience
			return scope.canceled, isOne
		},
	},
	{
		name: "given-up", level: warns,
		says: "was given up after its CancelTimeout, and still runs",
		do: "Nobody waits for it any more, but it holds its goroutine and what it has opened. Find in its stack what " +
			"it waits for, and make that end with ctx.",
		// A snapshot says when it was spawned, not when it was given up.
		found: func(n, _ *node, _ time.Time) (time.Time, bool) { return time.Time{}, n.State == stateGivenUp },
	},
	{
		name: "abandoned-call", level: warns, after: patience,
		says: "is a call of Blocking that nobody waits for, and that still runs",
		do: "Give the call a timeout or a way to be closed (SetDeadline, Close); what can only be killed belongs into " +
			"a process, see package proc.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) { return n.Since, n.State == stateAbandoned },
	},
	{
		name: "limit-blocked", level: warns, after: patience, flickers: true,
		says: "has spawns that wait for its Limit, while none of its tasks ends",
		do: "A task that spawns into its own full scope waits for itself: let it open a scope of its own, or use TrySpawn. " +
			"Otherwise see in the stacks of its tasks what they wait for, or raise the Limit.",
		found: func(n, _ *node, now time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == aScope && n.Waiting > 0 && now.Sub(n.family().youngest) >= patience
		},
	},
	{
		name: "never-awaited", level: warns, after: patience, flickers: true,
		says: "has tasks of Async that have failed, and nobody has awaited them",
		do: "Their errors come to light only when the scope ends. Call Await for each, or Spawn those whose result " +
			"nobody wants: then a failure ends the scope at once.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) { return time.Time{}, len(n.Unawaited) > 0 },
	},
	{
		name: "unfinalized-forks", level: warns, after: patience, flickers: true,
		says: "waits only for forks that are open and in which nothing runs",
		do:   "Whoever has forked them must call Finalize, Wait or Close: an open scope never ends by itself.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == aScope && n.State == "finalizing" && waitsForIdleForks(n)
		},
	},
	{
		name: "finalizing-long", level: warns, after: shutdownTime,
		says: "was open, and has been finalizing ever since",
		do: "It waits for what is below it. Tasks that are not work to be finished, such as a ticker, are spawned with " +
			"Awaited(false); Shutdown with a ctx that has a deadline cancels what is left.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == aScope && n.State == "finalizing" && n.wasOpen
		},
	},
	{
		name: "deadline-passed", level: warns, after: lateness,
		says: "has passed its deadline, and was not canceled",
		do: "Timers come late: the program has too little of the processors, or was stopped. See how many goroutines " +
			"are runnable.",
		found: func(n, scope *node, now time.Time) (time.Time, bool) {
			isLate := !n.Deadline.IsZero() && now.After(n.Deadline)
			return n.Deadline, isLate && !isCanceled(n) && !isCanceled(scope)
		},
	},
	{
		name: "queued", level: warns, after: lateness,
		says: "was spawned, and has not started",
		do:   "There is more to run than processors to run it: put a Limit on the scopes that spawn most.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == aTask && n.State == stateQueued
		},
	},
	{
		name: "spawn-storm", level: hints,
		says: "has 10,000 tasks or scopes in it, or more, and no Limit",
		do:   "If they are meant to be so many all is well. Otherwise open it with Limit(n): Spawn then waits, and TrySpawn says no.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == aScope && n.Limit == 0 && max(n.family().tasks, n.family().scopes) >= stormFrom
		},
	},
	{
		name: "unnamed", level: hints,
		says: "has many tasks or scopes in it whose names say nothing",
		do:   "Give them a Name: it is in errors, logs, stacks and here.",
		found: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == aScope && n.family().unnamed >= unnamedFrom
		},
	},
}

// ignoresCancel is true of a task whose context is done, and of the body of a scope
// that has nothing else in it. Not of a task that waits for a scope it has opened: the
// fault is down there.
func ignoresCancel(n, scope *node) bool {
	if len(n.Below) > 0 || !isCanceled(n) && !isCanceled(scope) {
		return false
	}
	return n.Kind == aScope || n.State == stateCanceling || n.State == stateRunning
}

func isCanceled(n *node) bool {
	return n.State == stateCanceling || n.State == stateGivenUp || n.State == stateAbandoned || n.State == "closed"
}

// canceledAt is not set for a task that was canceled alone, unless it was its deadline.
func canceledAt(n, scope *node) time.Time {
	if n.Cause != "" && n.Kind == aTask {
		if strings.HasPrefix(n.Cause, "timeout") {
			return n.Deadline
		}
		return time.Time{}
	}
	return scope.canceled
}

func waitsForIdleForks(n *node) bool {
	for _, below := range n.Below {
		switch {
		case below.Kind == aTask && !below.awaited:
		case below.Kind == aScope && below.State == "open" && len(below.Below) == 0:
		default:
			return false
		}
	}
	return n.family().scopes > 0
}

// A family is what a scope has in it.
type family struct {
	tasks, scopes, running, unnamed int
	youngest                        time.Time // task
}

// family is worked out once for each scope.
func (n *node) family() *family {
	if n.own != nil {
		return n.own
	}
	own := &family{}
	for _, below := range n.Below {
		own.add(below)
		if below.Kind == aTask {
			for _, opened := range below.Below {
				own.add(opened)
			}
		}
	}
	n.own = own
	return own
}

func (f *family) add(n *node) {
	if n.hasDefaultName() {
		f.unnamed++
	}
	if n.Kind == aScope {
		f.scopes++
		return
	}
	f.tasks++
	if n.State == stateRunning || n.State == stateCanceling {
		f.running++
	}
	if n.Since.After(f.youngest) {
		f.youngest = n.Since
	}
}

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
