package traigo

// A signal is a channel that is closed once, and made only when somebody wants
// to wait for it. Its methods expect the lock of the scope to be held.
type signal struct {
	c     chan struct{}
	fired bool
}

func (g *signal) waitLocked() <-chan struct{} {
	if g.c == nil {
		g.c = make(chan struct{})
		if g.fired {
			close(g.c)
		}
	}
	return g.c
}

func (g *signal) fireLocked() {
	if g.fired {
		return
	}
	g.fired = true
	if g.c != nil {
		close(g.c)
	}
}
