package story

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo/record/history"
)

// An Account is what there is to say of one span.
type Account struct {
	Span  Line   // which span it is, when and where it began, and how it ended
	Chain []Line // why it ended, from the span back to the first cause
	Toll  []Line // what ended because of it
}

// Why returns the account of a span.
func (c *Causes) Why(h *history.History, span Span) Account {
	t := &writer{history: h, causes: c}
	return Account{t.facts(span), t.chain(span), t.took(span)}
}

// facts says which span it is.
func (t *writer) facts(span Span) Line {
	s := span.Scope
	began, end, at, state := s.Opened, s.Closed, s.At, t.scopeState(s)
	words := []any{"scope ", Word{Text: Path(s, 4*maxPath), Scope: s}, " (id " + span.ID() + "): opened at "}
	if task := span.Task; task != nil {
		began, end, at, state = task.Spawned, task.Ended, task.At, t.taskState(task)
		words = []any{"task ", Word{Text: TaskPath(task, 4*maxPath), Task: task}, " (id " + span.ID() + "): spawned at "}
	}
	words = append(words, Duration(t.history, began)+place(" at ", at, "")+", ")
	switch {
	case end == history.Never:
		until, when := t.history.End, "when the log stops"
		if p := s.Process; p != nil {
			until, when = p.Until, word(p.Died(), "when its process ended", word(p.Closed, "when the recorder was closed", when))
		}
		words = append(words, state+" at "+Duration(t.history, until)+", "+when+", after "+Duration(t.history, max(until-began, 0))+".")
	case span.Task == nil && s.Canceled != history.Never && s.Canceled < end:
		words = append(words, state+" at "+Duration(t.history, s.Canceled)+", closed at "+Duration(t.history, end)+", after "+Duration(t.history, end-began)+".")
	default:
		words = append(words, state+" at "+Duration(t.history, end)+", after "+Duration(t.history, end-began)+".")
	}
	for _, w := range Waits(t.history) {
		if w.Span != span {
			continue
		}
		words = append(words, " At "+Duration(t.history, w.At)+" it is "+w.Doing())
		if w.For > 0 {
			words = append(words, ", for "+Duration(t.history, w.For)+" at least")
		}
		if w.Of > 1 {
			words = append(words, ", as "+countOf(w.Of-1, "other is", "others are"))
		}
		words = append(words, ".")
	}
	return say("ok", words...)
}

func (t *writer) taskState(task *history.Task) string {
	switch task.State {
	case history.TaskOK:
		switch {
		case task.Stuck != history.Never:
			return "given up, and ended"
		case t.causes.CutShort(task):
			return "canceled, returned nil"
		case t.history.TrioVis:
			return "ended"
		}
		return "ended well"
	case history.TaskExited:
		return "called runtime.Goexit"
	case history.TaskLost:
		return "ended in a gap of the log, found"
	case history.TaskQueued:
		return "not started"
	case history.TaskStuck:
		return "given up, and still running"
	case history.TaskRunning:
		return "still running"
	case history.TaskCanceled:
		return word(t.causes.Stopped(Span{task.Scope, task}), "stopped", "canceled")
	default:
		return string(task.State)
	}
}

func (t *writer) scopeState(s *history.Scope) string {
	switch {
	case s.State == history.ScopeLost:
		return "closed in a gap of the log, found"
	case t.causes.failed[s]:
		return "failed"
	case s.Closed == history.Never:
		return "still " + string(s.State)
	case IsFromAbove(s):
		return word(t.causes.Stopped(Span{Scope: s}), "stopped", "canceled")
	case t.causes.passing[s], t.history.TrioVis:
		return "ended"
	default:
		return "ended well"
	}
}

// chain tells why a span ended, from the span back to the first cause.
func (t *writer) chain(span Span) (lines []Line) {
	tell := func(parts ...any) { lines = append(lines, say("ok", append(parts, ".")...)) }
	seen := make(map[Span]bool) // what happened at one moment may seem to be the cause of itself
	for at, more := span, true; more && !seen[at]; {
		seen[at] = true
		if at.Task != nil {
			at, more = t.taskStep(at.Task, tell)
		} else {
			at, more = t.scopeStep(at.Scope, tell)
		}
	}
	return lines
}

