package view_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/browser"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/view"
)

// The parts of the page that follow causes, and need no browser. `npm test` in web/ runs the
// same.
func TestBrowserStoryLogic(t *testing.T) {
	browser.Run(t, "story-logic.mjs")
}

// The page has the sentences of package story, with rows for links, and the spans that they
// count.
func TestThePageHasTheStory(t *testing.T) {
	c := unpack(t, page(t, failing(t)))
	require.NotEmpty(t, c.Story)
	first := c.Story[0]
	assert.Equal(t, "failed", first.Tone)
	var text strings.Builder
	links := make(map[string]string)
	for _, w := range first.Words {
		text.WriteString(w.Text)
		if w.Row >= 0 {
			links[w.Text] = string(c.Kind[w.Row]) + " " + c.names()[w.Row]
		}
	}
	tasks, scopes := 0, 0
	for _, span := range c.Canceled {
		assert.Equal(t, "server", c.names()[span[1]])
		if c.Kind[span[0]] == 's' {
			scopes++
		} else {
			tasks++
		}
	}
	assert.Equal(t, fmt.Sprintf("server failed at 3.2 s: task accept returned “too many open files”; %d tasks and %d scopes were canceled because of it.", tasks, scopes), text.String())
	assert.Equal(t, map[string]string{"server": "s server", "accept": "t accept"}, links)
	assert.NotZero(t, tasks)
}

// A number in the story that is a link leads to as many spans as it says.
func TestNumbersOfTheStoryLeadToWhatTheyCount(t *testing.T) {
	number := regexp.MustCompile(`[\d,]+`)
	links := make(map[string]int)
	for name, log := range map[string][]byte{"failing": failing(t), "climbing": climbing(), "server": server(), "shop": shop(t), "deep": deep()} {
		c := unpack(t, page(t, log))
		above := make(map[int]int)
		for _, pair := range c.FailedWith {
			above[pair[0]] = pair[1]
		}
		told := make(map[int][]int)
		for _, pair := range c.Canceled {
			told[pair[1]] = append(told[pair[1]], pair[0])
		}
		toll := func(scope int) (rows []int) {
			for {
				rows = append(rows, told[scope]...)
				up, known := above[scope]
				if !known {
					return rows
				}
				scope = up
			}
		}
		for _, line := range c.Story {
			for _, w := range line.Words {
				if w.Find != "failed" && w.Find != "canceled" {
					continue
				}
				said := 0
				for _, digits := range number.FindAllString(w.Text, -1) {
					n, err := strconv.Atoi(strings.ReplaceAll(digits, ",", ""))
					require.NoError(t, err)
					said += n
				}
				counted := w.Of
				if w.Find == "canceled" {
					counted = nil
					for _, scope := range w.Of {
						counted = append(counted, toll(scope)...)
					}
				}
				slices.Sort(counted)
				assert.Len(t, slices.Compact(counted), said, "%s: %s", name, w.Text)
				links[w.Find]++
			}
		}
	}
	assert.Positive(t, links["failed"])
	assert.Greater(t, links["canceled"], 4)
}

// The page has what history.Scope.EndedBy says of the scopes that ended because of what is around
// them: it does not follow the rules for that a second time.
func TestThePageHasWhatEndedEachScope(t *testing.T) {
	c := unpack(t, page(t, logOf(
		`{"t":0,"k":"scope","id":1,"n":"app"}`,
		`{"t":1,"k":"spawn","s":1,"id":1,"n":"alone","f":"bw"}`, `{"t":1,"k":"spawn","s":1,"id":2,"n":"late","f":"bw"}`,
		`{"t":2,"k":"scope","id":2,"in":1,"by":1,"n":"in it"}`, `{"t":2,"k":"scope","id":3,"in":1,"by":2,"n":"own"}`,
		`{"t":2,"k":"scope","id":4,"in":1,"n":"below"}`, `{"t":2,"k":"scope","id":5,"in":1,"n":"context"}`,
		`{"t":3,"k":"cancel","id":2,"why":"parent canceled","err":"context canceled"}`,
		`{"t":3,"k":"end","s":1,"id":1,"st":"canceled","why":"requested","err":"context canceled"}`,
		`{"t":4,"k":"cancel","id":5,"why":"parent canceled","err":"context canceled"}`,
		`{"t":5,"k":"cancel","id":1,"why":"requested"}`, `{"t":6,"k":"cancel","id":4,"why":"parent canceled"}`,
		`{"t":7,"k":"cancel","id":3,"why":"parent canceled","err":"\"late\" timed out after 3ns"}`,
		`{"t":8,"k":"end","s":1,"id":2,"st":"ok"}`)))
	names := c.names()
	ended := make(map[string]string)
	for _, pair := range c.EndedBy {
		ended[names[pair[0]]] = string(c.Kind[pair[1]]) + " " + names[pair[1]]
	}
	assert.Equal(t, map[string]string{"in it": "t alone", "below": "s app"}, ended)
}

