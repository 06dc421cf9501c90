package view_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/view"
)

const header = `{"traigo":1,"t0":"2026-11-21T01:02:03.000000004Z","run":"6f1c9a0e","pid":71,"go":"go1.26","program":"example.com/chat"}` + "\n"

// A recording is a minimal observer that writes the format of the log. Package record is not
// used, as view must not depend on it.
type recording struct {
	mu    sync.Mutex
	begin time.Time
	log   bytes.Buffer
}

// record runs a program in a bubble, where times are exact, and returns its log.
func record(t *testing.T, program func(t *testing.T, watched traigo.ScopeOption)) []byte {
	t.Helper()
	r := &recording{}
	r.log.WriteString(header)
	synctest.Test(t, func(t *testing.T) {
		r.begin = time.Now()
		program(t, traigo.Observe(r))
		r.line("bye", time.Now(), fields{})
	})
	return r.log.Bytes()
}

type fields map[string]any

func (r *recording) line(kind string, at time.Time, more fields) {
	more["t"], more["k"] = at.Sub(r.begin).Nanoseconds(), kind
	for key, value := range more {
		if value == "" || value == uint64(0) {
			delete(more, key)
		}
	}
	text, err := json.Marshal(more)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Write(append(text, '\n'))
}

func (r *recording) Observe(e traigo.Event) {
	s, t := e.Scope, e.Task
	id := func() fields { return fields{"s": s.ID(), "id": t.ID()} }
	switch e.Kind {
	case traigo.ScopeOpened:
		opened := fields{"id": s.ID(), "n": s.Name()}
		if up := s.Parent(); up != nil {
			opened["in"] = up.ID()
		}
		if by := s.Opener(); by != nil {
			opened["by"] = by.ID()
		}
		if deadline, ok := s.Context().Deadline(); ok {
			opened["dl"] = deadline.Sub(r.begin).Nanoseconds()
		}
		r.line("scope", e.Time, opened)
	case traigo.ScopeFinalized:
		r.line("finalize", e.Time, fields{"id": s.ID()})
	case traigo.ScopeCanceled:
		canceled := fields{"id": s.ID()}
		if why, ok := errors.AsType[*traigo.Cancellation](e.Err); ok {
			canceled["why"] = why.Kind.String()
			if why.Err != nil && why.Kind != traigo.ParentCanceled {
				canceled["err"] = why.Err.Error()
			}
		}
		if by := s.CanceledBy(); by != nil {
			canceled["by"] = by.ID()
		}
		r.line("cancel", e.Time, canceled)
	case traigo.ScopeClosed:
		r.line("close", e.Time, fields{"id": s.ID(), "err": textOf(e.Err)})
	case traigo.TaskSpawned:
		spawned := id()
		spawned["n"], spawned["f"] = t.Name(), flagsOf(t)
		r.line("spawn", e.Time, spawned)
	case traigo.TaskStarted:
		r.line("start", e.Time, id())
	case traigo.TaskReady:
		r.line("ready", e.Time, id())
	case traigo.TaskEnded:
		ended := id()
		ended["st"], ended["err"] = stateOf(t, e.Err), textOf(e.Err)
		r.line("end", e.Time, ended)
	case traigo.TaskStuck:
		stuck := id()
		if given, ok := errors.AsType[*traigo.StuckError](e.Err); ok && len(given.Tasks) > 0 {
			stuck["stack"] = given.Tasks[0].Stack
		}
		r.line("stuck", e.Time, stuck)
	case traigo.TaskAbandoned:
		r.line("abandon", e.Time, id())
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func stateOf(t *traigo.Task, err error) string {
	_, panicked := errors.AsType[*traigo.PanicError](err)
	switch {
	case err == nil:
		return "ok"
	case !t.Failed():
		return "canceled"
	case panicked:
		return "panicked"
	case errors.Is(err, traigo.ErrGoexit):
		return "exited"
	default:
		return "failed"
	}
}

func flagsOf(t *traigo.Task) (flags string) {
	set := t.Flags()
	for _, flag := range []struct {
		is     bool
		letter string
	}{{set.Bubble, "b"}, {set.Master, "m"}, {set.Awaited, "w"}} {
		if flag.is {
			flags += flag.letter
		}
	}
	return flags
}

// logOf returns a log of the given lines: see docs/log-format.md.
func logOf(lines ...string) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	for _, line := range lines {
		fmt.Fprintln(&b, line)
	}
	return b.Bytes()
}

// page returns the page of a log.
func page(t *testing.T, log []byte) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, view.Write(&b, bytes.NewReader(log)))
	return b.String()
}

var carried = regexp.MustCompile(`<script type="application/octet-stream" id="log">([A-Za-z0-9+/=]*)</script>`)

// columns has the parts of a model that tests look at.
type columns struct {
	Program   string
	End       int64
	Closed    bool
	Truncated bool
	TrioVis   bool
	Strings   []string
	Kind      string
	Parent    []int
	Name      []int
	State     []int
	Flags     []int
	Begin     []int64
	Stop      []int64
	Losses    []struct{ At, Lines int64 }
	Processes []struct {
		PID                     int
		End, Until              int64
		Closed, Died, Truncated bool
	}
	Process [][2]int
	Skipped []string
	ID      []uint64
	Causes  []struct{ Row, By, Place int }
	Story   []struct {
		Tone  string
		Words []struct {
			Text, Find string
			Row        int
			Of         []int
		}
	}
	Site, Canceled, FailedWith [][2]int
	Stack, EndedBy             [][2]int
	Carries                    []int
	Alone                      []struct{ Row, Kind, Place int }
	Waits                      []struct{ Row, What, For, At, Of int }
}

func (c *columns) names() (names []string) {
	for _, i := range c.Name {
		names = append(names, c.Strings[i])
	}
	return names
}

func unpack(t *testing.T, page string) *columns {
	t.Helper()
	found := carried.FindStringSubmatch(page)
	require.NotNil(t, found, "the page carries a log")
	packed, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(found[1])))
	require.NoError(t, err)
	c := &columns{}
	require.NoError(t, json.NewDecoder(packed).Decode(c))
	return c
}

// A full is a writer with space for n more bytes.
type full struct{ n int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errFull }
