package view

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/internal/stackdump"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

// A model is a history in the form that the page reads: columns of numbers with one row for
// each scope and task. Parents come before their children, and siblings in the order of
// their beginning. A scope or task is identified by its row, and a text by its index in
// Strings. Times are nanoseconds since Started. -1 stands for a time that does not exist, and
// for no row.
//
// web/view/model.ts reads it.
type model struct {
	Program string    `json:"program"`
	Go      string    `json:"go"`
	PID     int       `json:"pid"`
	Run     string    `json:"run"`
	Started time.Time `json:"started"`

	// TrioVis and Ordinal are as in history.History.
	TrioVis bool `json:"trioVis"`
	Ordinal bool `json:"ordinal"`

	End       int64  `json:"end"`
	Closed    bool   `json:"closed"`
	Segment   uint64 `json:"segment"` // of a rotated recording
	Truncated bool   `json:"truncated"`
	Damaged   int    `json:"damaged"`
	Losses    []loss `json:"losses"`

	Processes []process `json:"processes"`
	Skipped   []string  `json:"skipped"`

	Strings []string `json:"strings"`

	Story []storyLine `json:"story"`

	// The columns. Kind has an s for a scope and a t for a task. The parent of a scope is
	// the task that opened it, if one did, otherwise its parent scope. IDs are those that
	// scopes have in their process: with that of the process they would be too large for the
	// numbers of JavaScript.
	Kind   string   `json:"kind"`
	ID     []uint64 `json:"id"`
	Parent []int    `json:"parent"`
	Name   []int    `json:"name"`
	State  []int    `json:"state"`
	Flags  []int    `json:"flags"`
	Begin  []int64  `json:"begin"` // opened, spawned
	Start  []int64  `json:"start"` // finalized, started
	Stop   []int64  `json:"stop"`  // closed, ended
	Err    []int    `json:"err"`

	// Lists of row and value, for what few scopes and tasks have. Process has the scopes
	// that begin a process, each with the index of it in Processes.
	Causes    []cause    `json:"causes"`
	Process   [][2]int64 `json:"process"`
	Deadline  [][2]int64 `json:"deadline"`
	Ready     [][2]int64 `json:"ready"`
	Stuck     [][2]int64 `json:"stuck"`
	Abandoned [][2]int64 `json:"abandoned"`
	Stack     [][2]int64 `json:"stack"`
	Site      [][2]int64 `json:"site"`    // where it was opened or spawned
	Alone     []cause    `json:"alone"`   // why a task was canceled alone
	EndedBy   [][2]int64 `json:"endedBy"` // of scopes that ended because the one above did, or the task that opened them: see history.Scope.EndedBy
	Waits     []wait     `json:"waits"`   // what it waits for, if it had not ended

	// Canceled has each row that was canceled because of the end of a scope, with the row of
	// that: see story.Causes. FailedWith has the scopes that failed because of one below, each
	// after that one. Carries has the scopes that did not fail, though their outcome is an error.
	Canceled   [][2]int64 `json:"canceled"`
	FailedWith [][2]int64 `json:"failedWith"`
	Carries    []int      `json:"carries"`
}

// A storyLine is a line of the story. In a word, row is the scope or task that it leads to, and
// -1 if it leads to none; find and of are as in story.Word, with rows for spans.
type storyLine struct {
	Tone  string      `json:"tone"`
	Words []storyWord `json:"words"`
}

type storyWord struct {
	Text string `json:"text"`
	Row  int    `json:"row"`
	Find string `json:"find,omitempty"`
	Of   []int  `json:"of,omitempty"`
}

// A wait is a story.Wait.
type wait struct {
	Row  int   `json:"row"`
	What int   `json:"what"`
	For  int64 `json:"for"`
	At   int64 `json:"at"`
	Of   int   `json:"of"`
}

// The flags of a task.
const (
	bubbles = 1 << iota
	isMaster
	isAwaited
)

type loss struct {
	At      int64  `json:"at"`
	Lines   uint64 `json:"lines"`
	Why     string `json:"why"`
	Process int    `json:"process"` // index; -1 if it is not known
}

// A process is a process in Processes. Its ID is unique there, and its PID may not be.
type process struct {
	ID        uint64 `json:"id"`
	PID       int    `json:"pid"`
	Program   string `json:"program"`
	Go        string `json:"go"`
	Run       string `json:"run"`
	Begin     int64  `json:"begin"`
	End       int64  `json:"end"`   // of its log
	Until     int64  `json:"until"` // of what is unfinished in it
	Closed    bool   `json:"closed"`
	Died      bool   `json:"died"`
	Segment   uint64 `json:"segment"`
	Truncated bool   `json:"truncated"`
}

// A cause is the cause of the end of a scope or a task, with its time; that is -1 for a task.
type cause struct {
	Row   int   `json:"row"`
	At    int64 `json:"at"`
	Kind  int   `json:"kind"`
	By    int   `json:"by"`
	Err   int   `json:"err"`
	Place int   `json:"place"` // of the call of Cancel, or of the body
}

