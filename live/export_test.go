package live

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// What the tests in package live_test need of the inside is in this file.

// LintState is what lints remember between snapshots.
type LintState = lintState

// Escape escapes a text, and cuts it after most runes.
func Escape(s string, most int) string { return escape(s, most) }

func viewOf(m *LintState, now time.Time, rawQuery string, roots []traigo.Snapshot) *view {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		panic(err)
	}
	q, err := parseQuery(values)
	if err != nil {
		panic(err)
	}
	return newSnapshot(roots, now, nil, m).view(q)
}

// Text returns the answer as text to a query about the roots.
func Text(m *LintState, now time.Time, rawQuery string, roots ...traigo.Snapshot) string {
	var b strings.Builder
	viewOf(m, now, rawQuery, roots).writeText(&b)
	return b.String()
}

// JSON returns the answer as JSON to a query about the roots.
func JSON(m *LintState, now time.Time, rawQuery string, roots ...traigo.Snapshot) []byte {
	return viewOf(m, now, rawQuery, roots).json(true)
}

// Lints returns how many warnings of each lint there are about the roots, and how many
// conditions have not lasted long enough for one.
func Lints(m *LintState, now time.Time, roots ...traigo.Snapshot) (found map[string]int, recheck int) {
	found = map[string]int{}
	s := newSnapshot(roots, now, nil, m)
	for _, w := range s.warnings {
		found[w.Lint] = w.Count
	}
	return found, s.recheck.all
}

// LintAdvice returns what each lint says to do, by its name.
func LintAdvice() map[string]string {
	advice := map[string]string{}
	for _, l := range lints {
		advice[l.name] = l.do
	}
	return advice
}

func insideOf(h http.Handler) *handler {
	own, ok := h.(*handler)
	if !ok {
		panic("not made by Handler")
	}
	return own
}

// A Looks shows dumps that tests write by hand, one after the other.
type Looks struct {
	last  *look
	state LintState
}

// JSON returns the answer to a look that finds the dumps. gc is when the last garbage
// collection was.
func (x *Looks) JSON(now, gc time.Time, dumps ...traigo.Snapshot) []byte {
	return x.look(now, gc, dumps).json(true)
}

// Text returns the same as text.
func (x *Looks) Text(now, gc time.Time, dumps ...traigo.Snapshot) string {
	var b strings.Builder
	x.look(now, gc, dumps).writeText(&b)
	return b.String()
}

func (x *Looks) look(now, gc time.Time, dumps []traigo.Snapshot) *view {
	l := newLook(dumps, now)
	l.compare(x.last, gc)
	x.last = l
	return newSnapshot(dumps, now, l, &x.state).view(query{full: true, all: true})
}

// LooksTaken returns when the last look was taken; zero if there is none.
func LooksTaken(h http.Handler) time.Time {
	if l := insideOf(h).looker.get(); l != nil {
		return l.taken
	}
	return time.Time{}
}

// LooksCost sets how long a look is taken to last for each goroutine.
func LooksCost(h http.Handler, perOne time.Duration) {
	l := &insideOf(h).looker
	l.mu.Lock()
	defer l.mu.Unlock()
	l.perOne = perOne
}

// StreamsOf is Streams for any handler; 0 for one that is not made by Handler.
func StreamsOf(h http.Handler) int {
	if own, ok := h.(*handler); ok {
		return Streams(own)
	}
	return 0
}

// Streams returns how many streams are open.
func Streams(h http.Handler) int {
	own := insideOf(h)
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.streams
}

// SnapshotsTaken returns how many snapshots have been taken so far.
func SnapshotsTaken(h http.Handler) uint64 {
	t := insideOf(h).snapshots
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started
}

// KeepsSnapshot reports whether a snapshot is kept for clients to come.
func KeepsSnapshot(h http.Handler) bool {
	t := insideOf(h).snapshots
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result != nil
}

// Throttle returns the method get of a throttle.
func Throttle(interval time.Duration, call func(key int) string) func(ctx context.Context, key int) (string, error) {
	return newThrottle(interval, call).get
}
