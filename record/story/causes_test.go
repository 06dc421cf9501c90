package story_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
	"github.com/traigo/traigo/record/story"
)

// endOf returns the scope with whose end the cancellation of s began, by going up.
func endOf(s *history.Scope) *history.Scope {
	for {
		task, by := s.EndedBy()
		switch {
		case by == nil || task != nil && by != s:
			return nil
		case by == s && s.Cause.Kind == "parent canceled":
			return nil
		case by == s:
			return s
		}
		s = by
	}
}

// tollOf counts what was canceled because of the end of one scope, span by span.
func tollOf(h *history.History, of *history.Scope) (toll story.Toll) {
	for _, s := range h.Scopes {
		if endOf(s) != of {
			continue
		}
		if s != of && s.Opened < of.Canceled {
			toll.Scopes++
		}
		for _, t := range s.Tasks {
			alive := t.Ended == never || t.Ended > s.Canceled || t.Ended == s.Canceled && t.State == history.TaskCanceled
			if alive && t.State != history.TaskLost && t.Spawned < of.Canceled && s.Cause.By != t {
				toll.Tasks++
			}
		}
	}
	return toll
}

var (
	canceledBecause = regexp.MustCompile(`(?:; |, and )(?:([\d,]+) tasks?)?(?: and )?(?:([\d,]+) scopes?)? (?:was|were) canceled because of it`)
	times           = regexp.MustCompile(`([\d,]+) × `)
	fold            = regexp.MustCompile(`^([\d,]+) (?:more )?failures?(?: ended nothing|: )`)
	others          = regexp.MustCompile(`and ([\d,]+) others? of`)
	more            = regexp.MustCompile(`The same happened ([\d,]+) more time`)
)

func number(t *testing.T, text string) int {
	t.Helper()
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	require.NoError(t, err)
	return n
}

// Every number in the story of random programs, and of random lines, is that of a count.
func TestNumbersInTheStoryAreCounted(t *testing.T) {
	check := func(t *testing.T, h *history.History) {
		t.Helper()
		causes := story.CausesOf(h)
		failures := 0
		carried := make(map[*history.Scope]bool)
		for _, s := range h.Scopes {
			if up := causes.FailedWith(s); up != nil {
				carried[up] = true
				require.Same(t, s.Parent, up)
				require.True(t, causes.Failed(up))
			}
		}
		for _, s := range h.Scopes {
			want := story.Toll{}
			for up := s; up != nil; up = causes.FailedWith(up) {
				one := tollOf(h, up)
				want.Tasks, want.Scopes = want.Tasks+one.Tasks, want.Scopes+one.Scopes
			}
			require.Equal(t, want, causes.Toll(s), s.Path())
			if causes.Failed(s) && !carried[s] {
				failures++
			}
			for _, task := range s.Tasks {
				passed := false
				for _, below := range task.Scopes {
					for _, err := range []string{below.Err, causeErr(below)} {
						passed = passed || err != "" && strings.Contains(task.Err, err[:min(len(err), 200)])
					}
				}
				if task.Failed() && causes.Ended(task) == nil && !passed {
					failures++
				}
			}
		}
		told := 0
		for _, line := range causes.Story(h) {
			text := line.String()
			require.NotContains(t, text, "%!")
			if line.Tone != "failed" {
				checkRest(t, h, text)
				continue
			}
			if of := fold.FindStringSubmatch(text); of != nil {
				sum := 0
				for _, n := range times.FindAllStringSubmatch(text, -1) {
					sum += number(t, n[1])
				}
				if rest := others.FindStringSubmatch(text); rest != nil {
					sum += number(t, rest[1])
				}
				require.Equal(t, number(t, of[1]), sum, text)
				told += sum
				continue
			}
			told++
			if again := more.FindStringSubmatch(text); again != nil {
				told += number(t, again[1])
			}
			if said := canceledBecause.FindStringSubmatch(text); said != nil {
				said := story.Toll{Tasks: number(t, said[1]), Scopes: number(t, said[2])}
				require.Equal(t, causes.Toll(line.Words[0].Scope), said, text)
			} else if s := line.Words[0].Scope; s != nil {
				require.Zero(t, causes.Toll(s), text)
			}
		}
		require.Equal(t, failures, told, "each failure is told or counted")
	}
	t.Run("programs", func(t *testing.T) {
		for seed := range uint64(60) {
			check(t, logtest.Read(t, logtest.Program(t, seed)))
		}
	})
	t.Run("lines", func(t *testing.T) {
		for seed := range uint64(400) {
			check(t, logtest.Read(t, logtest.Random(seed)))
		}
	})
}

func causeErr(s *history.Scope) string {
	if s.Cause == nil {
		return ""
	}
	return s.Cause.Err
}

var (
	unended = regexp.MustCompile(`(?:\. |, )(?:([\d,]+) tasks?)?(?: and )?(?:([\d,]+) scopes?)? had not ended\.$`)
	gaveUp  = regexp.MustCompile(`^([\d,]+) tasks? did not end when told to`)
)

// checkRest checks the numbers of what had not ended, and of what was given up.
func checkRest(t *testing.T, h *history.History, text string) {
	t.Helper()
	tasks, scopes, stuck := 0, 0, 0
	for _, s := range h.Scopes {
		if s.Closed == never {
			scopes++
		}
		for _, task := range s.Tasks {
			if task.Unfinished() {
				tasks++
			}
			if task.Stuck != never {
				stuck++
			}
		}
	}
	if said := unended.FindStringSubmatch(text); said != nil && !strings.HasPrefix(text, "Nothing happened") {
		assert.Equal(t, []int{tasks, scopes}, []int{number(t, said[1]), number(t, said[2])}, text)
	}
	if said := gaveUp.FindStringSubmatch(text); said != nil {
		assert.Equal(t, stuck, number(t, said[1]), text)
	}
}

func TestTheStoryOfALargeHistoryIsToldFast(t *testing.T) {
	rows := []row{scope(0, "root", 0, 9*s, ends(5*s, "timeout", "", "late"))}
	for i := range 10_000 {
		rows = append(rows, scope(1, fmt.Sprintf("conn %d", i), 0, 6*s, ends(5*s, "parent canceled", "", "")), task(2, "t", 0, 6*s, canceled))
	}
	assert.Equal(t, []string{"root failed at 5 s: its deadline passed; 10,000 tasks and 10,000 scopes were canceled because of it."}, textsOf(outline(t, 9*s, rows...)))
	deep := []row{scope(0, "root", 0, 9*s, ends(5*s, "timeout", "", "late"))}
	for i := 1; i < 20_000; i++ {
		deep = append(deep, scope(i, "level", 0, 6*s, ends(5*s, "parent canceled", "", "")))
	}
	assert.Equal(t, []string{"root failed at 5 s: its deadline passed; 19,999 scopes were canceled because of it."}, textsOf(outline(t, 9*s, deep...)))
}
