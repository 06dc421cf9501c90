package record

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

// The lines of the log are described in docs/log-format.md. They are formatted by hand: that
// takes a quarter of the time of encoding/json and does not allocate.

// newRun returns the number that identifies a recording.
func newRun() string {
	return fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // it is no secret
}

// headerOf returns a function that formats the first line of each segment. The run is the
// same in all of them, and so is what started the process.
func headerOf(t0 time.Time, run string, by *Starter) func(segment uint64) []byte {
	program := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		program = info.Path
	}
	return func(segment uint64) []byte {
		b := append([]byte(nil), `{"traigo":2,"t0":"`...)
		b = t0.UTC().AppendFormat(b, time.RFC3339Nano)
		b = appendString(append(b, '"'), "run", run)
		if segment > 0 {
			b = appendNumber(b, "segment", segment)
		}
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(os.Getpid()), 10)
		b = appendString(b, "go", runtime.Version())
		if program != "" {
			b = appendString(b, "program", program)
		}
		if by != nil {
			b = appendStarter(b, by)
		}
		return endLine(b)
	}
}

// A details is what a line has beyond the fields of the event. It is collected before any
// lock is taken, since some of it comes from foreign code.
type details struct {
	deadline int64        // of an opened scope, as a time in the log; never if it has none of its own
	by       *traigo.Task // that opened or canceled the scope
	state    string       // of a task that has ended
	why      string       // kind of a cancellation, of a scope or of a task alone
	cause    string       // of a canceled scope, for a census: why, and err shortened as in the log
	err      string
	at       string // of a cancellation: file and line of what caused it
	asked    string // of a task canceled alone: the error that was given to Cancel
	site     string // of a spawned task or opened scope: file and line of the call
	stack    string
	urgent   bool // Observe must not return before the line is written
}

const never = -1

// appendEvent appends the line of an event at time t.
func appendEvent(b []byte, t int64, e traigo.Event, d *details) []byte {
	switch e.Kind {
	case traigo.ScopeOpened:
		return endLine(appendScope(b, t, e.Scope, d.deadline, d.by, d.site))
	case traigo.ScopeFinalized:
		return endLine(appendScopeID(b, t, "finalize", e.Scope))
	case traigo.ScopeCanceled:
		b = appendScopeID(b, t, "cancel", e.Scope)
		b = appendString(b, "why", d.why)
		if d.by != nil {
			b = appendNumber(b, "by", d.by.ID())
		}
		b = appendIf(b, "at", d.at)
	case traigo.ScopeClosed:
		b = appendScopeID(b, t, "close", e.Scope)
	case traigo.TaskSpawned:
		return endLine(appendSpawn(b, t, e.Task, d.site))
	case traigo.TaskStarted:
		return endLine(appendTaskID(b, t, "start", e.Task))
	case traigo.TaskReady:
		return endLine(appendTaskID(b, t, "ready", e.Task))
	case traigo.TaskEnded:
		b = appendTaskID(b, t, "end", e.Task)
		b = appendString(b, "st", d.state)
		b = appendIf(b, "why", d.why)
		b = appendIf(b, "at", d.at)
		b = appendIf(b, "cause", d.asked)
	case traigo.TaskStuck:
		b = appendTaskID(b, t, "stuck", e.Task)
	case traigo.TaskAbandoned:
		if e.Task == nil {
			return endLine(appendNumber(beginLine(b, t, "abandon"), "s", e.Scope.ID()))
		}
		return endLine(appendTaskID(b, t, "abandon", e.Task))
	default:
		return b // an event of a later version of traigo, for which there is no line
	}
	b = appendIf(b, "err", d.err)
	b = appendIf(b, "stack", d.stack)
	return endLine(b)
}

func appendScope(b []byte, t int64, s *traigo.Scope, deadline int64, by *traigo.Task, at string) []byte {
	b = appendScopeID(b, t, "scope", s)
	if up := s.Parent(); up != nil {
		b = appendNumber(b, "in", up.ID())
		if by != nil {
			b = appendNumber(b, "by", by.ID())
		}
	}
	b = appendString(b, "n", s.Name())
	if deadline != never {
		b = append(b, `,"dl":`...)
		b = strconv.AppendInt(b, deadline, 10)
	}
	return appendIf(b, "at", at)
}

