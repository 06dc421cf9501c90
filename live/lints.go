package live

import (
	"slices"
	"strings"
	"time"
)

// A lint looks for one condition in scopes and tasks, and warns when it lasts too long.
type lint struct {
	name         string
	level        string
	after        time.Duration // how long the condition may last without a warning
	intermittent bool          // the condition can end and begin again between two snapshots
	atLeast      bool          // it may have begun before since, which check returns
	says, do     string

	// check reports whether the condition holds for n, and since when, if the snapshot
	// tells; otherwise since is zero. scope is the scope of n: n itself if n is a scope.
	check func(n, scope *node, now time.Time) (since time.Time, yes bool)

	// detail says more of n, in a few words, if it is not nil.
	detail func(n *node) string
}

const (
	levelWarning = "warning"
	levelHint    = "hint" // nothing is wrong yet
)

// The thresholds, which doc.go states too.
const (
	stragglerAfter  = 2 * time.Second
	reportAfter     = 10 * time.Second // package traigo logs such things after the same time
	finalizingAfter = time.Minute
	lateAfter       = time.Second // how late a timer or the start of a task may be
	maxStragglers   = 3
	minStorm        = 10_000
	minUnnamed      = 50
)

// adviceOnLocks is for what waits for a mutex or at a nil channel.
const adviceOnLocks = "Two tasks that hold each a mutex that the other one wants must take them in the same order. " +
	"A nil channel never goes on: select on ctx.Done() there too."

