package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
)

// tree is a directory, and golden is the output of sha256sum for it, sorted by byte.
var tree = map[string]string{
	"a-b":       "dash\n",
	"a.txt":     "hello\n",
	"a/b.txt":   "below\n",
	"a/c/empty": "",
	"z\n":       "newline\n",
	"z\\":       "backslash\n",
}

const golden = `f8359416cedbf4b44bd1cab71b791b4121e3b33748187c530e70207af87c3f39  a-b
5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  a.txt
a8835f464621a107ce057ad77227817c2a403aaa7b5f20f18e690f1926aeb00a  a/b.txt
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/c/empty
\7ba826f0c347f6adc4686c8d1f61aeb2e2e98322749cd4f82204c926f4022cee  z\n
\e6f805fa5fc041ab4bb7aa119641f77ac3e9f42106bc9f92354080692736c8de  z\\
`

func TestRunPrintsWhatSha256sumPrints(t *testing.T) {
	dir := t.TempDir()
	for name, content := range tree {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	require.NoError(t, os.Symlink("a.txt", filepath.Join(dir, "link")))
	t.Chdir(dir)

	for _, args := range [][]string{{}, {"."}, {"-j", "1"}, {"-j=3", "-timeout=0", "./"}} {
		var out, errs bytes.Buffer
		assert.Zero(t, run(t.Context(), args, &out, &errs))
		assert.Equal(t, golden, out.String())
		assert.Empty(t, errs.String(), "it is not a terminal")
	}
}

// sha256sum -c looks the files up from the current directory.
func TestRunPrintsPathsWithTheDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("dir", 0o755))
	require.NoError(t, os.WriteFile("dir/a.txt", []byte("hello\n"), 0o644))

	var out bytes.Buffer
	assert.Zero(t, run(t.Context(), []string{"dir/"}, &out, &out))
	assert.Equal(t, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  dir/a.txt\n", out.String())
}

func TestRunRefusesBadArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("file", nil, 0o644))
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"help":             {[]string{"-h"}, 0, "usage: checksum"},
		"unknown flag":     {[]string{"-x"}, 2, "flag provided but not defined: -x"},
		"two directories":  {[]string{".", "."}, 2, "usage: checksum"},
		"no files at once": {[]string{"-j", "0"}, 2, "usage: checksum"},
		"negative timeout": {[]string{"-timeout", "-1s"}, 2, "usage: checksum"},
		"negative total":   {[]string{"-total", "-1s"}, 2, "usage: checksum"},
		"nothing there":    {[]string{"none"}, 1, "checksum: open none: no such file or directory"},
		"not a directory":  {[]string{"file"}, 1, "checksum: open file: not a directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			assert.Equal(t, test.code, run(t.Context(), test.args, &out, &errs))
			assert.Contains(t, errs.String(), test.says)
			assert.Empty(t, out.String())
		})
	}
}

func TestFailureNamesTheFileAndEndsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, out, errs := newJob(t, disk{
			"a.txt":   hello(0),
			"a/b.txt": failing(time.Second, &fs.PathError{Op: "read", Path: "a/b.txt", Err: fs.ErrPermission}),
			"c":       endless(300 * time.Millisecond),
		})
		start := time.Now()
		assert.Equal(t, 1, j.out.conclude(j.digestAll(t.Context())))
		assert.Equal(t, 1200*time.Millisecond, time.Since(start), "c ends with the piece it is in")
		assert.Equal(t, `scope "checksum": task "a/b.txt": read a/b.txt: permission denied`+"\n", errs.String())
		assert.Equal(t, helloSum+"  a.txt\n", out.String(), "what was done is printed")
	})
}

func TestDigestsArePrintedInOrderAsSoonAsCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, out, _ := newJob(t, disk{
			"1": hello(time.Second),
			"2": hello(3 * time.Second),
			"3": hello(2 * time.Second),
		})
		scope := traigo.New(t.Context())
		scope.Spawn(j.digestAll)

		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		j.out.mu.Lock()
		assert.Equal(t, helloSum+"  1\n", out.String(), "3 is known, and waits for 2")
		j.out.mu.Unlock()
		assert.NoError(t, scope.Wait())
		assert.Equal(t, helloSum+"  1\n"+helloSum+"  2\n"+helloSum+"  3\n", out.String())
	})
}

func TestTimeoutIsForEachFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, out, errs := newJob(t, disk{
			"1": hello(900 * time.Millisecond),
			"2": hello(900 * time.Millisecond),
			"3": endless(300 * time.Millisecond),
		})
		j.limit, j.timeout = 1, time.Second
		start := time.Now()
		assert.Equal(t, 1, j.out.conclude(j.digestAll(t.Context())))
		assert.Equal(t, 3*time.Second, time.Since(start), "3 starts at 1.8 s and reads four pieces")
		assert.Equal(t, `scope "checksum": task "3": timed out after 1s`+"\n", errs.String())
		assert.Equal(t, helloSum+"  1\n"+helloSum+"  2\n", out.String())
	})
}

func TestTotalIsForAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _, errs := newJob(t, disk{
			"1": hello(900 * time.Millisecond),
			"2": endless(200 * time.Millisecond),
		})
		j.limit, j.total = 1, time.Second
		assert.Equal(t, 1, j.out.conclude(j.digestAll(t.Context())))
		assert.Equal(t, `scope "checksum": timed out after 1s`+"\n", errs.String())
	})
}

