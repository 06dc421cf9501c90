package story

import (
	"strconv"

	"github.com/traigo/traigo/record/history"
)

// left counts what had not ended.
type left struct {
	tasks, scopes int
	root          *history.Scope // of the process
}

func (l left) total() int { return l.tasks + l.scopes }

// sentence says what had not ended, in a process or in all.
func (l left) sentence(in string) []any {
	if l.total() == 0 {
		return []any{"Everything" + in + " had ended."}
	}
	return []any{Word{Text: both(l.tasks, l.scopes), Find: "unfinished"}, in + " had not ended."}
}

// unfinished tells what had not ended, and which logs stop short.
func (t *writer) unfinished() []Line {
	h := t.history
	var all left
	inside := make(map[*history.Process]left)
	for _, s := range h.Scopes {
		in := inside[s.Process]
		if in.root == nil {
			in.root = s
		}
		tasks, scopes := 0, 0
		if s.Closed == history.Never {
			scopes++
		}
		for _, task := range s.Tasks {
			if task.Unfinished() {
				tasks++
			}
		}
		in.tasks, in.scopes = in.tasks+tasks, in.scopes+scopes
		all.tasks, all.scopes = all.tasks+tasks, all.scopes+scopes
		inside[s.Process] = in
	}
	switch {
	case len(h.Processes) > 1:
		return t.processes(inside)
	case !h.Closed:
		next := word(h.Segment > 0, "it goes on in the next file, or ", "")
		words := []any{"The log stops at " + Duration(h, h.End) + " without its last line: " + next + "the program crashed, was killed, or still runs. "}
		return []Line{say("unfinished", append(words, all.sentence("")...)...)}
	case all.total() > 0:
		return []Line{say("unfinished", append([]any{"When the recorder was closed, "}, all.sentence("")...)...)}
	default:
		return nil
	}
}

// processes tells which of several processes have logs that stop short, and what had not ended
// in them.
func (t *writer) processes(inside map[*history.Process]left) (lines []Line) {
	const most = 3
	h := t.history
	stopped := 0
	var outlived left
	for _, p := range h.Processes {
		in := inside[p]
		if p.Closed {
			outlived.tasks, outlived.scopes = outlived.tasks+in.tasks, outlived.scopes+in.scopes
			continue
		}
		if stopped++; stopped > most {
			continue
		}
		why := word(p.Segment > 0, "it goes on in the next file, or ", "") + "the process crashed, was killed, or still runs"
		if p.Died() {
			why = "it crashed or was killed"
		}
		who := Word{Text: strconv.Itoa(p.PID), Scope: in.root}
		if in.root != nil {
			who.Text += ", " + elide(flat(in.root.Name), maxName)
		}
		words := []any{"The log of process ", who, ", stops at " + Duration(h, p.End) + " without its last line: " + why + ". "}
		lines = append(lines, say("unfinished", append(words, in.sentence(" in it")...)...))
	}
	if stopped > most {
		lines = append(lines, say("unfinished", "So do the logs of "+countOf(stopped-most, "process", "processes")+" more."))
	}
	if outlived.total() > 0 {
		lines = append(lines, say("unfinished", append([]any{"When the recorders of their processes were closed, "}, outlived.sentence("")...)...))
	}
	return lines
}

// missing tells what the log does not have.
func missing(h *history.History) (lines []Line) {
	add := func(text string) { lines = append(lines, say("lost", text)) }
	if h.TrioVis {
		add("This is a file of trio-vis: it does not say how tasks ended" + word(h.Ordinal, ", and its times are steps, not seconds", "") + ".")
	}
	if n := len(h.Losses); n > 0 {
		first, lost := h.Losses[0], int(h.Lost())
		where := "at " + Duration(h, first.At)
		if n > 1 {
			where = "in " + countOf(n, "place", "places") + ", first " + where
		}
		if len(h.Processes) > 1 && first.Process != nil {
			where += " in process " + strconv.Itoa(first.Process.PID)
		}
		what := "Lines of the log are lost "
		if lost > 0 {
			what = count(lost, "line") + " of the log " + word(lost == 1, "is", "are") + " lost "
		}
		why := ""
		if first.Why != "" {
			why = ": " + short(flat(first.Why), maxErr)
		}
		add(what + where + why + ". What happened then is shown as far as it is known.")
	}
	if h.Truncated {
		torn := 0
		for _, p := range h.Processes {
			if p.Truncated {
				torn++
			}
		}
		if len(h.Processes) > 1 {
			add(countOf(torn, "log is", "logs are") + " cut in the middle of a line.")
		} else {
			add("The log is cut in the middle of a line.")
		}
	}
	if n := len(h.Skipped); n > 0 {
		add(countOf(n, "file is", "files are") + " left out: " + short(flat(h.Skipped[0]), 200) + word(n > 1, "; and others.", "."))
	}
	if n := h.Damaged; n > 0 {
		add(count(n, "line") + " of the log " + word(n == 1, "makes", "make") + " no sense and " + was(n) + " left out.")
	}
	return lines
}