// lints are all lints, the most urgent first.
var lints = []lint{
	{
		name: "ignored-cancel", level: levelWarning, after: reportAfter,
		says: "was canceled, and still runs",
		do: "Its function must return when ctx is done: select on ctx.Done() where it waits, pass ctx to what it calls, " +
			"or give it a CancelTimeout to be given up after. Its stack says where it is.",
		check: func(n, scope *node, _ time.Time) (time.Time, bool) {
			return cancelTimeOf(n, scope), ignoresCancel(n, scope)
		},
	},
	{
		name: "straggler", level: levelWarning, after: stragglerAfter,
		says: "holds up the end of its scope, which was canceled",
		do: "The others have ended. If it does not clean up something, it waits for something that knows no ctx: " +
			"look at its stack.",
		check: func(n, scope *node, now time.Time) (time.Time, bool) {
			isOne := n.Kind == kindTask && scope.State == stateCanceling && ignoresCancel(n, scope) &&
				scope.childStats().running <= maxStragglers && now.Sub(scope.canceledAt) < reportAfter
			return scope.canceledAt, isOne
		},
	},
	{
		name: "given-up", level: levelWarning,
		says: "was given up after its CancelTimeout, and still runs",
		do: "Nobody waits for it any more, but it holds its goroutine and what it has opened. Find in its stack what " +
			"it waits for, and make that end with ctx.",
		// A snapshot says when the task was spawned, but not when it was given up.
		check: func(n, _ *node, _ time.Time) (time.Time, bool) { return time.Time{}, n.State == stateGivenUp },
	},
	{
		name: "abandoned-call", level: levelWarning, after: reportAfter,
		says: "is a call of Blocking that nobody waits for, and that still runs",
		do: "Give the call a timeout or a way to be closed (SetDeadline, Close); what can only be killed belongs into " +
			"a process, see package proc.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) { return n.Since, n.State == stateAbandoned },
	},
	{
		name: "blocked", level: levelWarning, atLeast: true,
		says: "waits, and does not go on: for a mutex, or at a channel that takes no value",
		do:   "Find out who holds the mutex, or should receive: ?stacks=1 has the stacks of all. " + adviceOnLocks,
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			if !n.place.mayBeStuck() || n.place.said == 0 {
				return time.Time{}, false
			}
			return n.place.told, true
		},
		detail: func(n *node) string { return n.place.String() },
	},
	{
		name: "maybe-blocked", level: levelHint, after: reportAfter,
		says: "has been found waiting for a mutex, or at a nil channel, at each look",
		do: "It may have gone on in between and come back, which looks do not see. If its work makes no progress, find in the " +
			"stacks of ?stacks=1 who holds the mutex. " + adviceOnLocks + " When Go says that one wait has lasted for a minute, " +
			"this becomes a warning.",
		check: func(n, _ *node, now time.Time) (time.Time, bool) {
			if !n.place.mayBeStuck() || n.place.said > 0 || n.place.waits == chanSend {
				return time.Time{}, false
			}
			if n.place.stood < reportAfter { // by looks, and the next may be a while away
				return now, true
			}
			return n.place.since, true
		},
		detail: func(n *node) string { return n.place.String() },
	},
	{
		name: "limit-blocked", level: levelWarning, after: reportAfter, intermittent: true,
		says: "has spawns that wait for its Limit, while none of its tasks ends",
		do: "A task that spawns into its own full scope waits for itself: let it open a scope of its own, or use TrySpawn. " +
			"Otherwise see in the stacks of its tasks what they wait for, or raise the Limit.",
		check: func(n, _ *node, now time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == kindScope && n.Waiting > 0 && now.Sub(n.childStats().accepted) >= reportAfter
		},
		detail: whoIsBlocked,
	},
	{
		name: "never-awaited", level: levelWarning, after: reportAfter, intermittent: true,
		says: "has tasks of Async that have failed, and nobody has awaited them",
		do: "Their errors come to light only when the scope ends. Call Await for each, or Spawn those whose result " +
			"nobody wants: then a failure ends the scope at once.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) { return time.Time{}, len(n.Unawaited) > 0 },
	},
	{
		name: "unfinalized-forks", level: levelWarning, after: reportAfter, intermittent: true,
		says: "waits only for forks that are open and in which nothing runs",
		do:   "Whoever has forked them must call Finalize, Wait or Close: an open scope never ends by itself.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == kindScope && n.State == "finalizing" && waitsForIdleForks(n)
		},
	},
	{
		name: "finalizing-long", level: levelWarning, after: finalizingAfter,
		says: "was open, and has been finalizing ever since",
		do: "It waits for what is below it. Tasks that are not work to be finished, such as a ticker, are spawned with " +
			"Awaited(false); Shutdown with a ctx that has a deadline cancels what is left.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return time.Time{}, n.Kind == kindScope && n.State == "finalizing" && n.wasLongOpen
		},
	},
	{
		name: "deadline-passed", level: levelWarning, after: lateAfter,
		says: "has passed its deadline, and was not canceled",
		do: "Timers come late: the program has too little of the processors, or was stopped. See how many goroutines " +
			"are runnable.",
		check: func(n, scope *node, now time.Time) (time.Time, bool) {
			isLate := !n.Deadline.IsZero() && now.After(n.Deadline)
			return n.Deadline, isLate && !isCanceled(n) && !isCanceled(scope)
		},
	},
	{
		name: "queued", level: levelWarning, after: lateAfter,
		says: "was spawned, and has not started",
		do:   "There is more to run than processors to run it: put a Limit on the scopes that spawn most.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == kindTask && n.State == stateQueued
		},
	},
	{
		name: "spawn-storm", level: levelHint,
		says: "has 10,000 tasks or scopes in it, or more, and no Limit",
		do:   "If they are meant to be so many all is well. Otherwise open it with Limit(n): Spawn then waits, and TrySpawn says no.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == kindScope && n.Limit == 0 && max(n.childStats().tasks, n.childStats().scopes) >= minStorm
		},
	},
	{
		name: "unnamed", level: levelHint,
		says: "has many tasks or scopes in it whose names say nothing",
		do:   "Give them a Name: it is in errors, logs, stacks and here.",
		check: func(n, _ *node, _ time.Time) (time.Time, bool) {
			return n.Since, n.Kind == kindScope && n.childStats().unnamed >= minUnnamed
		},
	},
}

// whoIsBlocked names the tasks of a scope that have a slot, and what waits for one.
func whoIsBlocked(n *node) string {
	says := "held by " + someOf(n.Holders, n.Limit)
	if len(n.Blocked) > 0 {
		says += "; waited for by " + someOf(n.Blocked, n.Waiting)
	}
	return says
}