// modelOf converts a history.
func modelOf(h *history.History) *model {
	b := &builder{
		model: &model{
			Program: h.Program, Go: h.Go, PID: h.PID, Run: h.Run, Started: h.Started,
			TrioVis: h.TrioVis, Ordinal: h.Ordinal,
			End: int64(h.End), Closed: h.Closed, Segment: h.Segment, Truncated: h.Truncated, Damaged: h.Damaged,
			Losses: []loss{}, Causes: []cause{}, Processes: []process{}, Skipped: append([]string{}, h.Skipped...), Process: [][2]int64{},
			ID: []uint64{}, Parent: []int{}, Name: []int{}, State: []int{}, Flags: []int{},
			Begin: []int64{}, Start: []int64{}, Stop: []int64{}, Err: []int{},
			Deadline: [][2]int64{}, Ready: [][2]int64{}, Stuck: [][2]int64{}, Abandoned: [][2]int64{}, Stack: [][2]int64{},
			Site: [][2]int64{}, Alone: []cause{}, EndedBy: [][2]int64{}, Waits: []wait{}, Canceled: [][2]int64{}, FailedWith: [][2]int64{}, Carries: []int{},
		},
		texts:     make(map[string]int),
		scopes:    make(map[*history.Scope]int),
		tasks:     make(map[*history.Task]int),
		processes: map[*history.Process]int{nil: -1},
	}
	b.text("")
	b.addProcesses(h.Processes)
	for _, l := range h.Losses {
		b.Losses = append(b.Losses, loss{At: int64(l.At), Lines: l.Lines, Why: l.Why, Process: b.processes[l.Process]})
	}
	for _, root := range h.Roots() {
		b.scope(root, -1)
	}
	b.addCauses()
	b.addStory(h)
	b.Kind = string(b.kinds)
	return b.model
}

// A builder makes a model. Causes are added last, since the row of the task that ended a
// scope may come after that of the scope.
type builder struct {
	*model
	kinds     []byte
	texts     map[string]int
	scopes    map[*history.Scope]int
	tasks     map[*history.Task]int
	processes map[*history.Process]int
	ended     []endedScope
}

type endedScope struct {
	row   int
	scope *history.Scope
}

// text returns the index of a text in Strings.
func (b *builder) text(s string) int {
	i, known := b.texts[s]
	if !known {
		i = len(b.Strings)
		b.texts[s] = i
		b.Strings = append(b.Strings, s)
	}
	return i
}

func (b *builder) addProcesses(all []*history.Process) {
	for i, p := range all {
		b.processes[p] = i
		b.Processes = append(b.Processes, process{
			ID: p.ID, PID: p.PID, Program: p.Program, Go: p.Go, Run: p.Run,
			Begin: int64(p.Started), End: int64(p.End), Until: int64(p.Until),
			Closed: p.Closed, Died: p.Died(), Segment: p.Segment, Truncated: p.Truncated,
		})
	}
}

func (b *builder) scope(s *history.Scope, parent int) {
	id, index := s.ID, b.processes[s.Process]
	if index > 0 {
		id &^= s.Process.ID << 32
	}
	row := b.add('s', id, parent, s.Name, string(s.State), s.Err)
	if s.BeginsProcess() && index >= 0 {
		b.Process = append(b.Process, [2]int64{int64(row), int64(index)})
	}
	b.scopes[s] = row
	b.site(row, s.At)
	b.times(s.Opened, s.Finalized, s.Closed)
	b.Flags = append(b.Flags, 0)
	b.sparse(&b.Deadline, row, s.Deadline)
	b.sparse(&b.Abandoned, row, s.Abandoned...)
	if s.Cause != nil {
		b.ended = append(b.ended, endedScope{row, s})
	}
	// Both lists are in the order of beginning, and are merged.
	forks := slices.DeleteFunc(slices.Clone(s.Scopes), func(below *history.Scope) bool { return below.By != nil })
	for _, t := range inOrder(s.Tasks) {
		for len(forks) > 0 && forks[0].Opened <= t.Spawned {
			b.scope(forks[0], row)
			forks = forks[1:]
		}
		b.task(t, row)
	}
	for _, fork := range forks {
		b.scope(fork, row)
	}
}

// inOrder returns the tasks ordered by their beginning. A history has them ordered by ID,
// which may differ: ID and time of a task are not taken at one moment.
func inOrder(tasks []*history.Task) []*history.Task {
	return slices.SortedStableFunc(slices.Values(tasks), func(a, b *history.Task) int { return cmp.Compare(a.Spawned, b.Spawned) })
}