// taskStep tells why a task ended, and returns what that goes back to.
func (t *writer) taskStep(task *history.Task, tell func(...any)) (next Span, more bool) {
	s := task.Scope
	switch below := failedBelow(task); {
	case task.Cause != nil && task.Cause.Kind == "timeout":
		tell(linkTo(task), " was canceled alone: its own deadline passed")
	case task.Cause != nil:
		words := []any{linkTo(task), " was canceled alone" + place(" at ", task.Cause.At, "")}
		if task.Cause.Err != "" {
			words = append(words, quote(" with ", task.Cause.Err))
		}
		tell(append(words, t.thenFailed(task)...)...)
	case s.Cause != nil && s.Cause.By != task && isTold(task):
		words := []any{linkTo(task), " was told to end at " + Duration(t.history, s.Canceled) + ", because its scope ended: ", linkTo(s)}
		tell(append(words, t.thenFailed(task)...)...)
		return Span{Scope: s}, true
	case task.State == history.TaskCanceled:
		tell(linkTo(task), " was canceled alone, or by a context of its own")
	case below != nil:
		tell(linkTo(task), " returned the failure of a scope that it opened: ", linkTo(below))
		return Span{Scope: below}, true
	case task.Failed():
		tell(append(append([]any{linkTo(task)}, returned(task, "", task.Err)...), t.at(task.Ended, task.Spawned))...)
	case task.Unfinished():
		tell(linkTo(task), " has not been told to end")
	case task.State == history.TaskOK:
		tell(linkTo(task), " returned nil at "+Duration(t.history, task.Ended))
	}
	return Span{}, false
}

// thenFailed says how a task that was told to end failed with an error of its own.
func (t *writer) thenFailed(task *history.Task) []any {
	if !task.Failed() {
		return nil
	}
	return append(append([]any{"; then it"}, returned(task, "", task.Err)...), " at "+Duration(t.history, task.Ended))
}

// isTold reports whether a task, which did not end its scope, was told to end by that.
func isTold(t *history.Task) bool {
	switch t.State {
	case history.TaskLost:
		return false
	case history.TaskCanceled:
		return t.Ended >= t.Scope.Canceled
	default:
		return t.Unfinished() || t.Ended > t.Scope.Canceled
	}
}

// scopeStep tells why a scope ended, and returns what that goes back to.
func (t *writer) scopeStep(s *history.Scope, tell func(...any)) (next Span, more bool) {
	if s.Cause == nil {
		switch {
		case s.Closed == history.Never:
			tell(linkTo(s), " has not been told to end")
		case s.Err != "":
			tell(linkTo(s), " has the outcome", quote(" ", s.Err))
		}
		return Span{}, false
	}
	ended := " ended at " + Duration(t.history, s.Canceled)
	switch task, by := s.EndedBy(); {
	case by != s && task != nil:
		tell(linkTo(s), ended+", because a task was canceled: ", linkTo(task), word(s.BeginsProcess(), ", which stands for its process", ", which opened it"))
		return Span{by, task}, true
	case by != s && by != nil:
		tell(linkTo(s), ended+", because the scope above did: ", linkTo(by))
		return Span{Scope: by}, true
	}
	below := t.causes.from[s]
	if below != nil && s.Cause.Kind == "panicked" && s.Cause.By == nil { // with a place that is not in it
		tell(linkTo(s), ended+": its body"+panicked("", s.Cause.Err))
	} else {
		tell(append([]any{linkTo(s), ended + ": "}, t.ended(s)...)...)
	}
	if below != nil {
		tell("That is the failure of a scope below: ", linkTo(below))
		return Span{Scope: below}, true
	}
	return Span{}, false
}

// took tells what ended because of a span.
func (t *writer) took(span Span) (lines []Line) {
	tell := func(parts ...any) { lines = append(lines, say("ok", append(parts, ".")...)) }
	s := span.Scope
	if span.Task != nil {
		if s = t.causes.ended[span.Task]; s == nil {
			return nil
		}
		tell("It ended ", linkTo(s), " at "+Duration(t.history, s.Canceled))
	}
	if up := t.causes.path(s)[1:]; len(up) > 0 {
		words := []any{"That ended "}
		for i, above := range up[:min(len(up), maxNames)] {
			words = append(words, word(i > 0, ", ", ""), linkTo(above))
		}
		if rest := len(up) - maxNames; rest > 0 {
			words = append(words, " and "+count(rest, "more scope"), ", up to ", linkTo(up[len(up)-1]))
		}
		tell(append(words, " as well")...)
	}
	toll := t.causes.Toll(s)
	if toll.Total() == 0 {
		return lines
	}
	verb := word(s.Cause.Quiet(), " stopped", " canceled")
	words := []any{toll.String() + " " + was(toll.Total()) + verb + " because of it: "}
	var some []Span
	with := make(map[*history.Scope]bool) // those that failed
	for _, above := range t.causes.path(s) {
		with[above] = true
	}
	for canceled, origin := range t.causes.Canceled(t.history) {
		if with[origin] {
			if some = append(some, canceled); len(some) > maxNames {
				break
			}
		}
	}
	tell(append(words, spans(some, toll.Total())...)...)
	return lines
}

// spans names the first of count scopes and tasks.
func spans(some []Span, count int) (words []any) {
	shown := some[:min(len(some), maxNames)]
	for i, s := range shown {
		words = append(words, word(i > 0, ", ", ""))
		if s.Task != nil {
			words = append(words, linkTo(s.Task))
		} else {
			words = append(words, linkTo(s.Scope))
		}
	}
	if rest := count - len(shown); rest > 0 {
		words = append(words, " and "+thousands(rest)+" more")
	}
	return words
}

