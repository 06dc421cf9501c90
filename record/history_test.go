package record_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record"
	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
)

func TestHistoryTellsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out memory
		rec := record.New(&out)
		chat(rec)
		require.NoError(t, rec.Close())
		h := read(t, out.log())
		assert.True(t, h.Closed)
		assert.Zero(t, h.Lost())
		assert.Empty(t, unfinished(h))

		tick := taskOf(h, "server/tick")
		assert.Equal(t, history.TaskPanicked, tick.State)
		assert.Equal(t, "tick", tick.Err)
		assert.Contains(t, tick.Stack, "helpers_test.go")
		assert.False(t, tick.Bubble || tick.Await || tick.Master)
		accept := taskOf(h, "server/accept")
		assert.Same(t, accept, h.Scopes[0].Cause.By)
		assert.Equal(t, []*history.Scope{h.Scopes[1]}, accept.Scopes)
	})
}

func TestHistoryIsWrittenInEachFormat(t *testing.T) {
	var out memory
	synctest.Test(t, func(t *testing.T) {
		rec := record.New(&out)
		chat(rec)
		require.NoError(t, rec.Close())
	})
	h := read(t, out.log())
	for _, row := range []struct {
		write func(io.Writer) error
		same  func(io.Writer, *history.History) error
	}{
		{h.WriteSCLogs, export.SCLogs}, {h.WriteChrome, export.Chrome}, {h.WritePerfetto, export.Perfetto}, {h.WriteTree, export.Tree},
	} {
		var got, want bytes.Buffer
		require.NoError(t, row.write(&got))
		require.NoError(t, row.same(&want, &h.History))
		assert.Equal(t, want.Bytes(), got.Bytes())
	}
	var scLogs bytes.Buffer
	require.NoError(t, h.WriteSCLogs(&scLogs))
	back, err := record.ReadSCLogs(&scLogs)
	require.NoError(t, err)
	assert.Len(t, back.Scopes, len(h.Scopes))
}

func TestReadReturnsTheErrorOfTheReader(t *testing.T) {
	for _, read := range []func(io.Reader) (*record.History, error){record.Read, record.ReadSCLogs} {
		h, err := read(iotest.ErrReader(io.ErrClosedPipe))
		require.ErrorIs(t, err, io.ErrClosedPipe)
		assert.Nil(t, h)
	}
}
