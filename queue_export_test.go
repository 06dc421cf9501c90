package traigo

import "context"

// SpawnLater accepts a task and leaves it in the queue until launch is called:
// what a machine too busy to start a goroutine does, without such a machine.
func SpawnLater(s *Scope, fn func(context.Context) error, opts ...TaskOption) (t *Task, launch func()) {
	t = &Task{scope: s, fn: fn, flags: bubbles | awaited}
	t.configure("SpawnLater", opts)
	s.mu.Lock()
	s.reserveLocked(t)
	due := s.enqueueLocked(t)
	s.mu.Unlock()
	return t, func() { s.launch(t, due) }
}
