package history

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Read reads a log of package record, or the concatenated segments of one recording in
// their order. A log that ends in the middle of a line is read up to that line, and
// Truncated is set. Lines that cannot be understood are skipped and counted in Damaged.
// The error is that of r, or says why the input is not a log that can be read: if there are
// two recordings in it, it says in which line the second begins.
func Read(r io.Reader) (*History, error) { return readLog(newInput(r), 0) }

// readLog reads a log in which some lines have been skipped.
func readLog(in *bufio.Reader, skipped int) (*History, error) {
	rd := newReader()
	rd.lines = skipped
	if err := rd.read(in, true); err != nil {
		return nil, err
	}
	return rd.history()
}

// ReadAny reads a log of package record, as [Read] does, or a file of trio-vis, as
// [ReadSCLogs] does. It distinguishes them by their first bytes. The error for any other
// input says, where possible, what kind of file it is.
func ReadAny(r io.Reader) (*History, error) {
	in := newInput(r)
	if start, _ := in.Peek(32); isPerfetto(start) {
		return nil, notKnown(start)
	}
	skipped, err := skipSpace(in)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("history: the input is empty: there is neither a log of traigo in it nor an sc-logs.json of trio-vis")
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	start, _ := in.Peek(256) // an error of r is returned again by the next read
	if isHeader(start) || bytes.HasPrefix([]byte(`{"traigo":`), start) {
		return readLog(in, skipped)
	}
	if key := firstKey(start); key == "config" || key == "runRecords" {
		return ReadSCLogs(in)
	}
	if start[0] != '{' || looksLike(start) != "" {
		return nil, notKnown(start)
	}
	return ReadSCLogs(in)
}

func notKnown(start []byte) error {
	return fmt.Errorf("history: this is neither a log of traigo nor an sc-logs.json of trio-vis%s", looksLike(start))
}

type taskKey struct{ scope, task uint64 }

// A reader builds a history from lines.
type reader struct {
	*History
	scopes map[uint64]*knownScope
	tasks  map[taskKey]*knownTask
	all    []*knownScope // in the order of their first mention
	by     *Starter      // of the process
	line   line          // the current line
	lines  int           // lines of the current file that have been read
	census census        // the current or last census
	live   live
	moved  time.Duration // the time of the last line about a scope or a task
	groups []groupOf
}

// A knownScope is a scope that some line has mentioned.
type knownScope struct {
	*Scope
	hasBegin bool   // the line of its beginning has been read
	in, by   uint64 // IDs of the parent and the task that opened it; their lines may come later
	census   int    // number of the last census that listed it
}

// A knownTask is a task that some line has mentioned.
type knownTask struct {
	*Task
	hasBegin bool // the line of its beginning has been read
	hasLine  bool // a line is about it; otherwise lines of scopes have only named it
	census   int  // number of the last census that listed it
}

func newReader() *reader {
	return &reader{History: &History{}, scopes: make(map[uint64]*knownScope), tasks: make(map[taskKey]*knownTask)}
}

