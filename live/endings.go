package live

import (
	"cmp"
	"context"
	"slices"
	"time"
	"weak"

	"github.com/traigo/traigo"
	inner "github.com/traigo/traigo/internal/processes"
	"github.com/traigo/traigo/internal/serials"
)

// maxEnded is how many kinds of endings a Tracker keeps, and how many closed roots.
const maxEnded = 50

// endings are what a Tracker tells of scopes that have ended, in an answer.
type endings struct {
	Ended       []endedScope `json:"ended,omitempty"`
	FailedTotal int          `json:"failedTotal,omitempty"`
}

// An endedScope is what a Tracker keeps of scopes that have ended alike: their paths and
// errors differ in numbers only. Path, Opened, Ended, Err and Above are those of the last.
type endedScope struct {
	Path   string    `json:"path"`
	Opened time.Time `json:"opened"`
	Ended  time.Time `json:"ended"`
	Err    string    `json:"err,omitempty"`
	Count  int       `json:"count"`
	First  time.Time `json:"first"`            // when the first of them ended
	Weight int       `json:"weight,omitempty"` // how many tasks and scopes one of them has canceled, at most
	Above  int       `json:"above,omitempty"`  // how many scopes above have failed because of it

	Canceled bool `json:"canceled,omitempty"` // it ended with Err only because its parent was canceled
}

// failed reports whether there is an error that is not only a consequence.
func (e endedScope) failed() bool { return e.Err != "" && !e.Canceled }

func (e endedScope) reason() string {
	if e.Err == "" {
		return ""
	}
	return ": " + e.Err
}

// compareRank puts failures before other endings, then what has canceled more, then what
// has ended later.
func (e endedScope) compareRank(other endedScope) int {
	isFine := func(e endedScope) int {
		if e.failed() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(isFine(e), isFine(other)), cmp.Compare(other.Weight, e.Weight), other.Ended.Compare(e.Ended))
}

// An ending is one scope that has ended.
type ending struct {
	id      uint64
	scope   endedScope
	weight  int
	outcome weak.Pointer[traigo.Error] // zero if there is none; weak, since it may hold anything
	causes  []weak.Pointer[traigo.Error]
	kind    *endedScope
}

// newEnding describes a scope that has closed.
func newEnding(s traigo.Snapshot, at time.Time, err error) *ending {
	path := escape(s.Path, maxPathLen)
	e := &ending{id: s.ID, scope: endedScope{Path: path, Opened: s.Opened, Ended: at}}
	if err == nil {
		return e
	}
	e.scope.Err = escape(firstLine(err.Error()), maxErrorLen)
	e.scope.Canceled = isConsequence(err, maxDepth)
	if outcome, is := err.(*traigo.Error); is { //nolint:errorlint // the outcome itself
		e.outcome, e.causes = weak.Make(outcome), causesOf(outcome)
	}
	return e
}

// isConsequence reports whether an error says only that the parent was canceled.
func isConsequence(err error, depth int) bool {
	if depth == 0 {
		return false
	}
	all := func(errs ...error) bool {
		return !slices.ContainsFunc(errs, func(err error) bool { return !isConsequence(err, depth-1) })
	}
	switch err := err.(type) { //nolint:errorlint // it goes down by itself
	case *traigo.Cancellation:
		return err.Kind == traigo.ParentCanceled
	case *traigo.Error:
		return err.More == 0 && all(err.Unwrap()...)
	case *traigo.TaskError:
		return all(err.Err)
	default:
		return false
	}
}

// causesOf returns the outcomes of scopes below because of which a scope has failed, if it
// has failed for no other reason: from the outside inward.
func causesOf(e *traigo.Error) (causes []weak.Pointer[traigo.Error]) {
	for len(causes) < maxDepth && e.More == 0 {
		if slices.ContainsFunc(e.Others, func(err error) bool { return !isConsequence(err, maxDepth) }) {
			break
		}
		below := outcomeIn(e.Err)
		if below == nil {
			break
		}
		causes = append(causes, weak.Make(below))
		e = below
	}
	return causes
}

// outcomeIn returns the outcome of a scope that err is, or that it wraps and nothing else; nil
// if there is none. Unwrap may be foreign: it may panic, or return the error itself.
func outcomeIn(err error) (found *traigo.Error) {
	defer func() {
		if recover() != nil {
			found = nil
		}
	}()
	for range maxDepth {
		switch e := err.(type) { //nolint:errorlint // it goes down by itself
		case *traigo.Error:
			return e
		case *traigo.Cancellation:
			return nil // it says what has ended a scope, and that is above
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }: // of errors.Join, which leaves out nil
			all := e.Unwrap()
			if len(all) != 1 {
				return nil
			}
			err = all[0]
		default:
			return nil
		}
	}
	return nil
}

// An endingLog folds endings. Its zero value is ready.
type endingLog struct {
	kinds  map[endingKind]*endedScope
	failed int
	recent [128]*ending // the last ones, so that those that they cause find them
	next   int          // index in recent
}