// ignoresCancel reports whether n is a task that still runs although it was canceled, or
// a canceled scope of which only the body still runs. A task that has opened a scope
// waits for that scope, so it is what runs in there that ignores the cancellation.
func ignoresCancel(n, scope *node) bool {
	if !isCanceled(n) && !isCanceled(scope) || n.waitsForSomethingBelow() {
		return false
	}
	return n.Kind == kindScope || n.State == stateCanceling || n.State == stateRunning
}

// waitsForSomethingBelow reports whether anything below n has to end before n can.
func (n *node) waitsForSomethingBelow() bool {
	return slices.ContainsFunc(n.Below, (*node).isWaitedFor)
}

// isWaitedFor reports whether n has to end before its scope can: a task that was given up
// has not, nor has a call that was abandoned, or a scope that has closed and in which one of
// these still runs.
func (n *node) isWaitedFor() bool {
	return n.State != stateGivenUp && n.State != stateAbandoned && n.State != "closed"
}

// isCanceled reports whether n was canceled or has closed.
func isCanceled(n *node) bool {
	return n.State == stateCanceling || n.State == stateGivenUp || n.State == stateAbandoned || n.State == "closed"
}

// cancelTimeOf returns when n was canceled. For a task that was canceled alone, and not by
// its deadline, it is not known, and zero.
func cancelTimeOf(n, scope *node) time.Time {
	if n.Cause != "" && n.Kind == kindTask {
		if strings.HasPrefix(n.Cause, "timeout") {
			return n.Deadline
		}
		return time.Time{}
	}
	return scope.canceledAt
}

// waitsForIdleForks reports whether nothing awaited is in the scope except forks that are
// open and wait for nothing.
func waitsForIdleForks(n *node) bool {
	forks := 0
	for _, below := range n.Below {
		switch {
		case !below.isWaitedFor():
		case below.Kind == kindTask && !below.awaited:
		case below.Kind == kindScope && below.State == "open" && !below.waitsForSomethingBelow():
			forks++
		default:
			return false
		}
	}
	return forks > 0
}

// childStats count the tasks of a scope and the scopes below it, also those that its tasks
// have opened.
type childStats struct {
	tasks, scopes, running, unnamed int
	accepted                        time.Time // when the latest task that takes a slot under a Limit was spawned
}

// childStats returns the statistics of scope n, which are made once.
func (n *node) childStats() *childStats {
	if n.stats != nil {
		return n.stats
	}
	stats := &childStats{}
	for _, below := range n.Below {
		stats.add(below)
		if below.Kind == kindTask {
			for _, opened := range below.Below {
				stats.add(opened)
			}
		}
	}
	n.stats = stats
	return stats
}

func (s *childStats) add(n *node) {
	if n.hasDefaultName() {
		s.unnamed++
	}
	if n.Kind == kindScope {
		s.scopes++
		return
	}
	s.tasks++
	if n.State == stateRunning || n.State == stateCanceling {
		s.running++
	}
	if n.awaited && n.State != stateAbandoned && n.Since.After(s.accepted) {
		s.accepted = n.Since
	}
}

const (
	maxExamples   = 5      // paths in a warning
	maxConditions = 10_000 // that are remembered; others never last long enough for a warning

	// maxSnapshotGap is how far apart two snapshots may be for an intermittent condition
	// in both of them to count as one that has lasted all the time.
	maxSnapshotGap = 30 * time.Second
)

// A warning says what a lint has found in one snapshot.
type warning struct {
	Lint  string    `json:"lint"`
	Level string    `json:"level"`
	Count int       `json:"count"`
	Since time.Time `json:"since"` // the earliest
	Says  string    `json:"says"`
	Do    string    `json:"do"`
	At    []string  `json:"at"`

	AtLeast bool     `json:"atLeast,omitempty"` // it may have begun before Since
	Details []string `json:"details,omitempty"` // of lints that have any: one for each in At
}

// A recheck counts the nodes with a condition that has not lasted long enough for a warning yet.
type recheck struct {
	all   int
	locks int // those that wait for a mutex
}

// A lintState is what the lints remember from one snapshot to the next, since a snapshot
// does not say when each condition began. A condition that no longer holds is forgotten.
type lintState struct {
	taken     time.Time // when the latest snapshot was taken
	firstSeen map[condition]time.Time
}

