package history

// What failed first.

// firstFailed returns the scope that was the first to fail on its own account: where a
// failure went up through several at once, the innermost. It is nil if none failed.
func (h *History) firstFailed() (first *Scope) {
	for _, s := range h.Scopes {
		if !s.failedItself() {
			continue
		}
		if first == nil || s.Canceled < first.Canceled || s.Canceled == first.Canceled && s.isBelow(first) {
			first = s
		}
	}
	return first
}

// failedItself tells a scope that failed from one that ended with what it was in.
func (s *Scope) failedItself() bool {
	if s.Cause == nil || s.Canceled == Never {
		return false
	}
	switch s.Cause.Kind {
	case "task failed", "body failed", "panicked", "timeout":
		return true
	default:
		return false
	}
}

func (s *Scope) isBelow(up *Scope) bool {
	for s = s.Parent; s != nil; s = s.Parent {
		if s == up {
			return true
		}
	}
	return false
}
