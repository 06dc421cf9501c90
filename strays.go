package traigo

import (
	"cmp"
	"slices"
)

// A stray is something that its scope could not wait for: a call that Blocking
// has abandoned, or a task that was given up. While it runs it is in every
// snapshot, also when its scope has closed: so the root of the tree keeps it.
type stray struct {
	scope *Scope
	task  *Task // nil for a call made by a body
	call  *call // nil for a task that was given up
	state string
	since stamp
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
	if _, ended := s.rare.strays[key]; ended {
		delete(s.rare.strays, key)
		return
	}
	s.straysLocked()[key] = &x
}

func (s *Scope) forget(key any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.rare.strays[key]; known {
		delete(s.rare.strays, key)
		return
	}
	s.straysLocked()[key] = nil // it ended before it was remembered, which is under way
}

func (s *Scope) straysLocked() map[any]*stray {
	r := s.ownRareLocked()
	if r.strays == nil {
		r.strays = make(map[any]*stray)
	}
	return r.strays
}

// straysBelow returns the strays of s and of what was opened below it, each
// under the nearest scope above it that is still open, or s itself.
func (s *Scope) straysBelow() map[*Scope][]stray {
	root := s.root()
	root.mu.Lock()
	all := make([]stray, 0, len(root.rare.strays))
	for _, x := range root.rare.strays {
		if x != nil {
			all = append(all, *x)
		}
	}
	root.mu.Unlock()
	slices.SortFunc(all, func(a, b stray) int { return cmp.Compare(a.since, b.since) })

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

func (x stray) snapshot(around surroundings) TaskSnapshot {
	shot := TaskSnapshot{Scope: x.scope.id, Name: x.scope.Name(), Path: x.scope.Path()}
	if x.task != nil {
		shot = x.task.snapshot(x.scope.Path(), true, around)
	}
	shot.State, shot.Age = x.state, x.since.age()
	return shot
}