// An endingKind is what endings have in common that are folded.
type endingKind struct{ path, err string }

// add adds an ending, unless it is a consequence of one that is there, or is there itself: a
// Tracker may observe a scope twice, by an option of its own and by one of a scope above.
func (l *endingLog) add(e *ending) {
	if slices.ContainsFunc(l.recent[:], func(other *ending) bool { return other != nil && other.id == e.id }) {
		return
	}
	if l.attribute(e) {
		return
	}
	l.recent[l.next] = e
	l.next = (l.next + 1) % len(l.recent)
	if e.scope.failed() {
		l.failed++
	}
	key := endingKind{serials.Fold(e.scope.Path), serials.Fold(e.scope.Err)}
	kind := l.kinds[key]
	if kind == nil {
		if l.kinds == nil {
			l.kinds = make(map[endingKind]*endedScope)
		}
		if len(l.kinds) == maxEnded {
			l.evict()
		}
		kind = &endedScope{First: e.scope.Ended}
		l.kinds[key] = kind
	}
	e.kind = kind
	e.scope.First, e.scope.Count, e.scope.Weight = kind.First, kind.Count+1, max(kind.Weight, e.weight)
	*kind = e.scope
}

// attribute adds what e has canceled to the ending that has caused it, if that is among the
// recent ones, and reports whether it is.
func (l *endingLog) attribute(e *ending) bool {
	for i, cause := range slices.Backward(e.causes) {
		for _, before := range l.recent {
			if before == nil || before.outcome != cause {
				continue
			}
			before.weight += e.weight
			before.kind.Weight = max(before.kind.Weight, before.weight)
			if before.kind.Ended.Equal(before.scope.Ended) {
				before.kind.Above = max(before.kind.Above, i+1)
			}
			return true
		}
	}
	return false
}

// evict forgets the kind of the lowest rank.
func (l *endingLog) evict() {
	var last endingKind
	for key, kind := range l.kinds {
		if l.kinds[last] == nil || kind.compareRank(*l.kinds[last]) > 0 {
			last = key
		}
	}
	delete(l.kinds, last)
}

// endings returns what is kept, ranked.
func (l *endingLog) endings() endings {
	all := endings{FailedTotal: l.failed}
	for _, kind := range l.kinds {
		all.Ended = append(all.Ended, *kind)
	}
	slices.SortFunc(all.Ended, func(a, b endedScope) int { return cmp.Or(a.compareRank(b), cmp.Compare(a.Path, b.Path)) })
	return all
}

// countIn returns how many tasks and scopes are canceled with a scope of which ScopeCanceled
// is being told: the contexts of what is in it are not done yet, unless they were before.
func countIn(s *traigo.Scope) int {
	noWait, cancel := context.WithCancel(context.Background())
	cancel() // scopes in other processes are not waited for
	shot, _ := inner.Snapshot(noWait, s, false).(traigo.Snapshot)
	return contentOf(shot)
}

// contentOf leaves out what something else has canceled before: single tasks, and scopes with
// all that is in them.
func contentOf(s traigo.Snapshot) (n int) {
	for _, t := range s.Tasks {
		if t.State == stateQueued || t.State == stateRunning {
			n++
		}
	}
	for _, below := range s.Scopes {
		if below.State == traigo.Open || below.State == traigo.Finalizing {
			n += 1 + contentOf(below)
		}
	}
	return n
}

// writeEndings writes which scopes have failed, the most important first, and which roots have
// ended without a failure. Of other scopes that have, a Tracker keeps nothing.
func (t *textWriter) writeEndings(all endings) {
	fine := slices.IndexFunc(all.Ended, func(e endedScope) bool { return !e.failed() })
	if fine < 0 {
		fine = len(all.Ended)
	}
	if fine > 0 {
		t.line("\n", pluralOf(all.FailedTotal, "scope has", "scopes have"), " failed:")
	}
	for _, e := range all.Ended[:fine] {
		t.ending(e)
	}
	if fine < len(all.Ended) {
		t.line("\nroots that have ended without a failure:")
	}
	for _, e := range all.Ended[fine:] {
		t.ending(e)
	}
}

func (t *textWriter) ending(e endedScope) {
	times, notes := "", ""
	if e.Count > 1 {
		times = " [×" + withCommas(e.Count) + " since " + formatDuration(t.now.Sub(e.First)) + " ago]"
	}
	if e.Above > 0 {
		notes += "; and " + plural(e.Above, "scope") + " above"
	}
	switch {
	case e.Weight > 0 && e.Count > 1:
		notes += "; up to " + withCommas(e.Weight) + " canceled because of each"
	case e.Weight > 0:
		notes += "; " + withCommas(e.Weight) + " canceled because of it"
	}
	t.line("  ", formatDuration(t.now.Sub(e.Ended)), " ago, after ", formatDuration(e.Ended.Sub(e.Opened)), times, ": ", e.Path, e.reason(), notes)
}
