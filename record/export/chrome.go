package export

import (
	"cmp"
	"container/heap"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// Chrome writes the history to w as a Chrome trace in JSON, for chrome://tracing and
// ui.perfetto.dev.
//
// Processes are processes, which need not have the PID that they had: see Process.ID in
// package history.
//
// Scopes and tasks are slices on rows, which the format calls threads. Those with equal
// paths, numbers at the end of names not counted, share as few rows as are needed so that
// no two slices overlap. Arrows lead to each scope and task from the one that opened or
// spawned it, and to a canceled scope from the cause. An unfinished scope or task has
// "(unfinished)" in its name and ends with the log, because some viewers do not draw a slice
// without an end.
func Chrome(w io.Writer, h *history.History) error {
	return writeTo(w, func(out sink) {
		c := &chromeWriter{out: out}
		out.text("{\"displayTimeUnit\":\"ns\",\n\"otherData\":")
		c.facts(recordingFacts(h))
		out.text(",\n\"traceEvents\":[")
		for i, p := range h.Processes {
			c.process(h, p, i)
		}
		for i, l := range lanes(slicesOf(h)) {
			c.lane(l, i+1)
		}
		out.text("\n]}\n")
	})
}

// recordingFacts returns the properties of the recording as a whole.
func recordingFacts(h *history.History) (facts []fact) {
	if h.Run != "" {
		facts = append(facts, fact{key: "run", text: h.Run})
	}
	if h.Go != "" {
		facts = append(facts, fact{key: "go", text: h.Go})
	}
	if !h.Started.IsZero() {
		facts = append(facts, fact{key: "started", text: h.Started.Format(time.RFC3339Nano)})
	}
	for i, warning := range warnings(h) {
		key := "warning"
		if i > 0 { // of two equal keys in a JSON object, readers take the last
			key += " " + strconv.Itoa(i+1)
		}
		facts = append(facts, fact{key: key, text: warning})
	}
	return facts
}

// A chromeWriter writes events. b is the event being formatted.
type chromeWriter struct {
	out sink
	pid string
	b   []byte
	any bool // an event has been written, so that the next needs a comma
}

func (c *chromeWriter) process(h *history.History, p *history.Process, place int) {
	c.pid = pidOf(p)
	c.metadata("process_name", "0", "name", quoted(processTitle(h, p)))
	if !isTree(h) {
		return
	}
	c.metadata("process_sort_index", "0", "sort_index", strconv.Itoa(place))
	if !p.Closed {
		c.metadata("process_labels", "0", "labels", quoted(stopsShort(h, p)))
	}
}

// pidOf returns the number of a process in a trace, which has to differ from those of others.
func pidOf(p *history.Process) string { return strconv.FormatUint(max(p.ID, 1), 10) }

func (c *chromeWriter) lane(l *lane, number int) {
	tid := strconv.Itoa(number)
	if p := l.slices[0].scope.Process; p != nil {
		c.pid = pidOf(p)
	}
	name := strings.TrimPrefix(l.row, "/")
	if l.tasks {
		name += " · tasks"
	}
	if l.number > 1 {
		name += " (" + strconv.Itoa(l.number) + ")"
	}
	c.metadata("thread_name", tid, "name", quoted(name))
	c.metadata("thread_sort_index", tid, "sort_index", tid)
	for _, sl := range l.slices {
		name := sl.name
		if sl.open {
			name += " (unfinished)"
		}
		c.event("B", sl.kind(), quoted(name), tid, sl.begin)
		if color := sl.color(); color != "" {
			c.b = append(c.b, `,"cname":"`...)
			c.b = append(c.b, color...)
			c.b = append(c.b, '"')
		}
		c.b = append(c.b, `,"args":`...)
		c.flush()
		c.facts(sl.facts())
		c.out.text("}")
		for _, m := range sl.marksInside() {
			c.mark(m, tid)
		}
		c.event("E", sl.kind(), quoted(name), tid, sl.end)
		c.end()
	}
}

// marksInside returns the marks in their order. An arrow that begins as the slice ends
// begins a nanosecond earlier: the viewer finds no slice at the moment of its end.
func (sl *slice) marksInside() []mark {
	marks := slices.Clone(sl.marks)
	for i, m := range marks {
		if m.from && m.at >= sl.end {
			marks[i].at = max(sl.begin, sl.end-time.Nanosecond)
		}
	}
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	return marks
}

// color returns one of the names that Chrome's trace viewer has for colors, or "" for the
// color of its choice.
func (sl *slice) color() string {
	switch t := sl.task; {
	case t != nil && t.Failed(), t == nil && sl.scope.Failed():
		return "terrible"
	case sl.open, t != nil && t.State == history.TaskLost, t == nil && sl.scope.State == history.ScopeLost:
		return "bad"
	case t != nil && t.State == history.TaskCanceled:
		return "grey"
	default:
		return ""
	}
}

func (sl *slice) kind() string {
	if sl.task != nil {
		return "task"
	}
	return "scope"
}

func (c *chromeWriter) mark(m mark, tid string) {
	if m.name != "" {
		c.event("i", "mark", quoted(m.name), tid, m.at)
		c.b = append(c.b, `,"s":"t"`...)
		c.end()
	}
	if m.arrow == 0 {
		return
	}
	phase, name := "f", `"cancel"`
	if m.from {
		phase = "s"
	}
	if m.spawn {
		name = `"spawn"`
	}
	c.event(phase, "flow", name, tid, m.at)
	c.b = append(c.b, `,"id":`...)
	c.b = strconv.AppendUint(c.b, m.arrow, 10)
	if !m.from {
		c.b = append(c.b, `,"bp":"e"`...) // bind to the enclosing slice, not to the next one
	}
	c.end()
}

func (c *chromeWriter) metadata(name, tid, key, value string) {
	c.event("M", "__metadata", quoted(name), tid, 0)
	c.b = append(c.b, `,"args":{"`...)
	c.b = append(c.b, key...)
	c.b = append(c.b, `":`...)
	c.b = append(c.b, value...)
	c.b = append(c.b, '}')
	c.end()
}

// event begins an event; end completes it.
func (c *chromeWriter) event(phase, category, name, tid string, at time.Duration) {
	c.b = append(c.b[:0], "\n"...)
	if c.any {
		c.b = append(c.b[:0], ",\n"...)
	}
	c.any = true
	c.b = append(c.b, `{"ph":"`...)
	c.b = append(c.b, phase...)
	c.b = append(c.b, `","cat":"`...)
	c.b = append(c.b, category...)
	c.b = append(c.b, `","name":`...)
	c.b = append(c.b, name...)
	c.b = append(c.b, `,"pid":`...)
	c.b = append(c.b, c.pid...)
	c.b = append(c.b, `,"tid":`...)
	c.b = append(c.b, tid...)
	c.b = append(c.b, `,"ts":`...)
	c.b = appendMicros(c.b, at)
}

func (c *chromeWriter) end() {
	c.b = append(c.b, '}')
	c.flush()
}

func (c *chromeWriter) flush() {
	c.out.bytes(c.b)
	c.b = c.b[:0]
}

func (c *chromeWriter) facts(facts []fact) {
	b := append(c.b[:0], '{')
	for i, f := range facts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, f.key)
		b = append(b, ':')
		if f.flag {
			b = append(b, "true"...)
		} else {
			b = appendQuoted(b, f.text)
		}
	}
	c.b = append(b, '}')
	c.flush()
}

