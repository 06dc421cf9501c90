package errgroup

// Undecided returns how many tasks of g have failed, and are kept until it is decided what
// follows.
func Undecided(g *Group) int {
	f := g.failures()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ending)
}
