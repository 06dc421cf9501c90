package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// wrapper ends the name of the scope that trio-vis puts around each task.
const wrapper = "__TRIO_VIS_Tscope"

// body follows the name of the scope in the name of the task that stands for its body.
const body = " (body)"

// rootName is the scope around the tasks of a file of trio-vis that are in none.
const rootName = "trio.run"

// An scRecord is one of a sc-logs.json.
type scRecord struct {
	Time   *float64 `json:"time"`
	Desc   string   `json:"desc"`
	Name   *string  `json:"name"`
	Type   string   `json:"type"`
	Parent *string  `json:"parent"`
}

// scAbout is what [History.WriteSCLogs] adds to the file, beside what trio-vis knows.
type scAbout struct {
	Traigo    int       `json:"traigo"`
	Unit      string    `json:"unit"`
	T0        time.Time `json:"t0,omitzero"`
	Run       string    `json:"run,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Go        string    `json:"go,omitempty"`
	Program   string    `json:"program,omitempty"`
	Closed    bool      `json:"closed"`
	Truncated bool      `json:"truncated,omitempty"`
	Damaged   int       `json:"damaged,omitempty"`
	Lost      []Loss    `json:"lost,omitempty"`
}

// ReadSCLogs reads a sc-logs.json of Python's trio-vis, or one that
// [History.WriteSCLogs] has written. A file that stops short is read as far as it
// goes: Truncated says so. Keys that it does not know are skipped, a parent that it
// does not know is none (and counted in Damaged); the error for other nonsense says
// in which record it is.
//
// In such a file a nursery belongs to the task that opened it; what has no parent is
// put into a scope "trio.run". A nursery without an end has ended with its task, since
// trio-vis forgets to say so. How a task ended is not in the file: TrioVis. Times are
// taken as seconds, or, where each is the number of its record, as such: Ordinal.
func ReadSCLogs(r io.Reader) (*History, error) {
	rd := &scReader{History: &History{TrioVis: true}, open: make(map[string]*scNode), known: make(map[string]*scNode)}
	err := rd.readDocument(json.NewDecoder(r))
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if !rd.seen {
			return nil, errors.New("history: the input ends before its runRecords: this is no sc-logs.json of trio-vis, or nothing is left of it")
		}
		rd.Truncated = true
	case err != nil:
		return nil, fmt.Errorf("history: %w", err)
	case !rd.seen:
		return nil, errors.New("history: this is no sc-logs.json of trio-vis: it has no runRecords")
	}
	if err := rd.build(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return rd.History, nil
}

// An scReader puts records together.
type scReader struct {
	*History
	seen    bool // the runRecords
	records []scRecord
	about   *scAbout

	open  map[string]*scNode // those that have not exited
	known map[string]*scNode // the last of each name
	nodes []*scNode
	root  *Scope // for what has none
	begin float64
	unit  float64 // nanoseconds
}

func (rd *scReader) readDocument(dec *json.Decoder) error {
	if start, err := dec.Token(); err != nil {
		return inJSON(dec, err)
	} else if start != json.Delim('{') {
		return errors.New("this is no sc-logs.json of trio-vis: it is no JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return inJSON(dec, err)
		}
		switch key {
		case "runRecords":
			err = rd.readRecords(dec)
		case "about":
			if rd.about, err = readAbout(dec); rd.about != nil {
				rd.TrioVis = false
			}
		default:
			var skip json.RawMessage
			err = inJSON(dec, dec.Decode(&skip))
		}
		if err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return inJSON(dec, err)
}

// readAbout returns nil where the key is somebody else's.
func readAbout(dec *json.Decoder) (*scAbout, error) {
	var text json.RawMessage
	if err := dec.Decode(&text); err != nil {
		return nil, inJSON(dec, err)
	}
	var about scAbout
	if err := json.Unmarshal(text, &about); err != nil || about.Traigo != 1 || about.Unit != "s" {
		return nil, nil //nolint:nilerr,nilnil // any key may be in the file
	}
	return &about, nil
}

func (rd *scReader) readRecords(dec *json.Decoder) error {
	if start, err := dec.Token(); err != nil {
		return inJSON(dec, err)
	} else if start != json.Delim('[') {
		return errors.New("this is no sc-logs.json of trio-vis: its runRecords are no list")
	}
	rd.seen = true
	for dec.More() {
		var record scRecord
		if err := dec.Decode(&record); err != nil {
			if ends(err) {
				return err
			}
			return fmt.Errorf("record %d: %w", len(rd.records), inJSON(dec, err))
		}
		if why := record.wrong(); why != "" {
			return fmt.Errorf("record %d: %s", len(rd.records), why)
		}
		rd.records = append(rd.records, record)
	}
	_, err := dec.Token()
	return inJSON(dec, err)
}

func (r *scRecord) wrong() string {
	switch {
	case r.Time == nil:
		return "it has no time"
	case *r.Time < 0:
		return fmt.Sprintf("its time is %v, before the beginning", *r.Time)
	case r.Name == nil:
		return "it has no name"
	case r.Desc != "created" && r.Desc != "exited":
		return fmt.Sprintf(`its desc is %q, neither "created" nor "exited"`, r.Desc)
	case r.Type != "task" && r.Type != "scope":
		return fmt.Sprintf(`its type is %q, neither "task" nor "scope"`, r.Type)
	default:
		return ""
	}
}

func ends(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// inJSON says what is wrong in words, and where.
func inJSON(dec *json.Decoder, err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil || ends(err):
		return err
	case errors.As(err, &syntax):
		return fmt.Errorf("near byte %d: %w", dec.InputOffset(), err)
	case errors.As(err, &mismatch):
		return fmt.Errorf("its %s is a %s", mismatch.Field, mismatch.Value)
	default:
		return err
	}
}

// clock finds out what the times are.
func (rd *scReader) clock() error {
	rd.unit = float64(time.Second)
	ordinal, first, last := len(rd.records) > 0, math.Inf(1), 0.0
	for i, r := range rd.records {
		ordinal = ordinal && *r.Time == float64(i)
		first, last = min(first, *r.Time), max(last, *r.Time)
	}
	const years = 10 * 365 * 24 * 3600
	switch {
	case rd.about != nil:
	case ordinal:
		rd.Ordinal, rd.unit = true, float64(time.Millisecond)
	case first > years && !math.IsInf(first, 1): // since 1970
		rd.begin = math.Floor(first)
		if rd.begin > math.MaxInt32*4 {
			return fmt.Errorf("the times begin at %v: too late for seconds", first)
		}
		rd.Started = time.Unix(int64(rd.begin), 0).UTC()
	}
	if (last-rd.begin)*rd.unit >= math.MaxInt64/2 {
		return fmt.Errorf("the times go up to %v: too late for seconds", last)
	}
	return nil
}

func (rd *scReader) at(r *scRecord) time.Duration {
	return time.Duration(math.Round((*r.Time - rd.begin) * rd.unit))
}

// base is the name without what [History.WriteSCLogs] adds to it.
func (rd *scReader) base(name string) (base, marks string) {
	name, _ = strings.CutSuffix(name, wrapper)
	if rd.about == nil {
		return name, ""
	}
	base, marks, _ = strings.Cut(name, " [")
	if i := strings.LastIndexByte(base, '-'); i >= 0 {
		base = base[:i]
	}
	return base, marks
}

// An scNode is what a record has created: a scope, or a task with the scope that
// trio-vis wraps it in.
type scNode struct {
	record int
	scope  *Scope
	task   *Task
	wraps  bool // it is the wrapper: its task is still to come, or has come
	whole  bool // the task of the wrapper has come
}

func (rd *scReader) build() error {
	if err := rd.clock(); err != nil {
		return err
	}
	for i := range rd.records {
		r := &rd.records[i]
		at := rd.at(r)
		rd.End = max(rd.End, at)
		open := rd.open[*r.Name]
		switch {
		case r.Desc == "created" && open != nil:
			return fmt.Errorf("record %d: %q is created, and is still there since record %d", i, *r.Name, open.record)
		case r.Desc == "created":
			n := rd.create(r, at)
			n.record = i
			rd.open[*r.Name], rd.known[*r.Name] = n, n
			rd.nodes = append(rd.nodes, n)
		case open == nil:
			return fmt.Errorf("record %d: %q exits, and has not been created", i, *r.Name)
		default:
			delete(rd.open, *r.Name)
			open.exit(at)
		}
	}
	rd.closeForgotten()
	rd.Closed = !rd.Truncated
	if a := rd.about; a != nil {
		rd.Started, rd.Run, rd.PID, rd.Go, rd.Program = a.T0, a.Run, a.PID, a.Go, a.Program
		rd.Closed, rd.Truncated = a.Closed && !rd.Truncated, a.Truncated || rd.Truncated
		rd.Damaged += a.Damaged
		rd.Losses = a.Lost
		rd.restore()
	}
	rd.assemble()
	return nil
}

// create takes what has begun, whatever the type of its end will be.
func (rd *scReader) create(r *scRecord, at time.Duration) *scNode {
	var up *scNode
	if r.Parent != nil {
		if up = rd.known[*r.Parent]; up == nil {
			rd.Damaged++
		}
	}
	name, _ := rd.base(*r.Name)
	isWrapper := r.Type == "scope" && strings.HasSuffix(*r.Name, wrapper)
	switch {
	case r.Type == "scope" && !isWrapper:
		return &scNode{scope: rd.addScope(up, name, at)}
	case up != nil && up.wraps && !up.whole && r.Type == "task":
		up.whole = true
		up.task.Name, up.task.Started, up.task.State = name, at, TaskRunning
		return &scNode{task: up.task}
	}
	s := rd.scopeFor(up, at)
	if rd.about != nil && name == s.Name+body {
		s = newScope(0, "", at) // it is there for the viewer: the scope has no task
	}
	t := newTask(uint64(len(s.Tasks)+1), name, s, at)
	t.Await = true
	if !isWrapper {
		t.Started, t.State = at, TaskRunning
	}
	return &scNode{task: t, wraps: isWrapper}
}

// scopeFor is the scope that a task below up is in.
func (rd *scReader) scopeFor(up *scNode, at time.Duration) *Scope {
	switch {
	case up == nil && rd.root == nil:
		rd.root = rd.addScope(nil, rootName, at)
		return rd.root
	case up == nil:
		return rd.root
	case up.scope != nil:
		return up.scope
	default:
		return up.task.Scope
	}
}

func (rd *scReader) addScope(up *scNode, name string, at time.Duration) *Scope {
	s := newScope(uint64(len(rd.Scopes)+1), name, at)
	rd.Scopes = append(rd.Scopes, s)
	switch {
	case up == nil:
		return s
	case up.scope != nil:
		s.Parent = up.scope
	default:
		s.Parent, s.By = up.task.Scope, up.task
		s.By.Scopes = append(s.By.Scopes, s)
	}
	s.Parent.Scopes = append(s.Parent.Scopes, s)
	return s
}

// exit takes the end: for a task the first of its two.
func (n *scNode) exit(at time.Duration) {
	switch {
	case n.scope != nil:
		n.scope.Closed, n.scope.State = at, ScopeClosed
	case n.task.Unfinished():
		n.task.Ended, n.task.State = at, TaskOK
	}
}

// closeForgotten ends the nurseries whose tasks have ended: trio-vis leaves them open
// when a task opens a second one.
func (rd *scReader) closeForgotten() {
	for _, s := range rd.Scopes {
		if s.Closed == Never && s.By != nil && !s.By.Unfinished() {
			s.Closed, s.State = s.By.Ended, ScopeClosed
		}
	}
	if rd.root == nil {
		return
	}
	var last time.Duration
	for _, t := range rd.root.Tasks {
		if t.Unfinished() {
			return
		}
		last = max(last, t.Ended)
	}
	rd.root.Closed, rd.root.State = last, ScopeClosed
}

// restore reads the marks that WriteSCLogs puts behind the names.
func (rd *scReader) restore() {
	for _, n := range rd.nodes {
		_, marks := rd.base(*rd.records[n.record].Name)
		switch {
		case n.scope != nil:
			n.scope.restore(marks)
		case n.wraps:
			n.task.restore(marks)
		}
	}
}

// eachMark takes the marks apart again: what is behind the first bracket of a name.
func eachMark(marks string, do func(word, why string)) {
	if marks == "" {
		return
	}
	for m := range strings.SplitSeq(strings.TrimSuffix(marks, "]"), "] [") {
		word, why, _ := strings.Cut(m, ": ")
		do(word, why)
	}
}

func (s *Scope) restore(marks string) {
	eachMark(marks, func(word, why string) {
		switch word {
		case "running":
			s.Closed = Never
			s.State = s.stateNow()
		case "lost":
			s.State = ScopeLost
		case "straggler":
		case "failed":
			s.Err = why
		default:
			s.Canceled, s.Cause = s.Closed, &Cause{Kind: word, Err: why} // by then at the latest
			if s.Cause.Err != "" || !s.Cause.Quiet() {
				s.Err = s.Cause.text()
			}
		}
	})
}

func (t *Task) restore(marks string) {
	eachMark(marks, func(word, why string) {
		switch state := TaskState(word); {
		case endStates[state], state == TaskLost:
			t.State, t.Err = state, why
		case state == TaskQueued:
			t.Started = Never
		case state == TaskStuck:
			t.Stuck = t.Ended
		case state == TaskRunning:
			t.Ended = Never
			t.State = t.stateNow()
		}
	})
}

// text is the cause in words.
func (c *Cause) text() string {
	if c.Err == "" {
		return c.Kind
	}
	return c.Kind + ": " + c.Err
}