func appendSpawn(b []byte, t int64, task *traigo.Task, at string) []byte {
	b = appendTaskID(b, t, "spawn", task)
	b = appendIf(appendString(b, "n", task.Name()), "at", at)
	flags := task.Flags()
	if !flags.Bubble && !flags.Master && !flags.Awaited {
		return b
	}
	b = append(b, `,"f":"`...)
	if flags.Bubble {
		b = append(b, 'b')
	}
	if flags.Master {
		b = append(b, 'm')
	}
	if flags.Awaited {
		b = append(b, 'w')
	}
	return append(b, '"')
}

// beginLine appends the beginning of a line, up to its kind. endLine appends the end.
func beginLine(b []byte, t int64, kind string) []byte {
	b = append(b, `{"t":`...)
	b = strconv.AppendInt(b, t, 10)
	b = append(b, `,"k":"`...)
	b = append(b, kind...)
	return append(b, '"')
}

func endLine(b []byte) []byte { return append(b, "}\n"...) }

func appendScopeID(b []byte, t int64, kind string, s *traigo.Scope) []byte {
	return appendNumber(beginLine(b, t, kind), "id", s.ID())
}

func appendTaskID(b []byte, t int64, kind string, task *traigo.Task) []byte {
	b = appendNumber(beginLine(b, t, kind), "s", task.Scope().ID())
	return appendNumber(b, "id", task.ID())
}

func appendNumber(b []byte, key string, n uint64) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, n, 10)
}

func appendString(b []byte, key, text string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendText(b, text)
}

// appendIf appends a key whose text is not empty.
func appendIf(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(b, key, text)
}

// describe fills in the details of an event that is about a scope or has an error.
func (r *Recorder) describe(e traigo.Event, d *details) {
	switch e.Kind {
	case traigo.ScopeOpened:
		d.deadline, d.by = r.deadlineOf(e.Scope), openerOf(e.Scope)
	case traigo.ScopeCanceled:
		r.describeCancel(e, d)
	case traigo.ScopeClosed:
		d.urgent = e.Err != nil || r.isRoot(e.Scope)
		d.err, _ = errorOf(e)
	case traigo.TaskEnded:
		d.state, d.urgent = stateOf(e), e.Task.Failed()
		d.err, d.stack = errorOf(e)
		describeAlone(e.Task, d)
	case traigo.TaskStuck:
		if stuck, ok := e.Err.(*traigo.StuckError); ok && len(stuck.Tasks) > 0 { //nolint:errorlint // the documented type of the event's error
			d.stack = stuck.Tasks[0].Stack
		}
		d.urgent = true
	default:
	}
}

func (r *Recorder) describeCancel(e traigo.Event, d *details) {
	d.by, d.urgent = e.Scope.CanceledBy(), true
	c, ok := e.Err.(*traigo.Cancellation) //nolint:errorlint // the documented type of the event's error
	if !ok {
		return
	}
	d.why, d.urgent = c.Kind.String(), c.Kind != traigo.Completed
	d.cause, d.at = d.why, c.At
	if c.Kind != traigo.ParentCanceled || r.isRoot(e.Scope) || !isOfScope(c.Err) {
		text, _ := textOf(c.Err)
		if d.err = summary(c.Err, text); d.err != "" {
			d.cause += ": " + shortened(d.err) // kept as long as the scope is alive: no longer than it will be written
		}
	} // otherwise the line of an ancestor has the error
}

// describeAlone says why a task was canceled alone, by Task.Cancel or its own timeout, if it was.
func describeAlone(t *traigo.Task, d *details) {
	c, ok := t.Cause().(*traigo.Cancellation) //nolint:errorlint // the documented type
	if !ok || c.Task == "" || c.Kind != traigo.Requested && c.Kind != traigo.TimedOut || c.Task != t.Path() {
		return
	}
	d.why, d.at = c.Kind.String(), c.At
	d.asked, _ = textOf(c.Err)
}

