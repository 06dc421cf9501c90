package live

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

// The one window into the inside that the tests in package live_test have.

// Memory is what lints know of earlier looks.
type Memory = memory

// Clean escapes a text.
func Clean(s string, most int) string { return clean(s, most) }

func viewOf(m *Memory, now time.Time, rawQuery string, shots []traigo.Snapshot) *view {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		panic(err)
	}
	q, err := parseQuery(values)
	if err != nil {
		panic(err)
	}
	return newLook(shots, now, m).view(q)
}

// Text draws snapshots.
func Text(m *Memory, now time.Time, rawQuery string, shots ...traigo.Snapshot) string {
	var b strings.Builder
	viewOf(m, now, rawQuery, shots).writeText(&b)
	return b.String()
}

// JSON encodes snapshots.
func JSON(m *Memory, now time.Time, rawQuery string, shots ...traigo.Snapshot) []byte {
	return viewOf(m, now, rawQuery, shots).json(true)
}

// StableJSON encodes them for a stream.
func StableJSON(m *Memory, now time.Time, shots ...traigo.Snapshot) (text []byte, hash string) {
	return viewOf(m, now, "", shots).stableJSON()
}

// Lints counts what is found, and says of how much it is too early to tell.
func Lints(m *Memory, now time.Time, shots ...traigo.Snapshot) (found map[string]int, recheck int) {
	found = map[string]int{}
	l := newLook(shots, now, m)
	for _, w := range l.warnings {
		found[w.Lint] = w.Count
	}
	return found, l.recheck
}

// LintNames are those of the table, each with what it says to do.
func LintNames() map[string]string {
	names := map[string]string{}
	for _, l := range lints {
		names[l.name] = l.do
	}
	return names
}

// Streams is how many clients listen.
func Streams(h any) int {
	own, ok := h.(*handler)
	if !ok {
		panic("not a Handler")
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.streams
}

// Looks is how many snapshots have been taken.
func Looks(h any) uint64 {
	own, ok := h.(*handler)
	if !ok {
		panic("not a Handler")
	}
	own.looks.mu.Lock()
	defer own.looks.mu.Unlock()
	return own.looks.begun
}

// IsForgetful reports whether nothing is kept of looks that nobody waits for.
func IsForgetful(h any) bool {
	own, ok := h.(*handler)
	if !ok {
		panic("not a Handler")
	}
	own.looks.mu.Lock()
	defer own.looks.mu.Unlock()
	return own.looks.picture == nil
}

// NewCamera returns the method get of a camera whose pictures are texts.
func NewCamera(gap time.Duration, take func(key int) string) func(ctx context.Context, key int) (string, error) {
	return newCamera(gap, take).get
}
