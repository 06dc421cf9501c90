package record_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

func TestEachFileCanBeReadAlone(t *testing.T) {
	for _, opts := range modes {
		path := tempLog(t)
		const size = 16 << 10
		rec, err := record.Create(path, append(opts, record.MaxSize(size), record.Keep(1000))...)
		require.NoError(t, err)
		var observed counting
		s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec), traigo.Observe(&observed))
		inner := s.Fork(traigo.Name("inner"))
		for i := range 20 {
			inner.Spawn(untilCanceled, traigo.Name(fmt.Sprintf("parked-%d", i)), traigo.Awaited(false))
		}
		for range 300 {
			_ = s.Spawn(nop, traigo.Name("short")).Wait(context.Background())
			flush(s)
		}
		flushed(t, s, path)

		_, log := readFile(t, path)
		assert.LessOrEqual(t, len(log), size)
		files := segments(t, path)
		require.Greater(t, len(files), 5)
		for i, log := range files {
			assert.LessOrEqual(t, len(log), size+200, "file %d", i)
			assert.Greater(t, len(log), size/2*min(1, len(files)-1-i), "file %d", i)
			assert.Contains(t, string(log[:200]), fmt.Sprintf(`"segment":%d,`, i+1))
			if i > 0 {
				second := strings.SplitN(string(log), "\n", 3)[1]
				assert.Contains(t, second, `"k":"live","n":2`, "file %d begins with what is alive", i)
			}
			h := read(t, log)
			assert.InDelta(t, 22.5, len(unfinished(h)), 0.5, "file %d: what is parked, and perhaps one more", i)
			for i := range 20 {
				assert.NotNil(t, taskOf(h, fmt.Sprintf("root/inner/parked-%d", i)))
			}
			assert.NotContains(t, fmt.Sprint(unfinished(h)), "(unseen)")
		}
		require.NoError(t, inner.Close())
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		h := whole(t, bytes.Join(segments(t, path), nil), observed.Load())
		assert.Zero(t, h.Lost())
		assert.Equal(t, history.TaskCanceled, taskOf(h, "root/inner/parked-3").State)
	}
}

// Under load, files are rotated at any moment and lines are lost. Each file still has all
// that is alive.
func TestStressRotation(t *testing.T) {
	silent(t)
	for row, opts := range [][]record.Option{
		{record.MaxSize(20 << 10)},
		{record.MaxSize(20 << 10), record.Buffer(8 << 10)},
		{record.MaxSize(20 << 10), record.Durable()},
		{record.MaxAge(time.Millisecond)},
	} {
		path := tempLog(t)
		rec, err := record.Create(path, append(opts, record.Keep(2))...)
		require.NoError(t, err)
		s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec))
		parked := []string{"root"}
		var load sync.WaitGroup
		for i := range 4 {
			name := fmt.Sprintf("load-%d", i)
			parked = append(parked, "root/"+name, "root/"+name+"/parked")
			c := s.Fork(traigo.Name(name))
			c.Spawn(untilCanceled, traigo.Name("parked"))
			load.Go(func() {
				for range 500 {
					_ = c.Spawn(nop).Wait(context.Background())
					_ = traigo.Run(c.Context(), oneTask)
				}
			})
		}
		load.Wait()
		_ = rec.Close()
		_ = s.Close()
		h, _ := readFile(t, path)
		assert.ElementsMatch(t, parked, unfinished(h), "row %d", row)
		assert.True(t, h.Closed)
		files := segments(t, path)
		if h.Lost() == 0 { // otherwise fewer files may have been filled
			assert.Equal(t, 3, len(files), "as many as are kept: row %d", row) //nolint:testifylint // Len prints them
		}
		assert.ElementsMatch(t, parked, unfinished(read(t, bytes.Join(files, nil))), "row %d", row)
	}
}

// alive returns the IDs of all scopes and tasks that have not ended.
func alive(h *record.History) (ids []string) {
	for _, s := range h.Scopes {
		if s.Closed == history.Never {
			ids = append(ids, fmt.Sprint(s.ID))
		}
		for _, task := range s.Tasks {
			if task.Unfinished() {
				ids = append(ids, fmt.Sprint(s.ID, "/", task.ID))
			}
		}
	}
	return ids
}

