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

// PrintTree returns an observer that prints each event, and below it what is alive from
// the root of its tree down: to see what a small program does while it does it.
//
// A large tree is printed in part, at most some hundred lines of it, so that an event costs
// the same however much is alive. What w does not take is lost, and nobody is told: a
// [Recorder] is for keeping. Events wait for w, one after the other. It panics if w is nil.
//
// The idea is print_task_tree of trio-vis.
func PrintTree(w io.Writer) traigo.Observer {
	if w == nil {
		panic("record: PrintTree: the writer is nil")
	}
	return &treePrinter{w: w, nodes: make(map[*traigo.Scope]*node)}
}

const (
	maxBranches = 16  // of one sort that are printed below one scope
	maxLines    = 100 // of one tree
	enough      = 200 // characters of a name or an error
)

type treePrinter struct {
	w     io.Writer
	mu    sync.Mutex
	began time.Time // the first event
	nodes map[*traigo.Scope]*node
}

// A node is a scope in the tree. What is below it is in the order of its ID, which is that
// of its beginning.
type node struct {
	scope  *traigo.Scope
	up     *node
	state  string
	tasks  []leaf
	scopes []*node
}

type leaf struct {
	task  *traigo.Task
	state string
}

func (p *treePrinter) Observe(e traigo.Event) {
	text, _ := textOf(e.Err) // before the lock: it is anybody's code
	defer func() { _ = recover() }()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began = e.Time
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %v: %s%s\n", e.Time.Sub(p.began).Round(time.Microsecond), e.Kind, printable(pathOf(e), 5*enough), remark(e, text))
	if n := p.take(e); n != nil {
		for n.up != nil {
			n = n.up
		}
		left := maxLines
		n.draw(&b, "", "", &left)
	}
	_, _ = p.w.Write(b.Bytes())
}

func pathOf(e traigo.Event) string {
	if e.Task != nil {
		return e.Task.Path()
	}
	return e.Scope.Path()
}

// remark is how it ended, on one line.
func remark(e traigo.Event, text string) string {
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
	return ", " + brief(text)
}

func brief(text string) string {
	text, _, more := strings.Cut(text, "\n")
	text = printable(text, enough)
	if more {
		text += " …"
	}
	return text
}

// take brings the tree up to date and returns the node to be shown; nil for none.
func (p *treePrinter) take(e traigo.Event) *node {
	if e.Kind == traigo.ScopeOpened {
		return p.open(e.Scope)
	}
	n := p.nodes[e.Scope]
	if n == nil {
		return nil // a task that was given up has outlived it
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
	n := &node{scope: s, state: "open", up: p.nodes[s.Parent()]}
	p.nodes[s] = n
	if n.up != nil {
		i, _ := n.up.findScope(s)
		n.up.scopes = slices.Insert(n.up.scopes, i, n)
	}
	return n
}

// close takes the node out, and returns that above it. What is still below, opened by Run
// on a goroutine that is no task, becomes a root.
func (p *treePrinter) close(n *node) *node {
	delete(p.nodes, n.scope)
	for _, below := range n.scopes {
		below.up = nil
	}
	if n.up != nil {
		if i, known := n.up.findScope(n.scope); known {
			n.up.scopes = slices.Delete(n.up.scopes, i, i+1)
		}
	}
	return n.up
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

// draw writes the node with the branch that leads to it, and what is below it with the
// stem that goes past it.
func (n *node) draw(b *bytes.Buffer, branch, stem string, left *int) {
	if *left--; *left < 0 {
		return
	}
	fmt.Fprintf(b, "%s%s (%s)\n", branch, printable(n.scope.Name(), enough), n.state)
	rows := min(len(n.tasks), maxBranches) + min(len(n.scopes), maxBranches)
	more := len(n.tasks) + len(n.scopes) - rows
	turn := func() (branch, below string) {
		if rows--; rows < 0 || rows == 0 && more == 0 {
			return stem + "└─ ", stem + "   "
		}
		return stem + "├─ ", stem + "│  "
	}
	for _, l := range n.tasks[:min(len(n.tasks), maxBranches)] {
		branch, _ := turn()
		if *left--; *left >= 0 {
			fmt.Fprintf(b, "%s• %s (%s)\n", branch, printable(l.task.Name(), enough), l.state)
		}
	}
	for _, below := range n.scopes[:min(len(n.scopes), maxBranches)] {
		branch, stem := turn()
		below.draw(b, branch, stem, left)
	}
	if more > 0 && *left > 0 {
		branch, _ := turn()
		*left--
		fmt.Fprintf(b, "%s… and %d more\n", branch, more)
	}
}

// printable is one line of s, as far as most characters, with escapes for what is no
// letter, sign or space: a name must not be able to drive a terminal.
func printable(s string, most int) string {
	var b strings.Builder
	for ; s != ""; most-- {
		if most == 0 {
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
