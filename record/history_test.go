package record_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record"
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
