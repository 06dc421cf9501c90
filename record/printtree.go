package record

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traigo/traigo"
)

// PrintTree returns an observer for small programs that prints each event to w, followed
// by the tree of scopes and tasks that are alive, from the root of the event's scope down.
//
// At most about 100 lines of a tree are printed, so that an event costs the same however
// many scopes and tasks are alive. Each event is one call of w.Write; the calls do not
// overlap, and the program waits for them. Errors of w are ignored: use a [Recorder] to keep
// a log. PrintTree panics if w is nil.
//
// It is the print_task_tree of trio-vis.
func PrintTree(w io.Writer) traigo.Observer {
	if w == nil {
		panic("record: PrintTree: the writer is nil")
	}
	return &treePrinter{w: w, nodes: make(map[*traigo.Scope]*node)}
}

const (
	maxChildren = 16  // tasks, and scopes, printed below one scope
	maxLines    = 100 // printed of one tree
	maxChars    = 200 // printed of a name or an error
)

type treePrinter struct {
	w     io.Writer
	mu    sync.Mutex
	began time.Time // time of the first event
	nodes map[*traigo.Scope]*node
}

// A node is a scope that is alive.
type node struct {
	scope  *traigo.Scope
	parent *node
	state  string
	tasks  []leaf  // ordered by ID, which is the order of spawning
	scopes []*node // likewise
}

type leaf struct {
	task  *traigo.Task
	state string
}

func (p *treePrinter) Observe(e traigo.Event) {
	text, _ := textOf(e.Err) // before the lock, as it calls foreign code
	defer func() { _ = recover() }()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began = e.Time
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %v: %s%s\n", e.Time.Sub(p.began).Round(time.Microsecond), e.Kind, printable(pathOf(e), 5*maxChars), outcome(e, text))
	if n := p.apply(e); n != nil {
		for n.parent != nil {
			n = n.parent
		}
		lines := maxLines
		n.draw(&b, "", "", &lines)
	}
	_, _ = p.w.Write(b.Bytes())
}

func pathOf(e traigo.Event) string {
	if e.Task != nil {
		return e.Task.Path()
	}
	return e.Scope.Path()
}

// outcome returns the state of a task that has ended, and the error of the event.
func outcome(e traigo.Event, text string) string {
	if e.Kind == traigo.TaskEnded {
		state := stateOf(e)
		if e.Err == nil {
			return ", " + state
		}
		text = state + ": " + text
	}
	if text == "" {
		return ""
	}
	return ", " + firstLine(text)
}

func firstLine(text string) string {
	text, _, more := strings.Cut(text, "\n")
	text = printable(text, maxChars)
	if more {
		text += " …"
	}
	return text
}

// apply updates the tree. It returns the node of which the tree is to be printed, or nil.
func (p *treePrinter) apply(e traigo.Event) *node {
	if e.Kind == traigo.ScopeOpened {
		return p.open(e.Scope)
	}
	n := p.nodes[e.Scope]
	if n == nil {
		return nil // the scope has closed: a task that was given up ended after it
	}
	switch e.Kind {
	case traigo.ScopeFinalized:
		n.state = "finalizing"
	case traigo.ScopeCanceled:
		n.state = "canceling"
	case traigo.ScopeClosed:
		return p.close(n)
	case traigo.TaskSpawned:
		i, _ := n.find(e.Task)
		n.tasks = slices.Insert(n.tasks, i, leaf{e.Task, "queued"})
	case traigo.TaskStarted:
		n.set(e.Task, "running")
	case traigo.TaskReady:
		n.set(e.Task, "ready")
	case traigo.TaskStuck:
		n.set(e.Task, "given up")
	case traigo.TaskEnded:
		if i, known := n.find(e.Task); known {
			n.tasks = slices.Delete(n.tasks, i, i+1)
		}
	default:
	}
	return n
}

func (p *treePrinter) open(s *traigo.Scope) *node {
	n := &node{scope: s, state: "open", parent: p.nodes[s.Parent()]}
	p.nodes[s] = n
	if n.parent != nil {
		i, _ := n.parent.findScope(s)
		n.parent.scopes = slices.Insert(n.parent.scopes, i, n)
	}
	return n
}

// close removes a node and returns its parent. A scope may close before one below it that
// was opened by Run on a goroutine that is no task: that one becomes a root.
func (p *treePrinter) close(n *node) *node {
	delete(p.nodes, n.scope)
	for _, child := range n.scopes {
		child.parent = nil
	}
	if n.parent != nil {
		if i, known := n.parent.findScope(n.scope); known {
			n.parent.scopes = slices.Delete(n.parent.scopes, i, i+1)
		}
	}
	return n.parent
}

func (n *node) find(t *traigo.Task) (int, bool) {
	return slices.BinarySearchFunc(n.tasks, t.ID(), func(l leaf, id uint64) int { return cmp.Compare(l.task.ID(), id) })
}

func (n *node) findScope(s *traigo.Scope) (int, bool) {
	return slices.BinarySearchFunc(n.scopes, s.ID(), func(n *node, id uint64) int { return cmp.Compare(n.scope.ID(), id) })
}

func (n *node) set(t *traigo.Task, state string) {
	if i, known := n.find(t); known {
		n.tasks[i].state = state
	}
}

// draw prints the subtree of n. branch precedes the line of n, indent those of its
// children, and lines is the number of lines that may still be printed.
func (n *node) draw(b *bytes.Buffer, branch, indent string, lines *int) {
	if *lines--; *lines < 0 {
		return
	}
	fmt.Fprintf(b, "%s%s (%s)\n", branch, printable(n.scope.Name(), maxChars), n.state)
	rows := min(len(n.tasks), maxChildren) + min(len(n.scopes), maxChildren)
	more := len(n.tasks) + len(n.scopes) - rows
	next := func() (branch, below string) {
		if rows--; rows < 0 || rows == 0 && more == 0 {
			return indent + "└─ ", indent + "   "
		}
		return indent + "├─ ", indent + "│  "
	}
	for _, l := range n.tasks[:min(len(n.tasks), maxChildren)] {
		branch, _ := next()
		if *lines--; *lines >= 0 {
			fmt.Fprintf(b, "%s• %s (%s)\n", branch, printable(l.task.Name(), maxChars), l.state)
		}
	}
	for _, child := range n.scopes[:min(len(n.scopes), maxChildren)] {
		branch, indent := next()
		child.draw(b, branch, indent, lines)
	}
	if more > 0 && *lines > 0 {
		branch, _ := next()
		*lines--
		fmt.Fprintf(b, "%s… and %d more\n", branch, more)
	}
}

// printable returns the first limit characters of s, with escapes for line breaks and for
// all characters that could control a terminal.
func printable(s string, limit int) string {
	var b strings.Builder
	for ; s != ""; limit-- {
		if limit == 0 {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[size:]
	}
	return b.String()
}
