package record

import (
	"cmp"
	"context"
	"hash/maphash"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/internal/processes"
)

// A census of stacks says what the tasks and bodies of the program wait for at one moment.
// Those with equal stacks are a group.
type stackCensus struct {
	at         int64
	why        string
	goroutines int
	groups     []*stackGroup
	more       int // tasks and bodies that are in none of the groups

	byKey map[uint64]*stackGroup
	known map[string]bool // the goroutines that are in a group already
}

// A stackGroup is what several tasks and bodies do.
type stackGroup struct {
	key       uint64
	waits, at string
	since     time.Duration // how long the first of them has waited
	stack     string        // of one of them
	count     int
	of        []member // nil if it is not known who they are
}

// A member is a task, or the body of a scope, which has task 0.
type member struct{ scope, task uint64 }

// maxGroups bounds the size of a census of stacks, with maxText for a stack and maxDumped for the number
// of members.
const maxGroups = 100

// takeCensus looks at all that is below the roots. Scopes in other processes are left out:
// these have recordings of their own. It holds no lock: it calls foreign contexts.
func (r *Recorder) takeCensus(why string, roots []*traigo.Scope) (c *stackCensus) {
	c = &stackCensus{at: r.now(), why: why, goroutines: runtime.NumGoroutine()}
	defer func() {
		if recover() != nil { // in a foreign context further out
			c.groups, c.byKey = nil, nil
		}
	}()
	c.byKey = make(map[uint64]*stackGroup)
	if c.goroutines > maxDumped {
		c.addProfile()
	} else {
		c.addDumps(roots)
	}
	slices.SortStableFunc(c.groups, func(a, b *stackGroup) int { return cmp.Compare(b.count, a.count) })
	for _, g := range c.groups[min(len(c.groups), maxGroups):] {
		c.more += g.count
	}
	c.groups = c.groups[:min(len(c.groups), maxGroups)]
	return c
}

func (c *stackCensus) addDumps(roots []*traigo.Scope) {
	ended, cancel := context.WithCancel(context.Background())
	cancel() // no other process is waited for
	shots, _ := processes.Dumps(ended, roots).([]traigo.Snapshot)
	c.addShots(shots)
}

func (c *stackCensus) addShots(shots []traigo.Snapshot) {
	c.known = make(map[string]bool)
	for _, shot := range shots {
		c.addTasks(shot)
	}
	for _, shot := range shots {
		c.addBodies(shot)
	}
}

func (c *stackCensus) addTasks(shot traigo.Snapshot) {
	if shot.Pid != 0 {
		return
	}
	for _, t := range shot.Tasks {
		switch {
		case !hasGoroutine[t.State]:
		case t.Stack == "":
			c.more++ // the dump has been cut off, or the task has begun since
		default:
			c.known[goroutineOf(t.Stack)] = true
			c.add(t.Waits, t.For, t.At, t.Stack, 1, member{t.Scope, t.ID})
		}
	}
	for _, below := range shot.Scopes {
		c.addTasks(below)
	}
}

// hasGoroutine has the states of tasks that are on a goroutine. Abandoned calls are none: their
// tasks wait for something else, or have ended.
var hasGoroutine = map[string]bool{traigo.Running.String(): true, traigo.TaskCanceling.String(): true, traigo.GivenUp.String(): true}

// addBodies adds the bodies that are in no task. Of several on one goroutine it is the
// innermost that waits.
func (c *stackCensus) addBodies(shot traigo.Snapshot) {
	if shot.Pid != 0 {
		return
	}
	for _, below := range shot.Scopes {
		c.addBodies(below)
	}
	if shot.Stack == "" || c.known[goroutineOf(shot.Stack)] {
		return
	}
	c.known[goroutineOf(shot.Stack)] = true
	c.add(shot.Waits, shot.For, shot.At, shot.Stack, 1, member{scope: shot.ID})
}

func (c *stackCensus) add(waits string, since time.Duration, at, stack string, n int, who ...member) {
	key := keyOf(waits, stack)
	g := c.byKey[key]
	if g == nil {
		g = &stackGroup{key: key, waits: waits, at: at, stack: stack}
		c.byKey[key] = g
		c.groups = append(c.groups, g)
	}
	g.since = max(g.since, since)
	g.count += n
	g.of = append(g.of, who...)
}

// goroutineOf returns the beginning of a stack, "goroutine 7".
func goroutineOf(stack string) string {
	name, _, _ := strings.Cut(stack, " [")
	return name
}

var seed = maphash.MakeSeed()

// taskFrame is in the frame below which the stacks of all tasks are alike, but for how they
// have got their goroutine.
const taskFrame = "traigo.(*Task).call("

// keyOf returns a hash that is equal for equal stacks: what is waited for, and the frames
// without their arguments and addresses.
func keyOf(waits, stack string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(waits)
	_, frames, _ := strings.Cut(stack, "\n")
	for line := range strings.SplitSeq(frames, "\n") {
		if strings.Contains(line, taskFrame) {
			break
		}
		switch {
		case strings.HasPrefix(line, "\t"):
			line, _, _ = strings.Cut(line, " +0x")
		case strings.HasPrefix(line, "created by "):
			line, _, _ = strings.Cut(line, " in goroutine ")
		default:
			line = line[:max(strings.LastIndexByte(line, '('), 0)]
		}
		_ = h.WriteByte('\n')
		_, _ = h.WriteString(line)
	}
	return h.Sum64()
}

// shape returns a hash that is equal for censuses of stacks that show the same.
func (c *stackCensus) shape() uint64 {
	var sum uint64
	for _, g := range c.groups {
		sum += g.key * uint64(2*g.count+1)
	}
	return sum
}

// lines returns the lines of the census of stacks.
func (c *stackCensus) lines() []byte {
	b := appendNumber(beginLine(nil, c.at, "stacks"), "n", uint64(len(c.groups)))
	b = appendString(b, "why", c.why)
	b = appendNumber(b, "goroutines", uint64(c.goroutines))
	if c.more > 0 {
		b = appendNumber(b, "more", uint64(c.more))
	}
	b = endLine(b)
	for _, g := range c.groups {
		b = g.appendLine(b, c.at)
	}
	return b
}

func (g *stackGroup) appendLine(b []byte, at int64) []byte {
	b = appendNumber(beginLine(b, at, "group"), "n", uint64(g.count))
	b = appendString(b, "waits", g.waits)
	if g.since > 0 {
		b = appendNumber(b, "for", uint64(g.since))
	}
	b = appendString(appendIf(b, "at", g.at), "stack", g.stack)
	if len(g.of) == 0 {
		return endLine(b)
	}
	b = append(b, `,"of":[`...)
	for i, m := range g.of {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, m.scope, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, m.task, 10)
	}
	return endLine(append(b, ']'))
}
