package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEachRecordingHasAPageOfItsOwn(t *testing.T) {
	for file, page := range map[string]string{
		"-":                  "traigo.html",
		"/dev/stdin":         "traigo.html",
		"/dev/fd/63":         "traigo.html",
		"run.jsonl":          "run.html",
		"run.jsonl.1":        "run.jsonl.1.html",
		"run.jsonl.2":        "run.jsonl.2.html",
		"sc-logs.json":       "sc-logs.html",
		"logs/v1.2":          "logs/v1.2.html",
		"run.html":           "run.html.html",
		"log.d/run":          "log.d/run.html",
		"log.jsonl/server.1": "log.jsonl/server.1.html",
	} {
		assert.Equal(t, page, pagePath(file), file)
	}
}

// A recording cannot be made again. No command writes over the one that it reads, or over
// another one.
func TestNoRecordingIsOverwritten(t *testing.T) {
	file := recording(t)
	t.Chdir(filepath.Dir(file))
	require.NoError(t, os.Mkdir("logs", 0o755))
	require.NoError(t, os.Symlink(file, "symlink"))
	require.NoError(t, os.Symlink("symlink", "symlink.html"))
	require.NoError(t, os.Symlink(".", "here"))
	require.NoError(t, os.Link(file, "hardlink"))
	require.NoError(t, os.Link(file, "logs/a.jsonl"))
	require.NoError(t, os.Symlink(file, "logs/b.jsonl.1"))
	before := read(t, file)
	require.NoError(t, os.WriteFile("run.jsonl.1", []byte("\ufeff"+before), 0o600))
	require.NoError(t, os.WriteFile("logs/c.jsonl.2", []byte("not ours"), 0o600))
	const lost = "would be lost: -o takes another file"
	for _, row := range []struct{ out, in, says string }{
		{file, file, lost},
		{"run.jsonl", file, lost},
		{"logs/../run.jsonl", "run.jsonl", lost},
		{"here/run.jsonl", "run.jsonl", lost},
		{"symlink", "run.jsonl", lost},
		{"run.jsonl", "symlink", lost},
		{"hardlink", "run.jsonl", lost},
		{"run.jsonl", "logs", lost},
		{"logs/a.jsonl", "logs", lost},
		{"logs/b.jsonl.1", "logs", lost},
		{"logs/c.jsonl.2", "logs", lost},
		{"run.jsonl.1", "run.jsonl", lost}, // an older segment of the same recording
		{"logs", "logs", "logs is a directory"},
		{"logs/", "logs", "is a directory"},
		{".", "run.jsonl", "is a directory"},
		{"", "symlink", lost}, // symlink.html is the recording
	} {
		for _, args := range [][]string{
			{"view", "-open=false", "-o", row.out, row.in},
			{"convert", "-to", "chrome", "-o", row.out, row.in},
		} {
			if row.out == "" && args[0] != "view" {
				continue
			}
			code, _, stderr := called(t, "", args...)
			assert.Equal(t, exitFailed, code, "%v", args)
			assert.Contains(t, stderr, row.says, "%v", args)
			require.Equal(t, before, read(t, file), "%v", args)
		}
	}
	assert.Equal(t, "not ours", read(t, "logs/c.jsonl.2"))
	assertNothingLeft(t, ".")
}

// The shell gives standard input and output to the command: files that have no name.
func TestNoRecordingIsOverwrittenByItsNumber(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	traigo, file := built(t, ".", "traigo"), recording(t)
	dir := filepath.Dir(file)
	before := read(t, file)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.html"), nil, 0o600))
	for script, says := range map[string]string{
		`"$0" view -open=false -o run.jsonl - <run.jsonl`:          "run.jsonl is a recording",
		`"$0" view -open=false -o run.jsonl /dev/stdin <run.jsonl`: "run.jsonl is a recording",
		`"$0" view -o /dev/stdin run.jsonl <run.jsonl`:             "/dev/stdin is a recording",
		`"$0" view -o /dev/stdout run.jsonl >>run.jsonl`:           "/dev/stdout is a recording",
		`"$0" view -o - run.jsonl >>run.jsonl`:                     "standard output is the recording itself",
		`"$0" tree run.jsonl >>run.jsonl`:                          "standard output is the recording itself",
		`"$0" tree . 1<>run.jsonl`:                                 "standard output is the recording itself",
		`"$0" convert -to perfetto - <run.jsonl 1<>run.jsonl`:      "standard output is the recording itself",
	} {
		out, err := shell(t, dir, script, traigo)
		require.Error(t, err, script)
		assert.Contains(t, out, says, script)
		require.Equal(t, before, read(t, file), script)
	}
	for script, page := range map[string]string{
		`"$0" view -open=false /dev/stdin <run.jsonl`:         "traigo.html",
		`"$0" view -open=false - <run.jsonl`:                  "traigo.html",
		`"$0" view -o /dev/stdout run.jsonl >page.html`:       "page.html",
		`"$0" view -open=false -o /dev/null run.jsonl`:        "",
		`"$0" view -open=false -o fifo run.jsonl & cat <fifo`: "",
	} {
		if strings.Contains(script, "fifo") {
			script = "mkfifo fifo; " + script
		}
		out, err := shell(t, dir, script, traigo)
		require.NoError(t, err, "%s: %s", script, out)
		if page != "" {
			assert.Contains(t, read(t, filepath.Join(dir, page)), "<title>traigo", script)
		}
	}
	assertNothingLeft(t, dir)
}

