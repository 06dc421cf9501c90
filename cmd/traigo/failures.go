package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// failures is an observer that tells which scopes have failed. Failures that are alike, by
// the name of the scope and the reason, are one kind. The kind that took the most down with
// it is the one that matters: it is told first, and stays.
type failures struct {
	began time.Time
	hide  string // is left out of texts: a directory that nobody needs to see

	mu      sync.Mutex // guards the fields below
	kinds   []*failure // in the order of the first of each
	restart string     // the latest attempt of a supervisor after the first
}

// A failure is a kind of failures.
type failure struct {
	scope, reason string
	count         int
	first, last   time.Duration // since the demo began
	weight        int           // the most tasks and scopes that were canceled for one of them
}

func newFailures(hide string) *failures { return &failures{began: time.Now(), hide: hide} }

var numbers = regexp.MustCompile(`\d+`)

// Observe notes a scope that fails by itself or runs out of time, and a new attempt of a
// supervisor.
func (f *failures) Observe(e traigo.Event) {
	at := e.Time.Sub(f.began)
	switch e.Kind {
	case traigo.ScopeOpened:
		if name := e.Scope.Name(); strings.HasPrefix(name, "supervisor attempt ") && !strings.HasSuffix(name, " 1") {
			f.noteRestart(fmt.Sprintf("%s began at %s", name, moment(at)))
		}
	case traigo.ScopeCanceled:
		if why, ok := errors.AsType[*traigo.Cancellation](e.Err); ok {
			if reason := f.reasonOf(e.Scope, why); reason != "" {
				f.note(e.Scope.Name(), reason, at, sizeOf(e.Scope.Snapshot())-1)
			}
		}
	default:
	}
}

// reasonOf returns why the scope has failed, "" if it has not. A scope to which the failure
// of one below it was passed on counts as one that was taken down.
func (f *failures) reasonOf(s *traigo.Scope, why *traigo.Cancellation) string {
	if below, ok := errors.AsType[*traigo.Error](why.Err); ok && below != nil {
		return ""
	}
	switch why.Kind {
	case traigo.TimedOut:
		return "ran out of time"
	case traigo.TaskFailed:
		return fmt.Sprintf("failed: task %s: %s", s.CanceledBy().Name(), f.text(why.Err))
	case traigo.BodyFailed, traigo.Panicked:
		return "failed: " + f.text(why.Err)
	default:
		return ""
	}
}

func (f *failures) text(err error) string { return strings.ReplaceAll(err.Error(), f.hide, "") }

// sizeOf returns how many scopes and tasks are in a snapshot.
func sizeOf(s traigo.Snapshot) int {
	n := 1 + len(s.Tasks)
	for _, below := range s.Scopes {
		n += sizeOf(below)
	}
	return n
}

func (f *failures) note(scope, reason string, at time.Duration, weight int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	alike := func(k *failure) bool {
		return numbers.ReplaceAllString(k.scope+k.reason, "") == numbers.ReplaceAllString(scope+reason, "")
	}
	i := slices.IndexFunc(f.kinds, alike)
	if i < 0 {
		i = len(f.kinds)
		f.kinds = append(f.kinds, &failure{scope: scope, reason: reason, first: at})
	}
	k := f.kinds[i]
	k.count++
	k.last, k.weight = at, max(k.weight, weight)
}

func (f *failures) noteRestart(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restart = text
}

// minWeight is how many tasks and scopes a failure has to take down with it to be the one
// that matters: a connection with a request is less.
const minWeight = 8

// lines returns the failure that matters, if it has happened, in two lines; and those that
// harmed nobody else, a line for each kind, the most frequent first.
func (f *failures) lines() (matters, tolerated []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds := slices.SortedStableFunc(slices.Values(f.kinds), func(a, b *failure) int { return cmp.Compare(b.count, a.count) })
	var worst *failure
	for _, k := range kinds {
		if k.weight >= minWeight && (worst == nil || k.weight > worst.weight) {
			worst = k
		}
	}
	for _, k := range kinds {
		switch {
		case k == worst:
			matters = []string{
				fmt.Sprintf("✗ %s  %s %s", moment(k.last), k.scope, k.reason),
				fmt.Sprintf("  %d tasks and scopes were canceled for it; %s", k.weight, cmp.Or(f.restart, "its supervisor is to start it again")),
			}
		case k.count == 1:
			tolerated = append(tolerated, fmt.Sprintf("· %s  %s %s", moment(k.last), k.scope, k.reason))
		default:
			tolerated = append(tolerated, fmt.Sprintf("· %d × %s %s, last at %s", k.count, k.scope, k.reason, moment(k.last)))
		}
	}
	return matters, tolerated
}

// moment returns a time on the clock of the demo.
func moment(at time.Duration) string { return fmt.Sprintf("%.1f s", at.Seconds()) }
