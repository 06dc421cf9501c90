package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/history"
)

// headers returns the first line of each segment, decoded.
func headers(t *testing.T, logs ...[]byte) (all []map[string]any) {
	t.Helper()
	for _, log := range logs {
		line, _, _ := bytes.Cut(log, []byte("\n"))
		var header map[string]any
		require.NoError(t, json.Unmarshal(line, &header), "%s", line)
		all = append(all, header)
	}
	return all
}

func TestTheFirstLineSaysWhatHasStartedTheProcess(t *testing.T) {
	for _, row := range []struct {
		by   record.Starter
		want string
	}{
		{record.Starter{Run: "6f1c9a0e", PID: 71, Scope: 3, Task: 1}, `{"pid":71,"run":"6f1c9a0e","scope":3,"task":1}`},
		{record.Starter{PID: 71, Scope: 3}, `{"pid":71,"scope":3}`},
		{record.Starter{Run: "\n\"x\"\u2028", PID: 71, Scope: 3}, `{"pid":71,"run":"\n\"x\"` + "\u2028" + `","scope":3}`},
	} {
		var out bytes.Buffer
		rec := record.New(&out, record.StartedBy(record.Starter{PID: 1, Scope: 1}), record.StartedBy(row.by))
		require.NoError(t, rec.Close())
		text, err := json.Marshal(headers(t, out.Bytes())[0]["by"])
		require.NoError(t, err)
		assert.JSONEq(t, row.want, string(text))
		h := read(t, out.Bytes())
		assert.Equal(t, history.Starter(row.by), *h.Processes[0].Starter)
	}
	var out bytes.Buffer
	require.NoError(t, record.New(&out).Close())
	assert.NotContains(t, out.String(), `"by"`)
	assert.Nil(t, read(t, out.Bytes()).Processes[0].Starter)
}

func TestEachSegmentSaysWhatHasStartedTheProcess(t *testing.T) {
	path := tempLog(t)
	rec, err := record.Create(path, record.MaxSize(500), record.Keep(100), record.StartedBy(record.Starter{Run: "6f1c9a0e", PID: 71, Scope: 3, Task: 1}))
	require.NoError(t, err)
	_ = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		for range 50 {
			_ = s.Spawn(nop).Wait(ctx)
		}
		return nil
	}, traigo.Observe(rec))
	require.NoError(t, rec.Close())
	logs := segments(t, path)
	require.Greater(t, len(logs), 2)
	for _, header := range headers(t, logs...) {
		assert.Equal(t, "6f1c9a0e", header["by"].(map[string]any)["run"])
	}
}

func TestStartedByPanicsForWhatIsNoStarter(t *testing.T) {
	for _, by := range []record.Starter{{}, {PID: 71}, {Scope: 3}, {PID: -1, Scope: 3}} {
		assert.PanicsWithValue(t, fmt.Sprintf("record: StartedBy(PID %d, scope %d): both must be positive", by.PID, by.Scope), func() { record.StartedBy(by) })
	}
}

// runOf returns the run in the first line of a log.
func runOf(t *testing.T, log []byte) string {
	t.Helper()
	return headers(t, log)[0]["run"].(string)
}

func TestRunOfNamesTheRecorderOfAScope(t *testing.T) {
	for _, mode := range modes {
		synctest.Test(t, func(t *testing.T) {
			var first, second memory
			one, two := record.New(&first, mode...), record.New(&second, mode...)
			defer two.Close()
			s := traigo.New(t.Context(), traigo.Observe(one))
			both := s.Fork(traigo.Observe(two))
			unseen := traigo.New(t.Context())
			synctest.Wait() // the first lines are there
			flush(s)
			flush(both)
			assert.Equal(t, runOf(t, first.log()), record.RunOf(s))
			assert.Equal(t, runOf(t, first.log()), record.RunOf(s.Fork()), "it observes what is below")
			assert.Equal(t, runOf(t, second.log()), record.RunOf(both), "the one that was created last")
			assert.Empty(t, record.RunOf(unseen))
			assert.Empty(t, record.RunOf(nil))

			require.NoError(t, two.Close())
			assert.Equal(t, runOf(t, first.log()), record.RunOf(both), "the other one has been closed")
			require.NoError(t, both.Close())
			assert.Empty(t, record.RunOf(both), "a scope that has closed is not recorded any more")
			require.NoError(t, one.Close())
			assert.Empty(t, record.RunOf(s))
			require.NoError(t, s.Close())
			require.NoError(t, unseen.Close())
		})
	}
}

// A recorder whose writer does not come back is closed nevertheless.
func TestRunOfDoesNotNameARecorderThatIsBeingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		rec := record.New(writing(func(p []byte) (int, error) { <-end; return len(p), nil }))
		s := traigo.New(t.Context(), traigo.Observe(rec))
		assert.NotEmpty(t, record.RunOf(s))
		go func() { assert.NoError(t, rec.Close()) }()
		synctest.Wait()
		assert.Empty(t, record.RunOf(s))
		close(end)
		require.NoError(t, s.Close())
	})
}

// RunOf may be called while recorders are created, used and closed.
func TestStressRunOf(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				var out memory
				rec := record.New(&out, record.Durable())
				s := traigo.New(t.Context(), traigo.Observe(rec))
				assert.Equal(t, runOf(t, out.log()), record.RunOf(s))
				assert.NoError(t, s.Close())
				assert.NoError(t, rec.Close())
				assert.Empty(t, record.RunOf(s))
			}
		})
	}
	all.Wait()
}

// A Durable recorder has no goroutine. One that is forgotten without having been closed must
// not stay in memory because it is in a list.
func TestARecorderIsNotKeptForRunOf(t *testing.T) {
	gone := make(chan struct{})
	func() {
		rec := record.New(io.Discard, record.Durable())
		runtime.AddCleanup(rec, func(gone chan struct{}) { close(gone) }, gone)
	}()
	for range 100 {
		runtime.GC()
		runtime.Gosched()
		select {
		case <-gone:
			return
		default:
		}
	}
	t.Error("the recorder is still in memory")
}

// Each process of a tree records itself, and the directory reads as one history.
func TestReadDirReadsWhatProcessesHaveRecorded(t *testing.T) {
	dir := t.TempDir()
	root, err := record.Create(filepath.Join(dir, "root-71.jsonl"))
	require.NoError(t, err)
	err = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		return s.Spawn(func(ctx context.Context) error {
			by := record.Starter{Run: record.RunOf(s), PID: os.Getpid(), Scope: s.ID(), Task: traigo.CurrentTask(ctx).ID()}
			child, err := record.Create(filepath.Join(dir, "root.child-72.jsonl"), record.StartedBy(by)) // in earnest in another process
			if err != nil {
				return err
			}
			err = traigo.Run(context.Background(), oneTask, traigo.Name("child"), traigo.Observe(child))
			assert.NoError(t, child.Close())
			return err
		}, traigo.Name("start")).Wait(ctx)
	}, traigo.Name("root"), traigo.Observe(root))
	require.NoError(t, err)
	require.NoError(t, root.Close())

	h, err := record.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, h.Scopes, 2)
	assert.Equal(t, "root/child", h.Scopes[1].Path())
	assert.Equal(t, "start", h.Scopes[1].By.Name)
	assert.True(t, h.Closed)
	var tree strings.Builder
	require.NoError(t, h.WriteTree(&tree))
	assert.Contains(t, tree.String(), "2 processes")
	_, err = record.ReadDir(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
