package history

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// A lane is a row of slices of which none overlaps another.
type lane struct {
	row    string
	tasks  bool
	number int // in its row, from 1
	slices []*slice
}

// lanes distributes the slices: those with the same path share lanes, scopes and tasks
// apart. Rows come in the order of the picture.
func lanes(all []*slice) (lanes []*lane) {
	type key struct {
		row   string
		tasks bool
	}
	rows := make(map[key][]*slice)
	var order []key
	for _, sl := range all {
		k := key{sl.row, sl.task != nil}
		if rows[k] == nil {
			order = append(order, k)
		}
		rows[k] = append(rows[k], sl)
	}
	for _, k := range order {
		for i, slices := range pack(rows[k]) {
			lanes = append(lanes, &lane{row: k.row, tasks: k.tasks, number: i + 1, slices: slices})
		}
	}
	return lanes
}

// pack gives each slice the first lane that is free when it begins. One that has no
// end keeps its lane.
func pack(row []*slice) (lanes [][]*slice) {
	slices.SortStableFunc(row, func(a, b *slice) int { return cmp.Compare(a.begin, b.begin) })
	var busy laneHeap // by end
	var free laneHeap // by number: their end counts as 0
	for _, sl := range row {
		for len(busy) > 0 && busy[0].until <= sl.begin {
			l := heap.Pop(&busy).(busyLane)
			heap.Push(&free, busyLane{lane: l.lane})
		}
		n := len(lanes)
		if len(free) > 0 {
			n = heap.Pop(&free).(busyLane).lane
		} else {
			lanes = append(lanes, nil)
		}
		lanes[n] = append(lanes[n], sl)
		if !sl.open {
			heap.Push(&busy, busyLane{until: sl.end, lane: n})
		}
	}
	return lanes
}

type busyLane struct {
	until time.Duration
	lane  int
}

// A laneHeap is a heap of package container/heap.
type laneHeap []busyLane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].until, h[j].until), cmp.Compare(h[i].lane, h[j].lane)) < 0
}
func (h laneHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *laneHeap) Push(x any) {
	*h = append(*h, x.(busyLane))
}

func (h *laneHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
