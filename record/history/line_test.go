package history_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

// agree checks that scan parses a line as encoding/json does, or leaves it to that.
func agree(t *testing.T, text string) (simple bool) {
	t.Helper()
	byHand, byJSON, simple, err := history.ParseBoth([]byte(text))
	if simple {
		require.NoError(t, err, text)
		require.Equal(t, byJSON, byHand, text)
	}
	return simple
}

func TestLinesAreReadByHandAsByJSON(t *testing.T) {
	for line := range strings.Lines(strings.TrimPrefix(logtest.Chat, logtest.Header)) {
		assert.Equal(t, !strings.ContainsAny(line, `\…`), agree(t, strings.TrimSpace(line)), line)
	}
	for seed := range uint64(100) {
		for line := range strings.Lines(logtest.Random(seed)) {
			agree(t, strings.TrimSpace(line))
		}
	}
	for _, line := range []string{
		``, `{`, `}`, `{}`, `{"t":1`, `{"t":1,}`, `{"t":1}}`, `{"t":01}`, `{"t":}`, `{"t":-1}`, `{"t":1.5}`, `{"t":null}`, `{"T":1}`,
		`{"t":1234567890123456789}`, `{"t":99999999999999999999}`, `{"t":1,"n":5}`, `{"t":1,"id":"5"}`, `{"t":1 }`, `{"x":1}`,
		`{"t":1,"n":"a\u0041"}`, `{"t":1,"n":"ä"}`, `{"t":1,"n":"` + "\x01" + `"}`, `{"t":1"k":"x"}`, `{"t":1,"k":"x}`, `{"t":1,"k":"x"`, `["t":1}`,
	} {
		assert.False(t, agree(t, line), "encoding/json decides: %s", line)
	}
	assert.True(t, agree(t, `{"t":1,"t":2,"dl":0,"k":"","id":18}`))
}

func FuzzScan(f *testing.F) {
	for line := range strings.Lines(logtest.Chat) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) { agree(t, line) })
}