// The census at the beginning of a file lists exactly what is unfinished in the file before.
func TestStressFilesFitTogether(t *testing.T) {
	silent(t)
	seams := 0
	for range 20 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			path := tempLog(t)
			opts := []record.Option{record.MaxSize(int64(500 + rnd.IntN(10_000))), record.Keep(math.MaxInt)}
			if rnd.IntN(2) == 0 {
				opts = append(opts, record.Durable())
			}
			rec, err := record.Create(path, opts...)
			require.NoError(t, err)
			var observed counting
			program(rnd, traigo.Observe(rec), traigo.Observe(&observed))
			require.NoError(t, rec.Close())
			files := segments(t, path)
			whole(t, bytes.Join(files, nil), observed.Load())
			for i, file := range files[1:] {
				first := bytes.SplitAfter(file, []byte("\n"))
				census := min(2+int(numberOf(string(first[1]))), len(first))
				if kindOf(string(first[1])) != "live" {
					census = 1 // nothing was alive
				}
				assert.ElementsMatch(t, alive(read(t, bytes.Join(first[:census], nil))), alive(read(t, files[i])))
				seams++
			}
			assert.Empty(t, alive(read(t, files[len(files)-1])))
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
	assert.NotZero(t, seams, "the test has tested nothing")
}

func TestFilesChangeWithAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempLog(t)
		rec, err := record.Create(path, record.MaxAge(time.Hour), record.Keep(1))
		require.NoError(t, err)
		s := traigo.New(context.Background(), traigo.Name("root"), traigo.Observe(rec))
		for range 5 {
			for range 3 {
				time.Sleep(25 * time.Minute)
				flush(s)
			}
		}
		files := segments(t, path)
		require.Len(t, files, 2)
		assert.Contains(t, string(files[1]), `"segment":6,`)
		assert.Equal(t, 1, bytes.Count(files[1], []byte("\n"))-2, "what began it: the scope is alive")
		require.NoError(t, s.Wait())
		require.NoError(t, rec.Close())
		assert.Empty(t, unfinished(read(t, bytes.Join(segments(t, path), nil))))
	})
}

func TestKeepNone(t *testing.T) {
	path := tempLog(t)
	require.NoError(t, os.WriteFile(path+".1", nil, 0o600))
	rec, err := record.Create(path, record.MaxSize(2000), record.Keep(0))
	require.NoError(t, err)
	s := traigo.New(context.Background(), traigo.Observe(rec))
	for range 50 {
		flush(s)
	}
	require.NoError(t, s.Wait())
	require.NoError(t, rec.Close())
	h, _ := readFile(t, path)
	assert.Empty(t, unfinished(h))
	old, err := os.ReadFile(path + ".1")
	require.NoError(t, err, "somebody else's")
	assert.Empty(t, old)
}

func TestKeepAll(t *testing.T) {
	path := tempLog(t)
	for range 3 {
		rec, err := record.Create(path, record.MaxSize(2000), record.Keep(math.MaxInt))
		require.NoError(t, err)
		require.NoError(t, rec.Close())
	}
	assert.FileExists(t, path+".2")
	assert.NoFileExists(t, path+".3")
}

// If files cannot be renamed, the log goes on in the current one.
func TestFilesThatCannotBeRenamed(t *testing.T) {
	path := tempLog(t)
	require.NoError(t, os.MkdirAll(path+".1/busy", 0o700))
	var observed counting
	rec, err := record.Create(path, record.MaxSize(2000), record.Keep(1))
	require.NoError(t, err)
	s := traigo.New(context.Background(), traigo.Observe(rec), traigo.Observe(&observed))
	for range 50 {
		flush(s)
	}
	require.NoError(t, s.Wait())
	require.NoError(t, rec.Close())
	_, log := readFile(t, path)
	assert.Zero(t, whole(t, log, observed.Load()).Lost())
}