// isOfScope reports whether a scope was canceled because of the cancellation of another
// scope, which has a line in the log. The cancellation of a task alone has none, and neither
// has that of a context between two scopes.
func isOfScope(cause error) bool {
	c, ok := cause.(*traigo.Cancellation) //nolint:errorlint // it is passed down unwrapped
	return ok && (c.Task == "" || c.Kind != traigo.Requested && c.Kind != traigo.TimedOut)
}

// stateOf returns the state of a task that has ended.
func stateOf(e traigo.Event) string {
	if e.Err == nil {
		return "ok"
	}
	_, panicked := e.Err.(*traigo.PanicError) //nolint:errorlint // a panic of this task, not one that its error wraps
	switch {
	case panicked:
		return "panicked"
	case e.Err == traigo.ErrGoexit: //nolint:errorlint // likewise
		return "exited"
	case e.Task.Failed():
		return "failed"
	default:
		return "canceled"
	}
}

// deadlineOf returns the deadline of a scope, or never if it has none or its parent's.
func (r *Recorder) deadlineOf(s *traigo.Scope) (at int64) {
	defer func() {
		if recover() != nil { // in a foreign context further out
			at = never
		}
	}()
	d, ok := s.Context().Deadline()
	if !ok {
		return never
	}
	if up := s.Parent(); up != nil {
		if outer, ok := up.Context().Deadline(); ok && !d.Before(outer) {
			return never
		}
	}
	return r.since(d)
}

func openerOf(s *traigo.Scope) (t *traigo.Task) {
	defer func() { _ = recover() }() // it calls foreign contexts further out
	return s.Opener()
}

// maxText is the number of bytes to which names, errors and stacks are cut.
const maxText = 4096

// appendText appends s as a JSON string, cut to maxText.
func appendText(b []byte, s string) []byte {
	s, more := truncate(s)
	b = appendEscaped(append(b, '"'), s)
	if more > 0 {
		b = append(b, "… ("...)
		b = strconv.AppendInt(b, int64(more), 10)
		b = append(b, " bytes more)"...)
	}
	return append(b, '"')
}

// truncate returns the beginning of s that is written, and the number of bytes that are not.
func truncate(s string) (begin string, more int) {
	if len(s) <= maxText {
		return s, 0
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], len(s) - end
}

// shortened returns s as appendText would write it.
func shortened(s string) string {
	s, more := truncate(s)
	if more == 0 {
		return s
	}
	return s + "… (" + strconv.Itoa(more) + " bytes more)"
}

// appendEscaped appends s with escapes for all characters that a string of JSON or
// JavaScript may not contain. Bytes that are not UTF-8 become U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
			b = append(b, s[done:i]...)
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		} else {
			b = append(b, s[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += size
		done = i
	}
	return append(b, s[done:]...)
}

// textOf returns the text of an error, and the stack of a panic. The Error method is foreign
// code: no lock may be held, and if it panics, the text says so.
func textOf(err error) (text, stack string) {
	switch x := err.(type) { //nolint:errorlint // the error itself, not what it wraps
	case nil:
		return "", ""
	case *traigo.PanicError:
		if x.Recovered == nil {
			return "panicked", ""
		}
		return nonEmpty(fmt.Sprint(x.Recovered.Value)), string(x.Recovered.Stack) // Sprint recovers panics
	default:
		return nonEmpty(messageOf(err)), ""
	}
}

func messageOf(err error) (text string) {
	defer func() {
		if value := recover(); value != nil {
			text = fmt.Sprintf("(the Error method of a %T panicked: %v)", err, value)
		}
	}()
	return err.Error()
}

// nonEmpty returns s, or a placeholder: in the log an empty text means that there was no error.
func nonEmpty(s string) string {
	if s == "" {
		return "(no text)"
	}
	return s
}