// read reads a file of the recording. In the last one a line without an end is torn.
func (rd *reader) read(in *bufio.Reader, isLast bool) error {
	for atEnd := false; !atEnd; {
		text, err := readLine(in)
		if atEnd = errors.Is(err, io.EOF); err != nil && !atEnd {
			return fmt.Errorf("history: %w", err)
		}
		rd.lines++
		if text = bytes.TrimSpace(bytes.TrimPrefix(text, mark)); len(text) == 0 {
			continue
		}
		if torn := atEnd && isLast; torn {
			err = rd.handleTorn(text)
		} else {
			err = rd.handleLine(text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// history returns the result.
func (rd *reader) history() (*History, error) {
	if rd.Run == "" {
		return nil, errors.New("history: the log is empty: not even its first line was written")
	}
	rd.finish()
	rd.setProcess(rd.by)
	rd.Processes[0].Moved = rd.moved
	return rd.History, nil
}

// handleTorn reads the last line, which has no end. It is ignored, but for a header in it,
// which may explain what the file is.
func (rd *reader) handleTorn(text []byte) error {
	if rd.Run == "" {
		if err := rd.handleLine(text); err != nil {
			return err
		}
	} else if head, at := headerIn(text); rd.isOther(head) {
		return rd.twoRecordings(head, at)
	}
	rd.Truncated, rd.Closed = true, false
	return nil
}

func (rd *reader) handleLine(text []byte) error {
	if rd.Run == "" || isHeader(text) {
		rd.countInCensus(false)
		return rd.readHeader(text)
	}
	if !rd.line.parse(text) {
		return rd.readNotice(text)
	}
	rd.Closed = false
	ok := rd.apply(&rd.line)
	if ok {
		rd.extendTo(rd.line.at())
		if rd.line.Kind != "bye" && rd.line.Kind != "beat" {
			rd.moved = max(rd.moved, rd.line.at())
		}
	} else {
		rd.Damaged++
	}
	rd.countInCensus(ok && (rd.line.Kind == "scope" || rd.line.Kind == "spawn"))
	return nil
}

// readHeader reads the first line of a segment.
func (rd *reader) readHeader(text []byte) error {
	head, err := headerOf(text)
	switch {
	case rd.isOther(head):
		return rd.twoRecordings(head, 0)
	case head.Traigo == 0 && rd.Run != "":
		return rd.readDamaged(text)
	case head.Traigo == 0 && isHeader(text): // torn
		if second, at := headerIn(text); second.Traigo != 0 {
			return rd.twoRecordings(second, at)
		}
		return err
	case err != nil:
		return err
	case head.Run == "":
		return errors.New("history: the first line of the log does not say which recording it is (run)")
	case head.Segment != 0 && head.Segment <= rd.Segment:
		return fmt.Errorf("history: segment %d of the recording comes after segment %d: give them in their order, each once", head.Segment, rd.Segment)
	}
	if head.Segment > rd.Segment+1 {
		rd.Losses = append(rd.Losses, Loss{At: rd.End, Why: fmt.Sprintf("the segments before segment %d are missing", head.Segment)})
	}
	rd.Segment = max(rd.Segment, head.Segment)
	rd.Closed = false
	rd.Started, rd.Run, rd.PID, rd.Go, rd.Program, rd.by = head.T0, head.Run, head.PID, head.Go, head.Program, head.By
	return nil
}

// readDamaged counts a line that cannot be understood. If a process was killed while it
// wrote the line, the first line of a segment may be behind it.
func (rd *reader) readDamaged(text []byte) error {
	rd.Damaged++
	head, at := headerIn(text)
	switch {
	case head.Traigo == 0:
		return nil
	case rd.isOther(head):
		return rd.twoRecordings(head, at)
	default:
		return rd.readHeader(text[at:])
	}
}

// isOther reports whether a first line is that of another recording.
func (rd *reader) isOther(head header) bool {
	return head.Traigo != 0 && rd.Run != "" && head.Run != rd.Run
}

// twoRecordings returns the error for a second recording, which begins at a byte of the
// current line.
func (rd *reader) twoRecordings(second header, at int) error {
	from := "from line"
	if at > 0 {
		from = "from the middle of line"
	}
	return fmt.Errorf("history: the log has two recordings in it, %s and, %s %d on, %s: cut it in two there and read one at a time, and let each run of the program write a file of its own",
		cmp.Or(rd.Run, "one that is torn in its first line"), from, rd.lines, cmp.Or(second.Run, "one without a name"))
}

// readNotice reads a line about the log itself.
func (rd *reader) readNotice(text []byte) error {
	rd.countInCensus(false)
	var l notice
	if !l.parse(text) {
		return rd.readDamaged(text)
	}
	at := since(l.T)
	rd.Closed = false
	switch l.Kind {
	case "lost":
		rd.Losses = append(rd.Losses, Loss{At: at, Lines: l.N, Why: l.Why})
		rd.moved = max(rd.moved, at) // what is lost has happened
	case "live":
		rd.startCensus(at, l.N)
	case "stacks":
		rd.Censuses = append(rd.Censuses, &Census{At: at, Why: l.Why, Goroutines: max(l.Goroutines, 0), More: max(l.More, 0)})
	case "group":
		if !rd.addGroup(&l) {
			rd.Damaged++
			return nil
		}
	default:
		rd.Damaged++
		return nil
	}
	rd.extendTo(at)
	return nil
}

func (rd *reader) extendTo(at time.Duration) { rd.End = max(rd.End, at) }

// apply applies a line about a scope or a task. It returns false if the line is not valid.
func (rd *reader) apply(l *line) bool {
	switch l.Kind {
	case "scope":
		return rd.opened(l)
	case "spawn":
		return rd.spawned(l)
	case "bye":
		rd.Closed = true
	case "beat":
	case "finalize", "cancel", "close":
		if l.ID == 0 {
			return false
		}
		rd.reopenScope(rd.scope(l.ID, l.at()))
		rd.scopeStep(l)
	case "start", "ready", "end", "stuck", "abandon":
		if l.Scope == 0 || l.ID == 0 && l.Kind != "abandon" {
			return false
		}
		if l.ID == 0 {
			s := rd.scope(l.Scope, l.at())
			rd.reopenScope(s)
			s.Abandoned = append(s.Abandoned, l.at())
			return true
		}
		t := rd.task(l.Scope, l.ID, l.at())
		t.hasLine = true
		rd.extendTo(l.at()) // even if the line is not valid: the task is mentioned at that time
		rd.reopenTask(t)
		return t.step(l)
	default:
		return false
	}
	return true
}

// opened applies the beginning of a scope, which a census repeats.
func (rd *reader) opened(l *line) bool {
	if l.ID == 0 {
		return false
	}
	s := rd.scope(l.ID, l.at())
	if !s.hasBegin {
		s.hasBegin, s.Name, s.Opened, s.Deadline = true, l.Name, l.at(), l.deadline()
	}
	if s.At == "" {
		s.At = l.At
	}
	if l.Deadline != nil {
		s.Deadline = l.deadline() // in a census it may be a later one
	}
	if s.in == 0 && l.In != l.ID {
		s.in = l.In
	}
	if s.by == 0 && l.By != 0 && l.In == s.in { // in a census the field is absent if the task has ended
		s.by = l.By
		if rd.scopes[s.in] != nil {
			rd.task(s.in, s.by, l.at()) // made known now, so that a census without it ends it
		}
	}
	s.census = rd.censusNumber()
	if l.State == string(ScopeClosed) { // a census lists it because a task in it has not ended
		if s.Closed == Never {
			s.Closed, s.State = rd.censusTime(l.at()), ScopeLost
		}
		return true
	}
	rd.reopenScope(s)
	if s.State != ScopeClosed && l.State == string(ScopeFinalizing) && s.Finalized == Never {
		s.Finalized = rd.censusTime(l.at())
	}
	if s.State != ScopeClosed && l.State == string(ScopeCanceling) && s.Cause == nil {
		kind, err, _ := strings.Cut(l.Err, ": ") // in a census both are in one field
		s.Canceled, s.Cause = rd.censusTime(l.at()), &Cause{Kind: kind, Err: err}
	}
	s.State = s.stateNow()
	return true
}

func (rd *reader) spawned(l *line) bool {
	if l.ID == 0 || l.Scope == 0 {
		return false
	}
	t := rd.task(l.Scope, l.ID, l.at())
	if !t.hasBegin {
		t.hasBegin, t.Name, t.Spawned = true, l.Name, l.at()
		t.At = l.At
		t.Bubble, t.Master, t.Await = strings.Contains(l.Flags, "b"), strings.Contains(l.Flags, "m"), strings.Contains(l.Flags, "w")
	}
	t.hasLine = true
	rd.reopenTask(t)
	switch l.State {
	case "", string(TaskQueued):
	case string(TaskStuck), "given up":
		if t.Stuck == Never {
			t.Stuck = rd.censusTime(l.at())
		}
		fallthrough
	default:
		if t.Started == Never {
			t.Started = l.at() // the earliest possible time; the real one is lost
		}
	}
	if t.Unfinished() {
		t.State = t.stateNow()
	}
	t.census = rd.censusNumber()
	return true
}

// scopeStep applies a line about a scope that is known.
func (rd *reader) scopeStep(l *line) {
	s := rd.scopes[l.ID]
	switch l.Kind {
	case "finalize":
		s.Finalized = l.at()
	case "cancel":
		s.Canceled, s.Cause = l.at(), &Cause{Kind: l.Why, At: l.At, Err: l.Err}
		if l.By != 0 {
			s.Cause.By = rd.task(l.ID, l.By, l.at()).Task
		}
	case "close":
		s.Closed, s.Err = l.at(), l.Err
	}
	s.State = s.stateNow()
}

// stateNow returns the state that follows from the times.
func (s *Scope) stateNow() ScopeState {
	switch {
	case s.Closed != Never:
		return ScopeClosed
	case s.Canceled != Never:
		return ScopeCanceling
	case s.Finalized != Never:
		return ScopeFinalizing
	default:
		return ScopeOpen
	}
}

// step applies a line about the task. It returns false if the line is not valid.
func (t *Task) step(l *line) bool {
	switch l.Kind {
	case "start":
		t.Started = l.at()
	case "ready":
		t.Ready = l.at()
	case "abandon":
		t.Abandoned = append(t.Abandoned, l.at())
	case "stuck":
		t.Stuck = l.at()
		if t.Stack == "" {
			t.Stack = l.Stack
		}
	case "end":
		t.Ended, t.State, t.Err = l.at(), TaskState(l.State), l.Err
		if l.Stack != "" {
			t.Stack = l.Stack
		}
		if l.Why != "" {
			t.Cause = &Cause{Kind: l.Why, At: l.At, Err: l.Cause}
		}
		if !endStates[t.State] {
			t.State = TaskLost // an unknown state: the task has ended, but how is not known
			return false
		}
	}
	if t.Unfinished() {
		t.State = t.stateNow()
	}
	return true
}

// stateNow returns the state that follows from the times, for a task that has not ended.
func (t *Task) stateNow() TaskState {
	switch {
	case t.Stuck != Never:
		return TaskStuck
	case t.Started != Never:
		return TaskRunning
	default:
		return TaskQueued
	}
}

var endStates = map[TaskState]bool{
	TaskOK: true, TaskFailed: true, TaskCanceled: true, TaskPanicked: true, TaskExited: true,
}
