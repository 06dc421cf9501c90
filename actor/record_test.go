//go:build linux

package actor_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
	"github.com/traigo/traigo/record"
)

// A tree of three levels: each process has a file, and all of them are read as one tree.
func TestRecordWritesOneFileForEachProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "record")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	rec, err := record.Create(filepath.Join(dir, "root.jsonl"))
	require.NoError(t, err)
	err = traigo.Run(t.Context(), func(ctx context.Context, s *traigo.Scope) error {
		mid, err := actor.Start(ctx, s, "mid", actor.Expose(nested, nested), actor.Record(dir))
		require.NoError(t, err)
		if _, err := nested.Run(ctx, mid, "leaf"); err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		require.NoError(t, err)
		require.Len(t, files, 3)
		assert.Contains(t, files, filepath.Join(dir, "root.mid-"+strconv.Itoa(mid.ID().Pid)+".jsonl"))
		return nil
	}, traigo.Name("main"), traigo.Observe(rec))
	require.NoError(t, err)
	require.NoError(t, rec.Close())

	h, err := record.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, h.Processes, 3)
	roots := h.Roots()
	require.Len(t, roots, 1)
	assert.Equal(t, "main", roots[0].Name)
	require.Len(t, roots[0].Scopes, 1)
	mid := roots[0].Scopes[0]
	assert.Equal(t, "main/mid", mid.Path())
	assert.Equal(t, "mid", mid.By.Name)
	require.Len(t, mid.Scopes, 1)
	assert.Equal(t, "main/mid/leaf", mid.Scopes[0].Path())
	for _, p := range h.Processes {
		assert.True(t, p.Closed, "%v", p)
	}
	var tree bytes.Buffer
	require.NoError(t, h.WriteTree(&tree))
	assert.Contains(t, tree.String(), "whoami")
}