func (b *builder) task(t *history.Task, parent int) {
	row := b.add('t', t.ID, parent, t.Name, string(t.State), t.Err)
	b.times(t.Spawned, t.Started, t.Ended)
	b.tasks[t] = row
	b.site(row, t.At)
	if t.Cause != nil {
		b.Alone = append(b.Alone, b.cause(row, history.Never, t.Cause))
	}
	var flags int
	for _, flag := range []struct {
		is  bool
		bit int
	}{{t.Bubble, bubbles}, {t.Master, isMaster}, {t.Await, isAwaited}} {
		if flag.is {
			flags |= flag.bit
		}
	}
	b.Flags = append(b.Flags, flags)
	b.sparse(&b.Ready, row, t.Ready)
	b.sparse(&b.Stuck, row, t.Stuck)
	b.sparse(&b.Abandoned, row, t.Abandoned...)
	if t.Stack != "" {
		b.Stack = append(b.Stack, [2]int64{int64(row), int64(b.text(folded(t.Stack)))})
	}
	for _, s := range t.Scopes {
		b.scope(s, row)
	}
}

// folded returns a stack in which the frames of the user come first: what is above them, which
// is the same in all panics and waits, is left out, and the other frames of traigo and of the
// runtime are counted.
func folded(stack string) string {
	header, frames, _ := strings.Cut(stackdump.Fold(stack), "\n")
	for strings.HasPrefix(frames, "…") {
		_, frames, _ = strings.Cut(frames, "\n")
	}
	if frames == "" {
		return stack
	}
	return header + "\n" + frames
}

// add adds a row to the columns common to scopes and tasks, and returns its number.
func (b *builder) add(kind byte, id uint64, parent int, name, state, err string) int {
	b.kinds = append(b.kinds, kind)
	b.ID = append(b.ID, id)
	b.Parent = append(b.Parent, parent)
	b.Name = append(b.Name, b.text(name))
	b.State = append(b.State, b.text(state))
	b.Err = append(b.Err, b.text(err))
	return len(b.kinds) - 1
}

func (b *builder) times(begin, start, stop time.Duration) {
	b.Begin = append(b.Begin, int64(begin))
	b.Start = append(b.Start, int64(start))
	b.Stop = append(b.Stop, int64(stop))
}

// sparse adds the times that exist to one of the lists of row and value.
func (b *builder) sparse(column *[][2]int64, row int, times ...time.Duration) {
	for _, at := range times {
		if at != history.Never {
			*column = append(*column, [2]int64{int64(row), int64(at)})
		}
	}
}

func (b *builder) site(row int, at string) {
	if at != "" {
		b.Site = append(b.Site, [2]int64{int64(row), int64(b.text(at))})
	}
}

func (b *builder) addCauses() {
	for _, e := range b.ended {
		b.Causes = append(b.Causes, b.cause(e.row, e.scope.Canceled, e.scope.Cause))
		if task, by := e.scope.EndedBy(); by != e.scope {
			b.EndedBy = append(b.EndedBy, [2]int64{int64(e.row), int64(b.row(story.Span{Scope: by, Task: task}))})
		}
	}
}

func (b *builder) cause(row int, at time.Duration, why *history.Cause) cause {
	c := cause{Row: row, At: int64(at), Kind: b.text(why.Kind), By: -1, Err: b.text(why.Err), Place: b.text(why.At)}
	if by, known := b.tasks[why.By]; known {
		c.By = by
	}
	return c
}

// addStory adds the story, what it says about causes, and what unfinished tasks wait for.
func (b *builder) addStory(h *history.History) {
	causes := story.CausesOf(h)
	for _, line := range causes.Story(h) {
		words := make([]storyWord, len(line.Words))
		for i, w := range line.Words {
			words[i] = storyWord{Text: w.Text, Row: -1, Find: w.Find}
			if w.Scope != nil || w.Task != nil {
				words[i].Row = b.row(story.Span{Scope: w.Scope, Task: w.Task})
			}
			for _, span := range w.Of {
				words[i].Of = append(words[i].Of, b.row(span))
			}
		}
		b.Story = append(b.Story, storyLine{line.Tone, words})
	}
	for span, origin := range causes.Canceled(h) {
		b.Canceled = append(b.Canceled, [2]int64{int64(b.row(span)), int64(b.scopes[origin])})
	}
	for _, s := range h.Scopes {
		if up := causes.FailedWith(s); up != nil {
			b.FailedWith = append(b.FailedWith, [2]int64{int64(b.scopes[s]), int64(b.scopes[up])})
		}
		if causes.Carries(s) {
			b.Carries = append(b.Carries, b.scopes[s])
		}
	}
	for _, w := range story.Waits(h) {
		b.Waits = append(b.Waits, wait{b.row(w.Span), b.text(w.What), int64(w.For), int64(w.At), w.Of})
	}
}

func (b *builder) row(span story.Span) int {
	if span.Task != nil {
		return b.tasks[span.Task]
	}
	return b.scopes[span.Scope]
}