// A condition is what a lint has found in a node, or a fact about a scope that is needed
// in later snapshots.
type condition struct {
	name string
	node nodeID
}

// The names of conditions that are no lints.
const (
	conditionCanceled = "canceled"
	conditionLongOpen = "open"
)

// run runs the lints on the trees, adds the warnings to their nodes, and returns them.
func (l *lintState) run(roots []*node, now time.Time) (warnings []warning, recheck recheck) {
	next := lintState{taken: now, firstSeen: make(map[condition]time.Time)}
	for _, root := range roots {
		l.setScopeTimes(root, nil, &next)
	}
	found := make([]warning, len(lints))
	marks := make([][]string, len(lints)) // one slice is shared by all nodes with this warning alone
	for i, lint := range lints {
		found[i] = warning{Lint: lint.name, Level: lint.level, Says: lint.says, Do: lint.do}
		marks[i] = []string{lint.name}
	}
	visit := func(n, scope *node) {
		if n.State == "closed" {
			return
		}
		young := false
		for i := range lints {
			lint := &lints[i]
			since, yes := lint.check(n, scope, now)
			if !yes {
				continue
			}
			atLeast := lint.atLeast || since.IsZero()
			if since.IsZero() {
				since = l.seenSince(condition{lint.name, n.nodeID}, lint.intermittent, &next)
			}
			if now.Sub(since) < lint.after {
				young = true
				if lint.name == "maybe-blocked" && n.place.lock != "" {
					recheck.locks++
				}
				continue
			}
			found[i].add(n, since, lint.detail)
			found[i].AtLeast = found[i].AtLeast || atLeast
			if n.Warnings == nil {
				n.Warnings = marks[i]
			} else {
				n.Warnings = append(slices.Clip(n.Warnings), lint.name)
			}
		}
		if young {
			recheck.all++
		}
	}
	for _, root := range roots {
		root.walk(nil, visit)
	}
	*l = next
	return slices.DeleteFunc(found, func(w warning) bool { return w.Count == 0 }), recheck
}

func (w *warning) add(n *node, since time.Time, detail func(n *node) string) {
	if w.Count++; len(w.At) < maxExamples {
		w.At = append(w.At, escape(n.Path, maxPathLen))
		if detail != nil {
			w.Details = append(w.Details, detail(n))
		}
	}
	w.Since = earlier(w.Since, since)
}

// seenSince returns since when snapshots have had the condition, which may be since this
// one, and remembers it in next.
func (l *lintState) seenSince(c condition, intermittent bool, next *lintState) time.Time {
	since, known := l.firstSeen[c]
	if !known || intermittent && next.taken.Sub(l.taken) > maxSnapshotGap {
		since = next.taken
	}
	if len(next.firstSeen) < maxConditions {
		next.firstSeen[c] = since
	}
	return since
}

// setScopeTimes sets canceledAt and wasLongOpen of the scopes from n down. above is the
// scope of n.
func (l *lintState) setScopeTimes(n, above *node, next *lintState) {
	if n.Kind == kindScope {
		switch n.State {
		case stateCanceling:
			n.canceledAt = l.scopeCanceledAt(n, above, next)
		case "open", "finalizing":
			c := condition{conditionLongOpen, n.nodeID}
			_, n.wasLongOpen = l.firstSeen[c]
			if n.wasLongOpen || n.State == "open" && next.taken.Sub(n.Since) >= reportAfter {
				l.seenSince(c, false, next)
			}
		}
		above = n
	}
	for _, below := range n.Below {
		l.setScopeTimes(below, above, next)
	}
}

// scopeCanceledAt returns when scope n was canceled, as far as the snapshot tells, or else
// when a snapshot first had it canceled.
func (l *lintState) scopeCanceledAt(n, above *node, next *lintState) time.Time {
	switch {
	case strings.HasPrefix(n.Cause, "timeout") && !n.Deadline.IsZero():
		return n.Deadline
	case strings.HasPrefix(n.Cause, "parent canceled") && above != nil && !above.canceledAt.IsZero():
		if n.Since.After(above.canceledAt) {
			return n.Since
		}
		return above.canceledAt
	default:
		return l.seenSince(condition{conditionCanceled, n.nodeID}, false, next)
	}
}
