package history

import "strings"

// parentCanceled is the kind of a cause that lies further up.
const parentCanceled = "parent canceled"

// Culprit says what really ended the scope: it follows "parent canceled" upward to the
// first cause. The scope is the one that was ended first, s itself or one above it;
// the task is what ended that one, nil if no task did (a timeout, say, or a call of
// Cancel).
//
// A scope may have ended with the task that opened it while its parent went on: that
// task is the culprit then, and the scope is the parent, which it belongs to. Both are
// nil as long as s has not ended, or if the log does not tell why.
func (s *Scope) Culprit() (*Task, *Scope) {
	for {
		task, scope, further := s.endedBy()
		if !further {
			return task, scope
		}
		s = s.Parent
	}
}

// endedBy is one step of it: further if it is the parent's culprit.
func (s *Scope) endedBy() (task *Task, scope *Scope, further bool) {
	switch {
	case s.Cause == nil:
		return nil, nil, false
	case s.Cause.Kind != parentCanceled:
		return s.Cause.By, s, false
	case s.Parent == nil:
		return nil, s, false // a context from outside
	case s.endedWithParent():
		return nil, nil, true
	case s.endedWithTask():
		return s.By, s.Parent, false
	default:
		return nil, s, false // a context in between
	}
}

// A culprit is what Culprit returns.
type culprit struct {
	task  *Task
	scope *Scope
}

// culprits remembers them: of a chain of scopes each would be looked for along all of it.
type culprits map[*Scope]culprit

func (known culprits) of(s *Scope) culprit {
	var way []*Scope
	for {
		if c, ok := known[s]; ok {
			return known.remember(c, way)
		}
		way = append(way, s)
		task, scope, further := s.endedBy()
		if !further {
			return known.remember(culprit{task, scope}, way)
		}
		s = s.Parent
	}
}

func (known culprits) remember(c culprit, way []*Scope) culprit {
	for _, s := range way {
		known[s] = c
	}
	return c
}

// endedWithParent reports whether it was the parent's end that s calls "parent
// canceled", not that of a context in between: the parent's is told first. Only a scope
// that was about to end anyway may learn of it and tell its own a moment before.
func (s *Scope) endedWithParent() bool {
	at := s.Parent.Canceled
	if at == Never || s.Closed != Never && at > s.Closed {
		return false
	}
	return at <= s.Canceled || strings.HasPrefix(s.Cause.Err, "scope ")
}

// endedWithTask reports whether it was that of the task that opened it, if not the parent's.
func (s *Scope) endedWithTask() bool { return s.By != nil && s.By.State == TaskCanceled }
