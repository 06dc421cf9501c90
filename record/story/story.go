// Package story says in words what happened in a history: what failed, what was canceled
// because of it, what hung and where, and what is missing from the log. The page of a
// recording and its tree in text say it in the same words and with the same numbers.
//
// Moments are on the clock of the run: "at 3.2 s" is 3.2 s after the recorder was created.
package story

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// A Line is a sentence, or several about one matter.
type Line struct {
	Tone  string // ok, stopped, lost, canceled, unfinished, stuck or failed, as the page colors it
	Words []Word
}

// A Word is a part of a line. It may be a link to a scope or task, or, if Find is a tone, to
// those spans of it that it counts: with Of to what was canceled because of the end of these
// scopes, or to these failures, else to all of the tone.
type Word struct {
	Text  string
	Scope *history.Scope
	Task  *history.Task
	Find  string
	Of    []Span
}

// isPlain reports whether a word is no link.
func (w Word) isPlain() bool { return w.Scope == nil && w.Task == nil && w.Find == "" }

// String returns the text of the line.
func (l Line) String() string {
	var b strings.Builder
	for _, w := range l.Words {
		b.WriteString(w.Text)
	}
	return b.String()
}

const (
	maxTold  = 3   // failures that are told in full
	maxKinds = 4   // kinds of folded failures that are named
	maxPath  = 60  // characters of a path
	maxName  = 60  // of a name
	maxErr   = 160 // of an error
	maxWhat  = 48  // of an error among folded ones
)

// Of returns the story of a history. What ended a root, or else what did not end when told to,
// and then what took down the most, is told first. Other failures follow, a hang, and the
// failures that ended nothing else. What had not ended and what is missing comes last. If no
// failure took anything down, a hang or a log that stops short comes before all failures.
func Of(h *history.History) []Line { return CausesOf(h).Story(h) }

// Story is Of for a history whose causes are known.
func (c *Causes) Story(h *history.History) []Line {
	if len(h.Scopes) == 0 {
		return append([]Line{say("lost", "Nothing happened: the log has a first line, and no scope was opened.")}, missing(h)...)
	}
	t := &writer{history: h, causes: c}
	told, folded := t.failures()
	tookDown := len(told) > 0 && told[0].tookDown()
	stuck, hang, left := t.stuck(), t.hangs(), t.unfinished()
	var lines []Line
	add := func(more *[]Line) { lines, *more = append(lines, *more...), nil }
	if len(told) == 0 || !told[0].isRoot() {
		add(&stuck)
	}
	if !tookDown {
		add(&hang)
		if !h.Closed {
			add(&left)
		}
		if len(lines) == 0 && h.Closed {
			lines = append(lines, t.calm(len(told)+len(folded) > 0)...)
		}
	}
	for _, a := range told {
		lines = append(lines, t.tell(a))
	}
	add(&stuck)
	add(&hang)
	if len(folded) > 0 {
		lines = append(lines, t.fold(folded, len(told) > 0))
	}
	add(&left)
	return append(lines, missing(h)...)
}

// A writer makes the lines of a story.
type writer struct {
	history *history.History
	causes  *Causes
}

// A failure is a scope that failed by itself, with the scopes above that failed because of
// it, or a task that failed and ended no scope.
type failure struct {
	path []*history.Scope // empty if it is that of a task
	task *history.Task
	at   time.Duration
	toll Toll
}

// ended is the number of spans that ended because of the failure.
func (f *failure) ended() int { return f.toll.Total() + len(f.path) }

// span returns the task that failed; the scope if that was no task.
func (f *failure) span() Span {
	switch {
	case f.task != nil:
		return Span{f.task.Scope, f.task}
	case f.path[0].Cause != nil && f.path[0].Cause.By != nil && f.path[0].Cause.By.Failed():
		return Span{f.path[0], f.path[0].Cause.By}
	default:
		return Span{Scope: f.path[0]}
	}
}

// isRoot reports whether a root failed.
func (f *failure) isRoot() bool {
	return len(f.path) > 0 && f.path[len(f.path)-1].Parent == nil
}

// A similar is the failures that differ in numbers and times only. The first is the one that ended
// the most.
type similar []*failure

func (a similar) isRoot() bool { return a[0].isRoot() }

// tookDown reports whether one of the failures ended a root, or anything beyond the scope or task
// that failed.
func (a similar) tookDown() bool { return a.isRoot() || a[0].ended() > 1 }