// Without -o a page is written over an earlier one, and over nothing else.
func TestThePageBesideARecordingReplacesOnlyAPage(t *testing.T) {
	file := recording(t)
	page := filepath.Join(filepath.Dir(file), "run.html")
	for range 2 {
		code, _, stderr := called(t, "", "view", "-open=false", file)
		assert.Zero(t, code, stderr)
	}
	ours := read(t, page)
	require.NoError(t, os.WriteFile(page, []byte("<!doctype html><title>My report</title>"), 0o600))
	code, _, stderr := called(t, "", "view", "-open=false", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, page+" is there, and is no page of traigo: say with -o which file to write")
	assert.Contains(t, read(t, page), "My report")
	code, _, stderr = called(t, "", "view", "-open=false", "-o", page, file)
	assert.Zero(t, code, stderr)
	assert.Equal(t, ours, read(t, page), "it was asked for")
}

func TestAFailingCommandLeavesWhatWasThere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no limit for the size of files")
	}
	traigo, file := built(t, ".", "traigo"), recording(t)
	dir := filepath.Dir(file)
	old := filepath.Join(dir, "old.html")
	require.NoError(t, os.WriteFile(old, []byte("old"), 0o600))
	require.NoError(t, os.Symlink("old.html", filepath.Join(dir, "link.html")))
	for _, page := range []string{"old.html", "new.html", "link.html"} {
		out, err := shell(t, dir, `trap '' XFSZ; ulimit -f 8; exec "$0" view -open=false -o "$1" run.jsonl`, traigo, page)
		require.Error(t, err)
		assert.Contains(t, out, "traigo view: ")
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged.jsonl"), []byte("hello\n"), 0o600))
	code, _, _ := called(t, "", "view", "-open=false", "-o", old, filepath.Join(dir, "damaged.jsonl"))
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "old", read(t, old))
	assert.NoFileExists(t, filepath.Join(dir, "new.html"))
	assertNothingLeft(t, dir)

	if os.Getuid() != 0 { // for whom all files can be written
		require.NoError(t, os.Chmod(old, 0o400))
		code, _, stderr := called(t, "", "view", "-open=false", "-o", old, file)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "permission denied")
		assert.Equal(t, "old", read(t, old))
	}
}

// A file that is replaced keeps its permissions, and the links to it lead to the new one.
func TestAReplacedFileIsWhereItWas(t *testing.T) {
	file := recording(t)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("old.json", []byte("old"), 0o600))
	require.NoError(t, os.Symlink("old.json", "link.json"))
	require.NoError(t, os.Symlink("later.json", "dangling.json"))
	for out, written := range map[string]string{"link.json": "old.json", "dangling.json": "later.json"} {
		code, _, stderr := called(t, "", "convert", "-to", "chrome", "-o", out, file)
		require.Zero(t, code, stderr)
		info, err := os.Lstat(out)
		require.NoError(t, err)
		assert.Equal(t, os.ModeSymlink, info.Mode().Type(), out)
		assert.Contains(t, read(t, written), "traceEvents")
	}
	info, err := os.Stat("old.json")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	assertNothingLeft(t, ".")
}

// Neither the text of a recording nor what is made of it is in memory as a whole.
func TestRecordingsAreConvertedPieceByPiece(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"traigo":1,"t0":"2026-11-21T01:02:03Z","run":"6f1c9a0e","pid":71}` + "\n" + `{"t":1,"k":"scope","id":1,"n":"server"}` + "\n")
	for i := range 20_000 {
		fmt.Fprintf(&text, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":"request","f":"bw"}`+"\n", i+2, i+1)
	}
	log := text.String()
	for _, args := range [][]string{{"-to", "chrome"}, {"-to", "sclogs"}, {"-to", "perfetto"}} {
		in, out := &pieces{r: strings.NewReader(log)}, &pieces{}
		var errs strings.Builder
		code := run(t.Context(), append(append([]string{"convert"}, args...), "-"), in, out, &errs)
		require.Zero(t, code, errs.String())
		assert.Equal(t, len(log), in.all)
		assert.Greater(t, out.all, 1_000_000)
		assert.LessOrEqual(t, in.largest, 1<<16, args)
		assert.LessOrEqual(t, out.largest, 1<<16, args)
	}
}

// pieces remembers how much was read or written, and at most at once.
type pieces struct {
	r            io.Reader
	all, largest int
}

func (p *pieces) Read(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	n, err := p.r.Read(b)
	p.all += n
	return n, err
}

func (p *pieces) Write(b []byte) (int, error) {
	p.all, p.largest = p.all+len(b), max(p.largest, len(b))
	return len(b), nil
}

// shell runs a script in a directory, and returns its output.
func shell(t *testing.T, dir, script string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// assertNothingLeft checks that no temporary file is left in a directory.
func assertNothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".traigo*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