// A read that hangs cannot be stopped. The program ends nevertheless.
func TestFileThatHangsIsGivenUpAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer func() {
			close(release)
			synctest.Wait()
		}()
		j, _, errs := newJob(t, disk{
			"far/away": func([]byte) (int, error) { <-release; return 0, io.EOF },
		})
		j.timeout = time.Minute
		start := time.Now()
		err := j.digestAll(t.Context())
		assert.Equal(t, time.Minute+time.Second, time.Since(start))

		var stuck *traigo.StuckError
		require.ErrorAs(t, err, &stuck)
		require.Len(t, stuck.Tasks, 1)
		assert.Equal(t, "checksum/far/away", stuck.Tasks[0].Path)
		assert.Equal(t, 1, j.out.conclude(err))
		assert.Contains(t, errs.String(), `"checksum/far/away"`)
	})
}

func TestInterruptStopsAtOnceAndSaysWhatWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, out, errs := newJob(t, disk{
			"1": hello(0),
			"2": endless(7 * time.Millisecond),
			"3": hello(time.Second),
			"4": endless(7 * time.Millisecond),
			"5": hello(0),
		})
		j.limit = 2
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, interrupt)
		start := time.Now()
		code := j.out.conclude(j.digestAll(ctx))
		assert.Equal(t, 1505*time.Millisecond, time.Since(start), "2 ends with its 215th piece")
		assert.Equal(t, 130, code)
		assert.Equal(t, "interrupted: 2 files, 12 B digested\n", errs.String())
		assert.Equal(t, helloSum+"  1\n"+helloSum+"  3\n", out.String(), "what was done is printed")
	})
}

func TestInterruptBeforeTheStartReadsNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	assert.Equal(t, 130, run(ctx, nil, &out, &errs))
	assert.Empty(t, out.String())
	assert.Equal(t, "interrupted: 0 files, 0 B digested\n", errs.String())
}

func TestProgressIsOneLineBelowTheDigests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _, screen := newJob(t, disk{"1": hello(150 * time.Millisecond), "2": hello(250 * time.Millisecond)})
		j.out.stdout, j.out.terminal = screen, true
		assert.Zero(t, j.out.conclude(j.digestAll(t.Context())))

		const wipe = "\r\x1b[K"
		assert.Equal(t, "0 of 2 files, 0 B"+
			wipe+helloSum+"  1\n"+
			"1 of 2 files, 6 B"+
			wipe+helloSum+"  2\n"+
			"2 files, 12 B in 250ms\n", screen.String())
	})
}

// The task that draws the progress line is not awaited, and is not one of the n files.
func TestProgressTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, out, screen := newJob(t, disk{"1": hello(150 * time.Millisecond), "2": hello(150 * time.Millisecond)})
		j.out.terminal, j.limit = true, 1
		start := time.Now()
		assert.Zero(t, j.out.conclude(j.digestAll(t.Context())))
		assert.Equal(t, 300*time.Millisecond, time.Since(start), "one file after the other")
		assert.Equal(t, helloSum+"  1\n"+helloSum+"  2\n", out.String())
		assert.Contains(t, screen.String(), "1 of 2 files")
	})
}

func TestNumbersReadWell(t *testing.T) {
	assert.Equal(t, "0 files", counted(0))
	assert.Equal(t, "1 file", counted(1))
	assert.Equal(t, "999 files", counted(999))
	assert.Equal(t, "1,002,003 files", counted(1002003))
	assert.Equal(t, "999 B", inBytes(999))
	assert.Equal(t, "1.0 kB", inBytes(1000))
	assert.Equal(t, "999.9 kB", inBytes(999_949))
	assert.Equal(t, "1.0 MB", inBytes(999_950))
	assert.Equal(t, "9.2 EB", inBytes(1<<63-1))
}

const helloSum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

// newJob returns a job on d without limits. The test fails if it leaves a file open.
func newJob(t *testing.T, d disk) (j *job, out, errs *bytes.Buffer) {
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	m := &mount{disk: d}
	t.Cleanup(func() { assert.Zero(t, m.open.Load(), "files that are still open") })
	return &job{files: m, limit: 10, out: newReport(".", out, errs)}, out, errs
}

// A disk has a function for each path, which reads the next piece of that file.
type disk map[string]func(buf []byte) (int, error)

// A mount makes a file system of a disk, and counts the files that are open.
type mount struct {
	disk disk
	open atomic.Int64
}

func (m *mount) Open(path string) (fs.File, error) {
	if read := m.disk[path]; read != nil {
		m.open.Add(1)
		return &file{mount: m, read: read}, nil
	}
	tree := fstest.MapFS{}
	for path := range m.disk {
		tree[path] = new(fstest.MapFile)
	}
	return tree.Open(path)
}

type file struct {
	fs.File // for Stat, which is not called
	mount   *mount
	read    func(buf []byte) (int, error)
}

func (f *file) Read(buf []byte) (int, error) { return f.read(buf) }

func (f *file) Close() error {
	f.mount.open.Add(-1)
	return nil
}

// hello is a file that takes d to read.
func hello(d time.Duration) func([]byte) (int, error) {
	return func(buf []byte) (int, error) {
		time.Sleep(d)
		return copy(buf, "hello\n"), io.EOF
	}
}

// endless is a file without an end, in pieces that take d each.
func endless(d time.Duration) func([]byte) (int, error) {
	return func(buf []byte) (int, error) {
		time.Sleep(d)
		return len(buf), nil
	}
}

func failing(d time.Duration, err error) func([]byte) (int, error) {
	return func([]byte) (int, error) {
		time.Sleep(d)
		return 0, err
	}
}
