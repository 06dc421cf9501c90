package record

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/traigo/traigo/internal/stackdump"
)

// A dump stops the program for as long as it takes to write the stack of each goroutine. Above
// this number a census of stacks is made of the goroutine profile, for which the program is hardly
// stopped. That does not say whose stack is which: so no task is named.
const maxDumped = 10_000

// maxProfile is the number of bytes of a profile that are looked at. It begins with the
// stacks that most goroutines have.
const maxProfile = 16 << 20

// addProfile adds the tasks and bodies of all scopes, also of those that are not observed.
func (c *stackCensus) addProfile() {
	text := firstBytes{left: maxProfile}
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	head, rest, _ := strings.Cut(text.String(), "\n")
	_, _ = fmt.Sscanf(head, "goroutine profile: total %d", &c.goroutines)
	left := c.goroutines
	for record := range strings.SplitSeq(rest, "\n\n") {
		left -= c.addRecord(record)
	}
	if text.left == 0 {
		c.more += max(left, 0)
	}
}

// addRecord adds a record of a profile, if its stack is that of a task or a body. It returns the
// number of goroutines that have the stack.
func (c *stackCensus) addRecord(record string) (n int) {
	head, frames, _ := strings.Cut(record, "\n")
	count, addresses, _ := strings.Cut(head, " @ ")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil {
		return 0
	}
	stack, isOurs := stackOf(frames)
	if isOurs {
		c.add(waitsOf(addresses, stack), 0, stackdump.PlaceOf(stack).At, stack, n)
	}
	return n
}

// stackOf makes a stack as in a dump of the lines of a profile,
// "#	0x6dc404	main.main+0x44	/src/main.go:60".
func stackOf(frames string) (stack string, isOurs bool) {
	var b strings.Builder
	b.WriteString("goroutines:\n")
	for line := range strings.SplitSeq(frames, "\n") {
		fields := strings.FieldsFunc(line, func(c rune) bool { return c == '\t' })
		if len(fields) != 4 || fields[0] != "#" {
			continue // labels
		}
		function := fields[2]
		if i := strings.LastIndex(function, "+0x"); i >= 0 {
			function = function[:i]
		}
		isOurs = isOurs || strings.HasSuffix(function+"(", taskFrame) || strings.HasSuffix(function, "traigo.(*Scope).callBody")
		fmt.Fprintf(&b, "%s(...)\n\t%s\n", function, fields[3])
	}
	return b.String(), isOurs
}

// waitsOf returns what a goroutine waits for, in the word of a dump; "" if the innermost frames
// do not tell. The profile has frames of package runtime by their addresses only.
func waitsOf(addresses, stack string) string {
	inner := strings.Fields(addresses)
	for _, address := range inner[:min(len(inner), 4)] {
		pc, err := strconv.ParseUint(address, 0, 64)
		if err != nil {
			break
		}
		if f := runtime.FuncForPC(uintptr(pc)); f != nil && waits[f.Name()] != "" {
			return waits[f.Name()]
		}
	}
	for line := range strings.SplitSeq(stack, "\n") {
		if strings.HasPrefix(line, "sync.(*") {
			return strings.NewReplacer("(*", "", ")", "").Replace(strings.TrimSuffix(line, "(...)"))
		}
	}
	return ""
}

// waits has words of the runtime by the functions that wait.
var waits = map[string]string{
	"runtime.chanrecv": "chan receive", "runtime.chansend": "chan send", "runtime.selectgo": "select",
	"runtime.block": "select (no cases)", "runtime.netpollblock": "IO wait", "time.Sleep": "sleep",
}

// firstBytes keeps the first bytes of what is written to it.
type firstBytes struct {
	bytes.Buffer
	left int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}