// Find returns the spans that have a path, or whose path ends in it after a slash.
func Find(h *history.History, path string) (found []Span) {
	path = strings.Trim(path, "/")
	for _, s := range h.Scopes {
		if endsIn(s.Name, s.Parent, path) {
			found = append(found, Span{Scope: s})
		}
		for _, t := range s.Tasks {
			if endsIn(t.Name, s, path) {
				found = append(found, Span{s, t})
			}
		}
	}
	return found
}

// endsIn reports whether the path of a name that is in a scope ends in a path. Names may have
// slashes in them.
func endsIn(name string, in *history.Scope, path string) bool {
	for {
		if path == name {
			return true
		}
		rest, is := strings.CutSuffix(path, "/"+name)
		if !is || in == nil {
			return false
		}
		path, name, in = rest, in.Name, in.Parent
	}
}

// FindID returns the span with an ID: see [Span.ID].
func FindID(h *history.History, id string) (Span, bool) {
	for _, s := range h.Scopes {
		own := Span{Scope: s}.ID()
		if own == id {
			return Span{Scope: s}, true
		}
		rest, is := strings.CutPrefix(id, own+".")
		if !is {
			continue
		}
		for _, t := range s.Tasks {
			if (Span{s, t}).ID() == own+"."+rest {
				return Span{s, t}, true
			}
		}
	}
	return Span{}, false
}

// Nearest returns paths that are similar to one that is not in the history, at most n.
func Nearest(h *history.History, path string, n int) []string {
	const most = 20_000 // names that are looked at
	_, name := cutLast(strings.Trim(path, "/"))
	type candidate struct {
		path     string
		distance int
	}
	known := make(map[string]bool)
	var all []candidate
	look := func(own string, path func() string) {
		folded := FoldName(own)
		if known[folded] || len(known) == most {
			return
		}
		known[folded] = true
		if d := distance(strings.ToLower(own), strings.ToLower(name)); d <= max(2, len(name)/2) || strings.Contains(strings.ToLower(own), strings.ToLower(name)) {
			all = append(all, candidate{path(), d})
		}
	}
	for _, s := range h.Scopes {
		look(s.Name, func() string { return Path(s, 2*maxPath) })
		for _, t := range s.Tasks {
			look(t.Name, func() string { return TaskPath(t, 2*maxPath) })
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var paths []string
	for _, c := range all[:min(len(all), n)] {
		paths = append(paths, c.path)
	}
	return paths
}

func cutLast(path string) (before, last string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// distance returns how many characters of a must be changed, added or left out to get b.
func distance(a, b string) int {
	const most = 100
	x, y := []rune(short(a, most)), []rune(short(b, most))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			change := diagonal
			if x[i] != y[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

// Sort sorts spans by how much there is to say of them: first those that ended the most, then
// those that failed, did not end, or were canceled, and of equals those that took longest.
func (c *Causes) Sort(spans []Span) {
	type rank struct {
		ended, state int
		took         time.Duration
	}
	ranks := make(map[Span]rank, len(spans))
	for _, s := range spans {
		r := rank{took: s.Scope.Closed - s.Scope.Opened}
		ended := s.Scope
		if s.Task != nil {
			r.took, r.state = s.Task.Ended-s.Task.Spawned, taskRank(s.Task)
			ended = c.ended[s.Task]
		} else {
			r.state = c.scopeRank(s.Scope)
		}
		if s.Task == nil && !c.IsFirst(s.Scope) {
			ended = nil
		}
		if ended != nil {
			r.ended = c.Toll(ended).Total() + c.levels[ended] + 1
		}
		ranks[s] = r
	}
	slices.SortStableFunc(spans, func(a, b Span) int {
		x, y := ranks[a], ranks[b]
		return cmp.Or(cmp.Compare(y.ended, x.ended), cmp.Compare(y.state, x.state), cmp.Compare(y.took, x.took))
	})
}

func (c *Causes) scopeRank(s *history.Scope) int {
	switch {
	case c.failed[s]:
		return 3
	case s.Closed == history.Never:
		return 2
	case IsFromAbove(s):
		return 1
	default:
		return 0
	}
}

func taskRank(t *history.Task) int {
	switch {
	case t.Failed():
		return 3
	case t.Unfinished():
		return 2
	case t.State == history.TaskCanceled:
		return 1
	default:
		return 0
	}
}

// States counts spans by what became of them: "146 ended well, 41 failed".
func (c *Causes) States(h *history.History, spans []Span) string {
	t := &writer{history: h, causes: c}
	counts := make(map[string]int)
	var order []string
	for _, s := range spans {
		state := t.scopeState(s.Scope)
		if s.Task != nil {
			state = t.taskState(s.Task)
		}
		if counts[state] == 0 {
			order = append(order, state)
		}
		counts[state]++
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	for i, state := range order {
		order[i] = thousands(counts[state]) + " " + state
	}
	return strings.Join(order, ", ")
}
