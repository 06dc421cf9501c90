package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Merge makes one history of those of several processes, which [Read] has returned. It
// changes them: they must not be used afterwards.
//
// All processes are taken to have run on one host, with one clock. Times count from the
// beginning of the first recording; nothing else about them is changed. So a scope may begin
// before what has started its process, if the clock of the host was set back meanwhile.
//
// The scopes of a process that has started another one, as the recording of that says, become
// the parents of its roots. If what has started a process is not there, its roots are roots
// of the result. The processes of the result are in the order of their beginning, each below
// the one that has started it. IDs of the scopes of all but the first become
// Process.ID<<32 | ID, as in a snapshot of a tree of processes.
//
// Merge returns an error if there is nothing to merge, if one of the histories is of a file
// of trio-vis or has been merged already, if a recording is there twice, and if one does
// not say when it began.
func Merge(hs ...*History) (*History, error) {
	var m merger
	for _, h := range hs {
		if err := canBeMerged(h); err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		m.all = append(m.all, member{h.Processes[0], h})
	}
	if len(m.all) == 0 {
		return nil, errors.New("history: there is no recording to merge")
	}
	if err := m.sortByTime(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	m.findParents()
	m.breakCircles()
	m.sortByTree()
	m.link()
	m.renumber()
	return m.history(), nil
}

// A merger makes one history of several.
type merger struct{ all []member }

// A member is one of them, with its only process.
type member struct {
	*Process
	of *History
}

// canBeMerged returns an error if the history is not that of one process.
func canBeMerged(h *History) error {
	switch {
	case h == nil:
		return errors.New("a nil *History cannot be merged")
	case h.TrioVis:
		return errors.New("a file of trio-vis does not say which process it is of, and cannot be merged")
	case len(h.Processes) != 1:
		return errors.New("a history that is not of one process cannot be merged: merge those that it was made of")
	case h.Started.IsZero():
		return fmt.Errorf("the recording %s does not say when it began, and cannot be merged", h.Run)
	}
	return nil
}

// sortByTime sorts the members by their beginning, and sets it.
func (m *merger) sortByTime() error {
	slices.SortStableFunc(m.all, func(a, b member) int { return a.of.Started.Compare(b.of.Started) })
	known := make(map[recording]bool, len(m.all))
	for _, p := range m.all {
		is := p.recording()
		if known[is] {
			return fmt.Errorf("the recording %s of process %d is there twice", is.run, is.pid)
		}
		known[is] = true
	}
	const century = 100 * 365 * 24 * time.Hour
	first, last := m.all[0].of, m.all[len(m.all)-1].of
	if last.Started.Sub(first.Started) > century {
		return fmt.Errorf("the recordings %s and %s began more than a century apart", first.Run, last.Run)
	}
	for _, p := range m.all {
		p.Started = p.of.Started.Sub(first.Started)
	}
	return nil
}

// A recording identifies a recording. The run would do, were it not drawn at random.
type recording struct {
	run   string
	pid   int
	began int64
}

func (p member) recording() recording { return recording{p.Run, p.PID, p.of.Started.UnixNano()} }

// findParents finds the process that has started each.
func (m *merger) findParents() {
	type key struct {
		run string
		pid int
	}
	runs, pids := make(map[key]*Process, len(m.all)), make(map[int][]member, len(m.all))
	for _, p := range m.all {
		runs[key{p.Run, p.PID}] = p.Process
		pids[p.PID] = append(pids[p.PID], p)
	}
	for _, p := range m.all {
		if by := p.Starter; by != nil {
			if p.Parent = runs[key{by.Run, by.PID}]; p.Parent == nil {
				p.Parent = lastBefore(pids[by.PID], p)
			}
		}
	}
}

// lastBefore returns the last of the processes that had begun when p began. The number of a
// process that has ended may be given to a new one.
func lastBefore(sorted []member, p member) *Process {
	i, _ := slices.BinarySearchFunc(sorted, p, func(a, p member) int {
		return cmp.Or(a.of.Started.Compare(p.of.Started), -1) // the first that began later
	})
	if i == 0 {
		return nil
	}
	return sorted[i-1].Process
}

// breakCircles makes the first process of a circle one that nobody in the history has
// started, and also one that seems to have started itself. Only recordings that are not what a recorder writes have one.
func (m *merger) breakCircles() {
	const onPath, done = 1, 2
	seen := make(map[*Process]int, len(m.all))
	var path []*Process
	for _, p := range m.all {
		path = path[:0]
		x := p.Process
		for ; x != nil && seen[x] == 0; x = x.Parent {
			seen[x] = onPath
			path = append(path, x)
		}
		if x != nil && seen[x] == onPath {
			first := x
			for y := x.Parent; y != x; y = y.Parent {
				if y.Started < first.Started {
					first = y
				}
			}
			first.Parent = nil
		}
		for _, x := range path {
			seen[x] = done
		}
	}
}

// sortByTree puts the processes into the order of the tree, each below its parent.
func (m *merger) sortByTree() {
	below := make(map[*Process][]member, len(m.all))
	for _, p := range m.all {
		below[p.Parent] = append(below[p.Parent], p)
	}
	sorted := make([]member, 0, len(m.all))
	left := slices.Clone(below[nil]) // a stack, the next one last; a chain of processes may be long
	slices.Reverse(left)
	for len(left) > 0 {
		p := left[len(left)-1]
		left = left[:len(left)-1]
		sorted = append(sorted, p)
		for _, c := range slices.Backward(below[p.Process]) {
			left = append(left, c)
		}
	}
	m.all = sorted
}

// link puts the roots of each process below the scope and the task that have started it. It
// finds these by the IDs that they have in their recording.
func (m *merger) link() {
	starts := make(map[*Process]map[uint64]*Scope) // the scopes of the processes that have started others
	for _, p := range m.all {
		if p.Parent != nil && starts[p.Parent] == nil {
			starts[p.Parent] = make(map[uint64]*Scope)
		}
	}
	for _, p := range m.all {
		if byID := starts[p.Process]; byID != nil {
			for _, s := range p.of.Scopes {
				byID[s.ID] = s
			}
		}
	}
	changed := make(map[*Scope]bool)
	for _, p := range m.all {
		up := starts[p.Parent][starterOf(p).Scope]
		if up == nil {
			continue // the recording does not have it: its lines are lost
		}
		p.By = up.taskWithID(p.Starter.Task)
		for _, s := range p.Roots {
			s.Parent, s.By = up, p.By
			up.Scopes = append(up.Scopes, s)
			if p.By != nil {
				p.By.Scopes = append(p.By.Scopes, s)
			}
		}
		changed[up] = true
	}
	m.shift()
	for s := range changed {
		slices.SortStableFunc(s.Scopes, byTime)
		for _, t := range s.Tasks {
			slices.SortStableFunc(t.Scopes, byTime)
		}
	}
}

// starterOf returns what has started p. IDs of scopes begin with 1, so that no scope is found
// for a process that nobody has started.
func starterOf(p member) Starter {
	if p.Starter == nil {
		return Starter{}
	}
	return *p.Starter
}

// taskWithID returns the task of the scope with an ID, or nil.
func (s *Scope) taskWithID(id uint64) *Task {
	i, found := slices.BinarySearchFunc(s.Tasks, id, func(t *Task, id uint64) int { return cmp.Compare(t.ID, id) })
	if !found {
		return nil
	}
	return s.Tasks[i]
}

// shift makes all times count from the beginning of the first recording.
func (m *merger) shift() {
	for _, p := range m.all {
		by := p.Started
		shift(by, &p.End, &p.Moved, &p.of.End)
		for _, c := range p.of.Censuses {
			shift(by, &c.At)
		}
		for i := range p.of.Losses {
			shift(by, &p.of.Losses[i].At)
		}
		for _, s := range p.of.Scopes {
			shift(by, &s.Opened, &s.Finalized, &s.Canceled, &s.Closed, &s.Deadline)
			shiftAll(by, s.Abandoned)
			for _, t := range s.Tasks {
				shift(by, &t.Spawned, &t.Started, &t.Ready, &t.Stuck, &t.Ended)
				shiftAll(by, t.Abandoned)
			}
		}
	}
}

func shift(by time.Duration, times ...*time.Duration) {
	for _, at := range times {
		if *at != Never {
			*at = min(*at, math.MaxInt64-by) + by // times of a damaged recording may be that large
		}
	}
}

func shiftAll(by time.Duration, times []time.Duration) {
	for i := range times {
		shift(by, &times[i])
	}
}

// renumber makes IDs unique. A PID that a process had before, or none, is replaced by a
// number that is larger than any PID of Linux.
func (m *merger) renumber() {
	taken := make(map[uint64]bool, len(m.all))
	next := uint64(1 << 22)
	for i, p := range m.all {
		for p.ID == 0 || taken[p.ID] {
			next++
			p.ID = next
		}
		taken[p.ID] = true
		if i == 0 {
			continue
		}
		for _, s := range p.of.Scopes {
			s.ID |= p.ID << 32
		}
	}
}

// history returns the result.
func (m *merger) history() *History {
	first := m.all[0]
	h := &History{
		Started: first.of.Started.Add(-first.Started), Run: first.Run, Segment: first.Segment,
		PID: first.PID, Go: first.Go, Program: first.Program, Closed: true,
	}
	for _, p := range m.all {
		h.Processes = append(h.Processes, p.Process)
		h.Scopes = append(h.Scopes, p.of.Scopes...)
		h.Losses = append(h.Losses, p.of.Losses...)
		h.Censuses = append(h.Censuses, p.of.Censuses...)
		h.Skipped = append(h.Skipped, p.of.Skipped...)
		h.End = max(h.End, p.End)
		h.Closed = h.Closed && p.Closed
		h.Truncated = h.Truncated || p.Truncated
		h.Damaged += p.Damaged
	}
	slices.SortStableFunc(h.Scopes, byTime)
	slices.SortStableFunc(h.Losses, func(a, b Loss) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(h.Censuses, func(a, b *Census) int { return cmp.Compare(a.At, b.At) })
	setUntil(h.Processes)
	return h
}
