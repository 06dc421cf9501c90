package traigo

import (
	"cmp"
	"slices"
	"time"
)

// A stray is something that its scope could not wait for: a call that Blocking
// has abandoned, or a task that was given up. While it runs it is in every
// snapshot, also when its scope has closed: so the root of the tree keeps it.
type stray struct {
	scope *Scope
	task  *Task // nil for a call made by a body
	state string
	since time.Time
}

func (s *Scope) root() *Scope {
	for s.parent != nil {
		s = s.parent
	}
	return s
}

// remember and forget take a *call or a *Task for the key. Whichever comes
// first wins: what has ended already is not remembered.
func (s *Scope) remember(key any, x stray) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.strays[key]; ended {
		delete(s.strays, key)
		return
	}
	if s.strays == nil {
		s.strays = make(map[any]*stray)
	}
	s.strays[key] = &x
}

func (s *Scope) forget(key any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.strays[key]; known {
		delete(s.strays, key)
		return
	}
	if s.strays == nil {
		s.strays = make(map[any]*stray)
	}
	s.strays[key] = nil // it ended before it was remembered, which is under way
}

// straysBelow returns the strays of s and of what was opened below it, each
// under the nearest scope above it that is still open, or s itself.
func (s *Scope) straysBelow() map[*Scope][]stray {
	root := s.root()
	root.mu.Lock()
	all := make([]stray, 0, len(root.strays))
	for _, x := range root.strays {
		if x != nil {
			all = append(all, *x)
		}
	}
	root.mu.Unlock()
	slices.SortFunc(all, func(a, b stray) int { return cmp.Compare(a.since.UnixNano(), b.since.UnixNano()) })

	at := make(map[*Scope][]stray, len(all))
	for _, x := range all {
		home := x.scope
		for home != nil && home != s && home.State() == Closed {
			home = home.parent
		}
		at[home] = append(at[home], x)
	}
	return at
}

func (x stray) snapshot() TaskSnapshot {
	shot := TaskSnapshot{Name: x.scope.Name(), Path: x.scope.Path()}
	if x.task != nil {
		shot = x.task.snapshot()
	}
	shot.State, shot.Age = x.state, time.Since(x.since)
	return shot
}
