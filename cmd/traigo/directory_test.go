package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// recordings returns a directory with the recordings of a process and of one that it has
// started.
func recordings(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(dir, 0o755))
	rec, err := record.Create(filepath.Join(dir, "root-71.jsonl"))
	require.NoError(t, err)
	s := traigo.New(t.Context(), traigo.Name("root"), traigo.Observe(rec))
	by := record.Starter{Run: record.RunOf(s), PID: os.Getpid(), Scope: s.ID()}
	child, err := record.Create(filepath.Join(dir, "root.child-72.jsonl"), record.StartedBy(by))
	require.NoError(t, err)
	require.NoError(t, traigo.New(t.Context(), traigo.Name("child"), traigo.Observe(child)).Close())
	require.NoError(t, child.Close())
	require.NoError(t, s.Close())
	require.NoError(t, rec.Close())
	return dir
}

func TestADirectoryIsReadAsOneRecording(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	dir := recordings(t)
	code, stdout, stderr := called(t, "", "tree", dir)
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, "2 processes")
	assert.Regexp(t, `(?m)^root .*process \d+.*\n└─ child .*process \d+`, stdout)

	for _, format := range []string{"sclogs", "chrome"} {
		code, stdout, stderr = called(t, "", "convert", "-to", format, dir)
		assert.Zero(t, code, stderr)
		assert.True(t, json.Valid([]byte(stdout)), format)
		assert.Contains(t, stdout, "child", format)
	}

	page := dir + ".html"
	code, stdout, stderr = called(t, "", "view", dir+string(filepath.Separator))
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, "page "+page+"\n")
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	_, stdout, _ = called(t, "", "view", "-o", "-", dir)
	assert.Equal(t, string(html), stdout)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "nothing is written into the directory")

	empty := t.TempDir()
	code, _, stderr = called(t, "", "view", empty)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "traigo view: history: there is no recording in "+empty)
	assert.NoFileExists(t, empty+".html")
}

func TestThePageOfADirectoryIsBesideIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs.json")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "more"), 0o755))
	t.Chdir(dir)
	for file, page := range map[string]string{
		dir:          dir + ".html",
		dir + "/":    dir + ".html",
		".":          dir + ".html",
		"more/":      "more.html",
		"more/..":    dir + ".html",
		"./more/../": dir + ".html",
		"/":          "traigo.html",
	} {
		assert.Equal(t, page, pagePath(file), file)
	}
}