// appendMicros appends a time in microseconds with all digits down to nanoseconds, for which
// a float64 would not be exact enough after some weeks.
func appendMicros(b []byte, at time.Duration) []byte {
	b = strconv.AppendInt(b, int64(at/time.Microsecond), 10)
	if ns := at % time.Microsecond; ns != 0 {
		b = append(b, '.', byte('0'+ns/100), byte('0'+ns/10%10), byte('0'+ns%10))
	}
	return b
}

// A lane is a row of slices that do not overlap. They are not nested either: an arrow is bound
// to a row and a time, and viewers draw it from the innermost slice there, which would be
// another child of the one that it is meant for.
type lane struct {
	row    string
	tasks  bool
	number int // among the lanes with the same row, from 1
	slices []*slice
}

// lanes distributes slices to lanes. Slices with the same row share lanes, but scopes and
// tasks do not, nor do those of two processes. Rows are in the order of their first slice.
func lanes(all []*slice) (lanes []*lane) {
	type key struct {
		process *history.Process
		row     string
		tasks   bool
	}
	rows := make(map[key][]*slice)
	var order []key
	for _, sl := range all {
		k := key{sl.scope.Process, sl.row, sl.task != nil}
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

// pack assigns to each slice the first lane that is free when the slice begins. The lane of
// an unfinished slice never becomes free again.
func pack(row []*slice) (lanes [][]*slice) {
	slices.SortStableFunc(row, func(a, b *slice) int { return cmp.Compare(a.begin, b.begin) })
	var busy laneHeap // ordered by end
	var free laneHeap // ordered by number: until is 0
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

// A laneHeap implements heap.Interface.
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