// isToldInFull reports whether the failures are not folded: one ended a scope above its own, or
// there is only one.
func (a similar) isToldInFull() bool { return len(a[0].path) > 1 || len(a) == 1 }

// failures returns the failures to tell in full, the one that ended the most first, and the others, the most
// frequent first.
func (t *writer) failures() (told, folded []similar) {
	byKey := make(map[string]int)
	var all []similar
	add := func(key string, f *failure) {
		at, known := byKey[key]
		if !known {
			at = len(all)
			byKey[key] = at
			all = append(all, nil)
		}
		all[at] = append(all[at], f)
	}
	for _, s := range t.history.Scopes {
		if t.causes.IsFirst(s) {
			f := &failure{path: t.causes.path(s), at: failedAt(s), toll: t.causes.Toll(s)}
			add("s"+FoldName(s.Name)+"\x00"+FoldName(What(s)), f)
		}
		for _, task := range s.Tasks {
			if task.Failed() && t.causes.ended[task] == nil && !passesOn(task) {
				add("t"+FoldName(task.Name)+"\x00"+FoldName(Innermost(task.Err)), &failure{task: task, at: task.Ended})
			}
		}
	}
	for _, a := range all {
		slices.SortStableFunc(a, func(x, y *failure) int {
			return cmp.Or(compareBool(y.isRoot(), x.isRoot()), cmp.Compare(y.ended(), x.ended()), cmp.Compare(x.at, y.at))
		})
	}
	slices.SortStableFunc(all, func(x, y similar) int {
		return cmp.Or(compareBool(y.isRoot(), x.isRoot()), cmp.Compare(y[0].ended(), x[0].ended()), cmp.Compare(x[0].at, y[0].at))
	})
	for _, a := range all {
		if a.isToldInFull() && len(told) < maxTold {
			told = append(told, a)
		} else {
			folded = append(folded, a)
		}
	}
	slices.SortStableFunc(folded, func(x, y similar) int { return cmp.Compare(len(y), len(x)) })
	return told, folded
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// tell tells the first of failures that are similar, and counts the others.
func (t *writer) tell(a similar) Line {
	f := a[0]
	var words []any
	if f.task != nil {
		words = append(words, "task ", linkTo(f.task))
		words = append(words, returned(f.task, "", f.task.Err)...)
		words = append(words, t.at(f.at, f.task.Spawned)+"; that ended no scope")
	} else {
		first := f.path[0]
		words = append(words, pathTo(first), " failed", t.at(f.at, first.Opened), ": ")
		words = append(words, t.why(first)...)
		words = append(words, t.consequences(f)...)
	}
	words = append(words, ".")
	if n := len(a) - 1; n > 0 {
		last := slices.MaxFunc(a, func(x, y *failure) int { return cmp.Compare(x.at, y.at) })
		words = append(words, " The same happened "+countOf(n, "more time", "more times")+", "+word(n == 1, "", "last ")+"at "+Duration(t.history, last.at)+".")
	}
	return say("failed", words...)
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// at says when something happened that began at a time.
func (t *writer) at(at, began time.Duration) string {
	moment, age := Duration(t.history, at), Duration(t.history, at-began)
	if moment == age {
		return " at " + moment
	}
	return " at " + moment + " (" + age + " after it began)"
}

// consequences says what ended because of a failure.
func (t *writer) consequences(f *failure) (words []any) {
	top := f.path[len(f.path)-1]
	switch n := len(f.path) - 1; {
	case n == 1:
		words = append(words, ". That ended ", linkTo(top), " as well")
	case n > 1:
		words = append(words, ". That ended the "+count(n, "scope")+" around it as well, up to ", linkTo(top))
	}
	if f.toll.Total() > 0 {
		words = append(words, word(len(words) > 0, ", and ", "; "), tollOf(f.toll, Span{Scope: f.path[0]}), " "+was(f.toll.Total())+" canceled because of it")
	}
	if next := restarted(top); next != nil {
		words = append(words, "; ", linkTo(next), " began at "+Duration(t.history, next.Opened))
	}
	return words
}

// restarted returns the scope that the same task opened next in place of one that failed: its
// name differs in numbers only.
func restarted(s *history.Scope) *history.Scope {
	if s.By == nil || s.Closed == history.Never || FoldName(s.Name) == s.Name {
		return nil
	}
	i := slices.Index(s.By.Scopes, s) + 1
	if i == len(s.By.Scopes) {
		return nil
	}
	if next := s.By.Scopes[i]; next.Opened >= s.Closed && next.Name != s.Name && FoldName(next.Name) == FoldName(s.Name) {
		return next
	}
	return nil
}

// fold counts failures that ended nothing above the scopes that failed.
func (t *writer) fold(folded []similar, more bool) Line {
	n := 0
	var toll Toll
	var first, last *failure
	var all, tolled []Span
	for _, a := range folded {
		n += len(a)
		for _, f := range a {
			all = append(all, f.span())
			if toll = toll.plus(f.toll); f.toll.Total() > 0 {
				tolled = append(tolled, Span{Scope: f.path[0]})
			}
			if first == nil || f.at < first.at {
				first = f
			}
			if last == nil || f.at > last.at {
				last = f
			}
		}
	}
	which := word(more, "more failure", "failure")
	words := []any{Word{Text: countOf(n, which, which+"s"), Find: "failed", Of: all}, " ended nothing above " + word(n == 1, "it: ", "them: ")}
	if slices.ContainsFunc(folded, func(a similar) bool { return len(a[0].path) > 1 }) {
		words[1] = ": "
	}
	for i, a := range folded {
		if i == maxKinds && len(folded) > maxKinds+1 {
			rest := 0
			for _, a := range folded[i:] {
				rest += len(a)
			}
			words = append(words, "; and "+count(rest, "other")+" of "+count(len(folded)-i, "kind"))
			break
		}
		if i > 0 {
			words = append(words, "; ")
		}
		name := t.nameOf(a)
		words = append(words, thousands(len(a))+" × ", name, ": "+short(strings.TrimPrefix(a.what(), name.Text+": "), maxWhat))
	}
	began, ended := Duration(t.history, first.at), Duration(t.history, last.at)
	switch {
	case n == 1:
		words = append(words, ", at "+began)
	case began == ended:
		words = append(words, "; all at "+began)
	default:
		words = append(words, "; the first at "+began+", the last at "+ended)
	}
	if toll.Total() > 0 {
		words = append(words, ". In them ", tollOf(toll, tolled...), " "+was(toll.Total())+" canceled")
	}
	return say("failed", append(words, ".")...)
}

// nameOf returns a link to the first of failures that are similar, under their common name.
func (t *writer) nameOf(a similar) Word {
	f := a[0]
	w := linkTo(f.task)
	if f.task == nil {
		w = linkTo(f.path[0])
	}
	for _, other := range a {
		if other.name() != f.name() {
			w.Text = short(flat(FoldName(f.name())), maxName)
			break
		}
	}
	return w
}

func (f *failure) name() string {
	if f.task != nil {
		return f.task.Name
	}
	return f.path[0].Name
}

// what says in few words what failed, with the numbers in it only if they are the same in all.
func (a similar) what() string {
	first := a[0].what()
	if slices.ContainsFunc(a, func(f *failure) bool { return f.what() != first }) {
		return FoldName(first)
	}
	return first
}

func (f *failure) what() string {
	if f.task != nil {
		return flat(cmp.Or(Innermost(f.task.Err), string(f.task.State)))
	}
	return What(f.path[0])
}

// What says in few words why a scope failed.
func What(s *history.Scope) string {
	switch {
	case s.Cause != nil && s.Cause.Kind == "timeout":
		return "deadline"
	case s.Cause == nil || s.Cause.Quiet():
		return flat(Innermost(s.Err))
	case s.Cause.By != nil && s.Cause.By.Err != "":
		return flat(Innermost(s.Cause.By.Err))
	default:
		return flat(cmp.Or(Innermost(s.Cause.Err), s.Cause.Kind))
	}
}

// why says why a scope failed by itself.
func (t *writer) why(s *history.Scope) []any {
	c := s.Cause
	if c == nil || c.Quiet() {
		return []any{"its outcome was", quote(" ", s.Err)}
	}
	if by := c.By; by != nil {
		words := []any{"task ", linkTo(by)}
		if by.Stuck != history.Never && by.Stuck <= s.Canceled {
			return append(words, " did not end when told to, and was given up")
		}
		return append(words, returned(by, c.At, cmp.Or(by.Err, c.Err))...)
	}
	at := place(" (", c.At, ")")
	switch c.Kind {
	case "body failed":
		return []any{"its body" + at + " returned", quote(" ", c.Err)}
	case "panicked":
		return []any{"its body" + panicked(c.At, c.Err)}
	case "timeout":
		return []any{"its deadline passed"}
	case "requested":
		return []any{"it was canceled" + place(" at ", c.At, "") + " with", quote(" ", c.Err)}
	case "task failed":
		return []any{"a task returned", quote(" ", c.Err)}
	default:
		return []any{flat(c.Kind), quote(" ", cmp.Or(c.Err, s.Err))}
	}
}

// returned says how a task failed, and at which line if that is known.
func returned(t *history.Task, at, err string) []any {
	switch t.State {
	case history.TaskPanicked:
		return []any{panicked(at, err)}
	case history.TaskExited:
		return []any{" called runtime.Goexit"}
	default:
		return []any{" returned", quote(" ", err)}
	}
}

func panicked(at, err string) string {
	text := " panicked" + place(" at ", at, "")
	if err != "" {
		text += quote(" with ", err)
	}
	return text
}

func place(before, at, after string) string {
	if at = oneLine(at); at == "" {
		return ""
	}
	return before + at + after
}

// calm tells how a program ended, in which nothing failed that mattered to its root. If
// something else has failed, it tells of a single root only.
func (t *writer) calm(hasFailures bool) []Line {
	h := t.history
	tasks := 0
	for _, s := range h.Scopes {
		tasks += len(s.Tasks)
	}
	crowd := count(tasks, "task") + " in " + count(len(h.Scopes), "scope")
	roots := h.Roots()
	ended, canceled := 0, 0
	for _, s := range roots {
		if s.Closed != history.Never {
			ended++
		}
		if s.Cause != nil && s.Cause.Kind == parentCanceled {
			canceled++
		}
	}
	well := word(h.TrioVis, " ended", " ended well")
	root := roots[0]
	end := Duration(h, max(root.Closed, 0))
	switch {
	case hasFailures && (canceled > 0 || ended < 1 || len(roots) > 1):
		return nil
	case canceled > 0:
		return []Line{say("canceled", Word{Text: count(canceled, "root scope"), Find: "canceled"}, " ended because of something outside the log; "+crowd+".")}
	case len(h.Processes) > 1 && ended == len(roots):
		return []Line{say("ok", "No scope failed: "+crowd+" of "+countOf(len(h.Processes), "process", "processes")+", in "+Duration(h, h.End)+".")}
	case ended < len(roots):
		return []Line{say("unfinished", "No scope failed: "+crowd+".")}
	case len(roots) > 1:
		return []Line{say("ok", count(len(roots), "root scope")+well+": "+crowd+", in "+Duration(h, h.End)+".")}
	case root.Cause != nil && root.Cause.Kind == "requested":
		return []Line{say("ok", linkTo(root), " was ended by the program"+place(" (", root.Cause.At, ")")+" at "+end+": "+crowd+".")}
	default:
		return []Line{say("ok", linkTo(root), well+" at "+end+": "+crowd+".")}
	}
}

// say makes a line of strings and words.
func say(tone string, parts ...any) Line {
	l := Line{Tone: tone}
	for _, p := range parts {
		switch p := p.(type) {
		case Word:
			l.Words = append(l.Words, p)
		case string:
			if n := len(l.Words); n > 0 && l.Words[n-1].isPlain() {
				l.Words[n-1].Text += p
			} else if p != "" {
				l.Words = append(l.Words, Word{Text: p})
			}
		}
	}
	return l
}

// linkTo returns the name of a scope or a task, as a link.
func linkTo[T *history.Scope | *history.Task](to T) (w Word) {
	switch to := any(to).(type) {
	case *history.Scope:
		if to != nil {
			w = Word{Text: elide(flat(to.Name), maxName), Scope: to}
		}
	case *history.Task:
		if to != nil {
			w = Word{Text: elide(flat(to.Name), maxName), Task: to}
		}
	}
	return w
}

func pathTo(s *history.Scope) Word { return Word{Text: Path(s, maxPath), Scope: s} }

// quote returns the innermost of an error in quotes.
func quote(before, err string) string {
	if text := flat(Innermost(err)); err != "" {
		return before + "“" + short(text, maxErr) + "”"
	}
	return before + "an error"
}

// tollOf returns a toll as a link. It is that of the ends of these scopes.
func tollOf(t Toll, of ...Span) Word {
	return Word{Text: both(t.Tasks, t.Scopes), Find: "canceled", Of: of}
}

func both(tasks, scopes int) string {
	switch {
	case scopes == 0:
		return count(tasks, "task")
	case tasks == 0:
		return count(scopes, "scope")
	default:
		return count(tasks, "task") + " and " + count(scopes, "scope")
	}
}
