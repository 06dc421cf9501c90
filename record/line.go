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

// headerAt returns what makes the first line of each segment. The number of the recording
// is the same in all of them.
func headerAt(t0 time.Time) func(segment uint64) []byte {
	run := fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // it tells recordings apart, and keeps no secret
	program := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		program = info.Path
	}
	return func(segment uint64) []byte {
		b := append([]byte(nil), `{"traigo":1,"t0":"`...)
		b = t0.UTC().AppendFormat(b, time.RFC3339Nano)
		b = appendKey(append(b, '"'), "run", run)
		if segment > 0 {
			b = appendNumber(b, "segment", segment)
		}
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(os.Getpid()), 10)
		b = appendKey(b, "go", runtime.Version())
		if program != "" {
			b = appendKey(b, "program", program)
		}
		return end(b)
	}
}

// The lines of the log, as docs/log-format.md has them, put together by hand: it takes a
// quarter of the time of encoding/json, and no memory.

// A details is what a line says beyond what the event has: worked out before any lock is
// taken, since some of it comes from foreign code.
type details struct {
	deadline int64 // of a scope that was opened, from the start of the log; never if it has none
	by       *traigo.Task
	state    string // of a task that has ended
	why      string // of a scope that was canceled
	cause    string // why, and err as far as it is written
	err      string
	stack    string
	urgent   bool // to be handed over before the program goes on
}

const never = -1

// appendEvent appends the line of an event that happened at t.
func appendEvent(b []byte, t int64, e traigo.Event, d *details) []byte {
	switch e.Kind {
	case traigo.ScopeOpened:
		return end(appendScope(b, t, e.Scope, d.deadline, d.by))
	case traigo.ScopeFinalized:
		return end(appendScopeID(b, t, "finalize", e.Scope))
	case traigo.ScopeCanceled:
		b = appendScopeID(b, t, "cancel", e.Scope)
		b = appendKey(b, "why", d.why)
		if d.by != nil {
			b = appendNumber(b, "by", d.by.ID())
		}
	case traigo.ScopeClosed:
		b = appendScopeID(b, t, "close", e.Scope)
	case traigo.TaskSpawned:
		return end(appendSpawn(b, t, e.Task))
	case traigo.TaskStarted:
		return end(appendTaskID(b, t, "start", e.Task))
	case traigo.TaskReady:
		return end(appendTaskID(b, t, "ready", e.Task))
	case traigo.TaskEnded:
		b = appendTaskID(b, t, "end", e.Task)
		b = appendKey(b, "st", d.state)
	case traigo.TaskStuck:
		b = appendTaskID(b, t, "stuck", e.Task)
	case traigo.TaskAbandoned:
		if e.Task == nil {
			return end(appendNumber(begin(b, t, "abandon"), "s", e.Scope.ID()))
		}
		return end(appendTaskID(b, t, "abandon", e.Task))
	default:
		return b // of a later version of traigo: this one has no line for it
	}
	if d.err != "" {
		b = appendKey(b, "err", d.err)
	}
	if d.stack != "" {
		b = appendKey(b, "stack", d.stack)
	}
	return end(b)
}

func appendScope(b []byte, t int64, s *traigo.Scope, deadline int64, by *traigo.Task) []byte {
	b = appendScopeID(b, t, "scope", s)
	if up := s.Parent(); up != nil {
		b = appendNumber(b, "in", up.ID())
		if by != nil {
			b = appendNumber(b, "by", by.ID())
		}
	}
	b = appendKey(b, "n", s.Name())
	if deadline != never {
		b = append(b, `,"dl":`...)
		b = strconv.AppendInt(b, deadline, 10)
	}
	return b
}

func appendSpawn(b []byte, t int64, task *traigo.Task) []byte {
	b = appendTaskID(b, t, "spawn", task)
	b = appendKey(b, "n", task.Name())
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

// begin leaves the line open: end closes it.
func begin(b []byte, t int64, kind string) []byte {
	b = append(b, `{"t":`...)
	b = strconv.AppendInt(b, t, 10)
	b = append(b, `,"k":"`...)
	b = append(b, kind...)
	return append(b, '"')
}

func end(b []byte) []byte { return append(b, "}\n"...) }

func appendScopeID(b []byte, t int64, kind string, s *traigo.Scope) []byte {
	return appendNumber(begin(b, t, kind), "id", s.ID())
}

func appendTaskID(b []byte, t int64, kind string, task *traigo.Task) []byte {
	b = appendNumber(begin(b, t, kind), "s", task.Scope().ID())
	return appendNumber(b, "id", task.ID())
}

func appendNumber(b []byte, key string, n uint64) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, n, 10)
}

