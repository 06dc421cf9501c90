package traigo

// A signal is a channel that is closed once, and made only when somebody wants
// to wait for it. Whether it has been given is known to its owner, under the
// lock of the scope.
type signal chan struct{}

func (g *signal) waitLocked(given bool) <-chan struct{} {
	if *g == nil {
		*g = make(chan struct{})
		if given {
			close(*g)
		}
	}
	return *g
}

func (g signal) giveLocked() {
	if g != nil {
		close(g)
	}
}
