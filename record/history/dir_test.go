package history_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func TestReadDirReadsATreeOfProcesses(t *testing.T) {
	files := logtest.Killed()
	files["root-71.html"], files["stderr.log"], files["notes.jsonl.gz"], files["x.jsonl.old"] = "<html>", "oops", "\x1f\x8b", "no"
	dir := logtest.Dir(t, files)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "more.jsonl"), 0o700))
	h, err := history.ReadDir(dir)
	require.NoError(t, err)
	logtest.Check(t, h)
	assert.Empty(t, h.Skipped, "what has not the name of a recording is ignored")
	assert.Len(t, h.Processes, 3)
	assert.Equal(t, "root/mid/leaf", scopeNamed(t, h, "leaf").Path())
}

// The files of a rotated recording are read as one. A file with an older number may be of an
// earlier run.
func TestReadDirPutsSegmentsTogether(t *testing.T) {
	segment := func(n string) string {
		return strings.Replace(logtest.ProcessHeader("bbbbbbbb", 7, 100, ""), `"pid"`, `"segment":`+n+`,"pid"`, 1)
	}
	dir := logtest.Dir(t, map[string]string{
		"a.jsonl.12": logtest.ProcessHeader("aaaaaaaa", 7, 0, "") + `{"t":1,"k":"scope","id":1,"n":"earlier"}` + "\n",
		"a.jsonl.2":  segment("1") + `{"t":1,"k":"scope","id":1,"n":"server"}` + "\n" + `{"t":2,"k":"torn`,
		"a.jsonl.1":  segment("2") + `{"t":3,"k":"live","n":1}` + "\n" + `{"t":1,"k":"scope","id":1,"n":"server","st":"open"}` + "\n",
		"a.jsonl":    segment("3") + `{"t":5,"k":"close","id":1}` + "\n" + `{"t":6,"k":"bye"}` + "\n",
		"b.jsonl":    logtest.ProcessHeader("cccccccc", 8, 200, "") + `{"t":1,"k":"scope","id":1,"n":"other"}` + "\n" + `{"t":2,"k":`,
	})
	h, err := history.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, h.Skipped)
	require.Len(t, h.Processes, 3)
	assert.Equal(t, []string{"earlier", "server", "other"}, []string{h.Scopes[0].Name, h.Scopes[1].Name, h.Scopes[2].Name})
	server := h.Scopes[1].Process
	assert.True(t, server.Closed)
	assert.EqualValues(t, 3, server.Segment)
	assert.Equal(t, 1, server.Damaged, "the line that a segment ends in")
	assert.False(t, server.Truncated)
	assert.Empty(t, h.Losses)
	assert.True(t, h.Scopes[2].Process.Truncated)
}

func TestReadDirLeavesOutWhatIsNoRecording(t *testing.T) {
	files := logtest.Killed()
	files["app.jsonl"] = `{"time":"2026-11-21T01:02:03Z","level":"INFO","msg":"hello"}` + "\n"
	files["copy.jsonl"] = files["root-71.jsonl"]
	files["empty.jsonl"] = ""
	files["new.jsonl"] = `{"traigo":3,"run":"x"}` + "\n"
	files["undated.jsonl"] = `{"traigo":1,"run":"x"}` + "\n"
	h, err := history.ReadDir(logtest.Dir(t, files))
	require.NoError(t, err)
	assert.Len(t, h.Processes, 3)
	require.Len(t, h.Skipped, 5)
	for i, says := range []string{
		"app.jsonl: this is no log of traigo: its first line is not",
		"empty.jsonl: the log is empty",
		"new.jsonl: the log has version 3",
		"root-71.jsonl: it is the same recording as copy.jsonl",
		"undated.jsonl: the recording x does not say when it began",
	} {
		assert.True(t, strings.HasPrefix(h.Skipped[i], says), h.Skipped[i])
	}
}

// A file with two recordings is left out, and it is said which file of a recording that is.
func TestReadDirLeavesOutTwoRecordingsInAFile(t *testing.T) {
	header := func(run, segment string) string {
		return strings.Replace(logtest.ProcessHeader(run, 7, 100, ""), `"pid"`, segment+`"pid"`, 1)
	}
	two := `{"t":1,"k":"scope","id":1,"n":"server"}` + "\n" + `{"t":2,"k":"en` + header("cccccccc", "") + `{"t":1,"k":"bye"}` + "\n"
	files := logtest.Killed()
	files["a.jsonl"] = header("aaaaaaaa", "") + two
	files["b.jsonl.1"] = "\ufeff" + header("bbbbbbbb", `"segment":1,`) + two
	files["b.jsonl"] = "\ufeff" + header("bbbbbbbb", `"segment":2,`) + `{"t":2,"k":"bye"}` + "\n"
	h, err := history.ReadDir(logtest.Dir(t, files))
	require.NoError(t, err)
	assert.Len(t, h.Processes, 3)
	require.Len(t, h.Skipped, 2)
	assert.True(t, strings.HasPrefix(h.Skipped[0], "a.jsonl: the log has two recordings in it, aaaaaaaa and, from the middle of line 3 on, cccccccc"), h.Skipped[0])
	assert.True(t, strings.HasPrefix(h.Skipped[1], "b.jsonl.1: the log has two recordings in it, bbbbbbbb and, from the middle of line 3 on, cccccccc"), h.Skipped[1])
}

func TestReadDirSaysThatThereIsNothing(t *testing.T) {
	for _, row := range []struct {
		files map[string]string
		says  string
	}{
		{nil, "no file in it ends in .jsonl"},
		{map[string]string{"app.jsonl": "hello\n"}, "app.jsonl: this is no log of traigo"},
	} {
		dir := logtest.Dir(t, row.files)
		_, err := history.ReadDir(dir)
		require.ErrorContains(t, err, "history: there is no recording in "+dir)
		require.ErrorContains(t, err, row.says)
	}
	_, err := history.ReadDir(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
