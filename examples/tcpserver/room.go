package main

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// A room is the set of guests. Its zero value is empty.
type room struct {
	mu     sync.Mutex
	guests map[*guest]struct{}
}

// join adds g. The first line that g gets is the welcome, and after it g gets every line
// that is said.
func (r *room) join(g *guest) {
	r.mu.Lock()
	if r.guests == nil {
		r.guests = map[*guest]struct{}{}
	}
	r.guests[g] = struct{}{}
	g.tell("* welcome, %s: /who, /slow 2s and /quit are commands, all else is said to the others", g.name)
	r.mu.Unlock()
	r.broadcast(g, "* %s joined", g.name)
}

func (r *room) leave(g *guest, why error) {
	r.mu.Lock()
	delete(r.guests, g)
	r.mu.Unlock()
	if errors.Is(why, errTooSlow) {
		r.broadcast(g, "* %s was dropped: %v", g.name, errTooSlow)
	} else {
		r.broadcast(g, "* %s left", g.name)
	}
}

// broadcast sends a line to all guests except from.
func (r *room) broadcast(from *guest, format string, args ...any) {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.guests))
	r.mu.Unlock()
	for _, g := range all {
		if g != from {
			g.tell(format, args...)
		}
	}
}
