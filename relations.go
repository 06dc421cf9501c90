package traigo

// What hangs on what: for observers that draw the tree, such as package record.

// Parent returns the scope above s in the tree; nil for a root.
func (s *Scope) Parent() *Scope {
	s.check("Parent")
	return s.parent
}

// Task returns the task of the parent whose context s was opened under, by Run or
// New; nil if it was opened by the parent's body, by Fork, or outside.
func (s *Scope) Task() *Task {
	s.check("Task")
	// Not by place: what is further out than the parent cannot be the parent's.
	if t, is := s.outer.Value(nodeKey{}).(*Task); is && t.scope == s.parent {
		return t
	}
	return nil
}

// CanceledBy returns the task that ended the scope: by failing, by panicking, or
// as its master. It is nil while the scope has not ended, and if something else
// has ended it.
func (s *Scope) CanceledBy() *Task {
	s.check("CanceledBy")
	if e := s.over.Load(); e != nil {
		return e.task
	}
	return nil
}

// Flags returns what [Bubble], [Master] and [Awaited] have fixed when the task was
// spawned. The first is true if a failure of the task ends its scope.
func (t *Task) Flags() (bubble, isMaster, isAwaited bool) {
	return t.owner == ownScope, t.flags&master != 0, t.flags&awaited != 0
}

// Failed reports whether the task has ended by an error of its own, or a panic: not
// one that its cancellation explains. A task that was refused has not failed, for it
// never ran. When observers hear of [TaskEnded] it is known.
func (t *Task) Failed() bool { return t.has(hasFailed) }