func appendKey(b []byte, key, text string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendText(b, text)
}

// detail works out what an event with an error, or of a scope, has to say. What is sure
// comes first: the texts of errors are foreign code, which may not come back.
func (r *Recorder) detail(e traigo.Event, d *details) {
	switch e.Kind {
	case traigo.ScopeOpened:
		d.deadline, d.by = r.deadlineOf(e.Scope), openerOf(e.Scope)
	case traigo.ScopeCanceled:
		r.detailCancel(e, d)
	case traigo.ScopeClosed:
		d.urgent = e.Err != nil || r.isRoot(e.Scope)
		d.err, _ = textOf(e.Err)
	case traigo.TaskEnded:
		d.state, d.urgent = stateOf(e), e.Task.Failed()
		d.err, d.stack = textOf(e.Err)
	case traigo.TaskStuck:
		if stuck, ok := e.Err.(*traigo.StuckError); ok && len(stuck.Tasks) > 0 { //nolint:errorlint // what the event is documented to have
			d.stack = stuck.Tasks[0].Stack
		}
		d.urgent = true
	default:
	}
}

func (r *Recorder) detailCancel(e traigo.Event, d *details) {
	d.by, d.urgent = e.Scope.CanceledBy(), true
	c, ok := e.Err.(*traigo.Cancellation) //nolint:errorlint // what the event is documented to have
	if !ok {
		return
	}
	d.why, d.urgent = c.Kind.String(), c.Kind != traigo.Completed
	d.cause = d.why
	if c.Kind != traigo.ParentCanceled || r.isRoot(e.Scope) || !isOfScope(c.Err) {
		if d.err, _ = textOf(c.Err); d.err != "" {
			d.cause += ": " + shortened(d.err) // it is kept: no more than that
		}
	} // else it is in the line of a scope above
}

// isOfScope reports whether the cause of a cancellation is that a scope was canceled: not
// a task alone, of which there is no line, nor a context in between.
func isOfScope(cause error) bool {
	c, ok := cause.(*traigo.Cancellation) //nolint:errorlint // it is handed down as it is
	return ok && (c.Task == "" || c.Kind != traigo.Requested && c.Kind != traigo.TimedOut)
}

// stateOf is how a task has ended.
func stateOf(e traigo.Event) string {
	if e.Err == nil {
		return "ok"
	}
	_, panicked := e.Err.(*traigo.PanicError) //nolint:errorlint // a panic of this task, not one that it tells of
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

// deadlineOf is that of a scope which does not only have its parent's.
func (r *Recorder) deadlineOf(s *traigo.Scope) (at int64) {
	defer func() {
		if recover() != nil { // the context further out is not ours
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
	defer func() { _ = recover() }() // it asks the context further out
	return s.Opener()
}

// maxText is how many bytes of a name, an error or a stack are written.
const maxText = 4096

// appendText appends s as a JSON string, cut where it is too long.
func appendText(b []byte, s string) []byte {
	s, more := head(s)
	b = appendEscaped(append(b, '"'), s)
	if more > 0 {
		b = append(b, "… ("...)
		b = strconv.AppendInt(b, int64(more), 10)
		b = append(b, " bytes more)"...)
	}
	return append(b, '"')
}

// head is as much of s as is written, and how much more there is.
func head(s string) (begin string, more int) {
	if len(s) <= maxText {
		return s, 0
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], len(s) - end
}

// shortened is what appendText would write.
func shortened(s string) string {
	s, more := head(s)
	if more == 0 {
		return s
	}
	return s + "… (" + strconv.Itoa(more) + " bytes more)"
}

// appendEscaped leaves as it is what JSON and JavaScript may have in a string. What is
// not UTF-8 becomes U+FFFD.
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

// textOf is the text of an error, and the stack if it is a panic. Both come from code
// that may be anybody's: no lock is held here. One that panics has its panic as text.
func textOf(err error) (text, stack string) {
	switch x := err.(type) { //nolint:errorlint // what it is, not what it has inside
	case nil:
		return "", ""
	case *traigo.PanicError:
		if x.Recovered == nil {
			return "panicked", ""
		}
		return some(fmt.Sprint(x.Recovered.Value)), string(x.Recovered.Stack) // fmt recovers
	default:
		return some(messageOf(err)), ""
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

// some is s, or says that it is nothing: an error without a text is still one.
func some(s string) string {
	if s == "" {
		return "(no text)"
	}
	return s
}