// A stack begins with the first frame of the user, and those of traigo and the runtime are
// counted. One that has no other frames is shown as it is.
func TestStacksBeginWithTheFramesOfTheUser(t *testing.T) {
	const own = `main.parse(…)\n\t/src/main.go:41\n`
	const around = `panic({0x1, 0x2})\n\t/go/panic.go:860\n`
	c := unpack(t, page(t, logOf(
		`{"t":0,"k":"scope","id":1,"n":"job"}`,
		`{"t":1,"k":"spawn","s":1,"id":1,"n":"parse"}`, `{"t":1,"k":"spawn","s":1,"id":2,"n":"odd"}`,
		`{"t":2,"k":"end","s":1,"id":1,"st":"panicked","err":"boom","stack":"goroutine 7 [running]:\n`+around+around+own+around+own+`"}`,
		`{"t":3,"k":"end","s":1,"id":2,"st":"panicked","err":"boom","stack":"goroutine 8 [running]:\n`+around+`"}`)))
	text := func(s string) string { return strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s) }
	require.Len(t, c.Stack, 2)
	assert.Equal(t, "goroutine 7 [running]:\n"+text(own)+"… 1 frame of traigo and the runtime\n"+text(own), c.Strings[c.Stack[0][1]])
	assert.Equal(t, "goroutine 8 [running]:\n"+text(around), c.Strings[c.Stack[1][1]])
}

// What the log has of places, of tasks that were canceled alone, and of what they wait for, is
// in the page.
func TestThePageHasPlacesAndWaits(t *testing.T) {
	h, err := history.Read(strings.NewReader(string(logOf(
		`{"t":1,"k":"scope","id":1,"n":"bank"}`, `{"t":2,"k":"spawn","s":1,"id":1,"n":"a"}`, `{"t":3,"k":"spawn","s":1,"id":2,"n":"alone"}`,
		`{"t":4,"k":"end","s":1,"id":2,"st":"canceled"}`, `{"t":5,"k":"scope","id":2,"in":1,"n":"stopped"}`, `{"t":6,"k":"cancel","id":2,"why":"requested"}`))))
	require.NoError(t, err)
	bank := h.Scopes[0]
	a, alone := bank.Tasks[0], bank.Tasks[1]
	bank.At, a.At, h.Scopes[1].Cause.At = "main.go:10", "main.go:20", "main.go:30"
	alone.Cause = &history.Cause{Kind: "requested", At: "main.go:40"}
	h.Censuses = []*history.Census{{Process: h.Processes[0], At: 5, Groups: []*history.Group{{Waits: "sync.Mutex.Lock", At: "main.go:45", For: time.Minute, Count: 4, Tasks: []*history.Task{a}}}}}
	var html strings.Builder
	require.NoError(t, view.WriteHistory(&html, h))
	c := unpack(t, html.String())
	assert.Equal(t, "main.go:10", c.Strings[c.Site[0][1]])
	assert.Equal(t, "main.go:20", c.Strings[c.Site[1][1]])
	assert.Equal(t, "main.go:30", c.Strings[c.Causes[0].Place])
	require.Len(t, c.Alone, 1)
	assert.Equal(t, []string{"alone", "requested", "main.go:40"}, []string{c.names()[c.Alone[0].Row], c.Strings[c.Alone[0].Kind], c.Strings[c.Alone[0].Place]})
	require.Len(t, c.Waits, 1)
	w := c.Waits[0]
	assert.Equal(t, []any{"a", "sync.Mutex.Lock at main.go:45", int(time.Minute), 5, 4}, []any{c.names()[w.Row], c.Strings[w.What], w.For, w.At, w.Of})
}
