// Package limits knows the limiters of package capacity in which somebody waits, so that
// package live can show who holds their units and who waits for them.
package limits

import (
	"slices"
	"sync"
)

// A State is a limiter at one moment. Of holders and waiters only the first are named.
type State struct {
	Limit   int      `json:"limit"`
	InUse   int      `json:"inUse"`
	Holders []string `json:"holders,omitempty"`
	Waiting int      `json:"waiting"`
	Waiters []string `json:"waiters,omitempty"`
}

// A limiter is one in which somebody waits.
type limiter struct {
	key      any
	describe func(most int) State
	waits    int
}

var (
	mu    sync.Mutex // a leaf
	known = make(map[any]*limiter)
	order []*limiter // those in known, as they came
)

// Wait is called when a caller begins to wait for units, and the function that it returns
// when that is over. Until all callers with the same key have called theirs, describe may be
// called, by any goroutine; it names no more than most holders and waiters. Nothing of a limiter
// is referred to afterwards.
func Wait(key any, describe func(most int) State) (over func()) {
	mu.Lock()
	defer mu.Unlock()
	l := known[key]
	if l == nil {
		l = &limiter{key: key, describe: describe}
		known[key] = l
		order = append(order, l)
	}
	l.waits++
	return l.leave
}

func (l *limiter) leave() {
	mu.Lock()
	defer mu.Unlock()
	if l.waits--; l.waits > 0 {
		return
	}
	delete(known, l.key)
	i := slices.Index(order, l)
	order = slices.Delete(order, i, i+1)
}

// States returns the states of the limiters in which callers have waited longest: of at most
// limiters, each with no more than most holders and waiters.
func States(limiters, most int) (states []State) {
	for _, l := range first(limiters) {
		if s := l.describe(most); s.Waiting > 0 { // else the wait is over meanwhile
			states = append(states, s)
		}
	}
	return states
}

func first(limiters int) []*limiter {
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(order[:min(len(order), limiters)])
}
