package logtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random returns a log that no program would write. Its lines are in random order, contradict
// each other, and are about scopes and tasks that may begin twice or never. Some are torn.
func Random(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 3))
	var b strings.Builder
	b.WriteString(Header)
	names := []string{"a", "worker", "", "x__TRIO_VIS_Tscope", "w [ok]", "a-0", "\\u001b[2J", "conn-17", "scope#4"}
	whys := []string{"task failed", "parent canceled", "parent canceled", "timeout", "completed", "master ended", "what?"}
	states := []string{"ok", "failed", "canceled", "panicked", "exited", "strange"}
	alone := []string{"", "", `,"why":"requested","at":"a.go:7","cause":"enough"`}
	most := 1 + r.IntN(8)
	id := func() int { return r.IntN(most + 1) }
	at := func() int { return r.IntN(1 + r.IntN(40)) }
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	for range r.IntN(80) {
		switch r.IntN(18) {
		case 0, 1, 2:
			fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":%d,"by":%d,"n":"%s"}`, at(), id(), id(), id(), pick(names))
		case 3, 4, 5:
			fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"%s","f":"mw"}`, at(), id(), id(), pick(names))
		case 6:
			fmt.Fprintf(&b, `{"t":%d,"k":"start","s":%d,"id":%d}`, at(), id(), id())
		case 7, 8:
			fmt.Fprintf(&b, `{"t":%d,"k":"end","s":%d,"id":%d,"st":"%s","err":"boom ] [x"%s}`, at(), id(), id(), pick(states), pick(alone))
		case 9:
			fmt.Fprintf(&b, `{"t":%d,"k":"cancel","id":%d,"why":"%s","by":%d}`, at(), id(), pick(whys), id())
		case 10, 11:
			fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d,"err":"over"}`, at(), id())
		case 12:
			fmt.Fprintf(&b, `{"t":%d,"k":"%s","s":%d,"id":%d}`, at(), pick([]string{"stuck", "abandon", "ready"}), id(), id())
		case 13:
			n := r.IntN(4)
			fmt.Fprintf(&b, `{"t":%d,"k":"lost","n":%d,"why":"slow"}`+"\n"+`{"t":%d,"k":"live","n":%d}`, at(), n, at(), n)
			for range n {
				fmt.Fprintf(&b, "\n"+`{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"a","st":"running"}`, at(), id(), id())
			}
		case 14:
			b.WriteString(pick([]string{"nonsense", `{"t":-7,"k":"bye"}`, `{"t":1,"k":"future","id":2}`, Header[:40]}))
		case 16:
			fmt.Fprintf(&b, `{"t":%d,"k":"beat"}`, at())
		case 17:
			fmt.Fprintf(&b, `{"t":%d,"k":"stacks","n":%d,"why":"SIGQUIT","goroutines":%d,"more":%d}`, at(), r.IntN(3), r.IntN(100), id())
			for range r.IntN(3) {
				fmt.Fprintf(&b, "\n"+`{"t":%d,"k":"group","n":%d,"waits":"select","for":%d,"at":"a.go:1","stack":"goroutine 1","of":[%d,%d,%d,%d]}`, at(), r.IntN(4), r.IntN(2)*60e9, id(), id(), id(), id())
			}
		case 15:
			fmt.Fprintf(&b, `{"t":%d,"k":"finalize","id":%d}`, at(), id())
		}
		b.WriteByte('\n')
	}
	text := b.String()
	if r.IntN(3) == 0 {
		text = text[:max(len(Header), len(text)-r.IntN(30))]
	}
	return text
}

// Big returns a log of n tasks in scopes of 100, with three lines for each task. With gaps,
// each 1,000 tasks are followed by a gap and a census.
func Big(n int, gaps bool) string {
	var b strings.Builder
	b.WriteString(Header)
	b.WriteString(`{"t":1,"k":"scope","id":1,"n":"server"}` + "\n")
	for i := range n {
		s, at := 2+i/100, 1000*i
		if i%100 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":1,"n":"example.com/chat.(*server).conn"}`+"\n", at, s)
		}
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"example.com/chat.(*conn).request","f":"bw"}`+"\n", at, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":%d,"id":%d}`+"\n", at+200, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":%d,"id":%d,"st":"failed","err":"read: connection reset by peer"}`+"\n", at+70_000, s, i%100+1)
		if i%100 == 99 {
			fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d}`+"\n", at+80_000, s)
		}
		if gaps && i%1000 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"lost","n":3,"why":"slow"}`+"\n"+`{"t":%d,"k":"live","n":1}`+"\n"+`{"t":1,"k":"scope","id":1,"n":"server","st":"open"}`+"\n", at, at)
		}
	}
	return b.String()
}
