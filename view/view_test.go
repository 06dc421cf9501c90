package view_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/view"
)

func TestWriteCarriesTheLog(t *testing.T) {
	c := unpack(t, page(t, logOf(
		`{"t":1000,"k":"scope","id":3,"n":"server"}`,
		`{"t":2000,"k":"spawn","s":3,"id":1,"n":"accept","f":"bwm"}`,
		`{"t":2500,"k":"scope","id":5,"in":3,"n":"fork"}`,
		`{"t":2900,"k":"scope","id":4,"in":3,"by":1,"n":"conn"}`,
		`{"t":3000,"k":"spawn","s":3,"id":2,"n":"late","f":"w"}`,
		`{"t":9000,"k":"end","s":3,"id":2,"st":"failed","err":"boom"}`,
		`{"t":9050,"k":"cancel","id":3,"why":"task failed","by":2,"err":"boom"}`,
	)))
	assert.Equal(t, []string{"server", "accept", "conn", "fork", "late"}, c.names(), "what a task opened is below it, siblings come by time")
	assert.Equal(t, "stsst", c.Kind)
	assert.Equal(t, []int{-1, 0, 1, 0, 0}, c.Parent)
	assert.Equal(t, []int64{-1, -1, -1, -1, 9000}, c.Stop)
	require.Len(t, c.Causes, 1)
	assert.Equal(t, 0, c.Causes[0].Row)
	assert.Equal(t, 4, c.Causes[0].By, "the task that ended the scope comes after it")
	assert.Equal(t, []int{0, 7, 0, 0, 4}, c.Flags)
	assert.False(t, c.Closed)
	assert.Equal(t, "example.com/chat", c.Program)
}

func TestWriteTakesALogAsFarAsItGoes(t *testing.T) {
	whole := failing(t)
	full := unpack(t, page(t, whole))
	assert.True(t, full.Closed)
	for cut := len(header) + 1; cut < len(whole); cut += 97 {
		c := unpack(t, page(t, whole[:cut]))
		assert.False(t, c.Closed)
		assert.Equal(t, whole[cut-1] != '\n', c.Truncated, "cut at %d", cut)
		assert.LessOrEqual(t, len(c.Kind), len(full.Kind))
	}
	assert.Empty(t, unpack(t, page(t, []byte(header))).Kind)
}

func TestWriteSaysWhatIsLost(t *testing.T) {
	c := unpack(t, page(t, lossy()))
	require.Len(t, c.Losses, 1)
	assert.EqualValues(t, 812, c.Losses[0].Lines)
}

func TestWriteReadsFilesOfTrioVis(t *testing.T) {
	c := unpack(t, page(t, []byte(trioVis)))
	assert.True(t, c.TrioVis)
	assert.Contains(t, c.names(), "worker-0")
}

func TestWriteSaysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ log, says string }{
		{"", "empty"},
		{"hello\n", "no"},
		{`{"traigo":3,"run":"x"}` + "\n", "version"},
	} {
		var b bytes.Buffer
		err := view.Write(&b, strings.NewReader(row.log))
		require.ErrorContains(t, err, row.says)
		assert.True(t, strings.HasPrefix(err.Error(), "view: "), err)
		assert.Zero(t, b.Len(), "nothing is written of what is no log")
	}
	assert.PanicsWithValue(t, "view: Write to a nil io.Writer", func() { _ = view.Write(nil, strings.NewReader("")) })
	assert.Panics(t, func() { _ = view.Write(io.Discard, nil) })
}

func TestWriteReturnsTheErrorsOfItsEnds(t *testing.T) {
	log := crawl(t)
	size := len(page(t, log))
	for _, room := range []int{0, 100, size / 2, size - 1} {
		err := view.Write(&full{room}, bytes.NewReader(log))
		require.ErrorIs(t, err, errFull)
		assert.ErrorContains(t, err, "view: writing the page: ")
	}
	require.NoError(t, view.Write(&full{size}, bytes.NewReader(log)))
	require.ErrorIs(t, view.Write(io.Discard, broken{}), errFull)
}

// The HTML around the log does not depend on the log.
func TestNamesDoNotReachTheHTML(t *testing.T) {
	calm, hostile := page(t, logOf(`{"t":0,"k":"scope","id":1,"n":"calm"}`)), page(t, nasty())
	strip := func(page string) string { return carried.ReplaceAllString(page, "") }
	assert.Equal(t, strip(calm), strip(hostile))
	assert.Contains(t, unpack(t, hostile).names(), hostileNames[0])
}

func TestThePageAsksForNothingElse(t *testing.T) {
	page := page(t, small(t))
	assert.NotRegexp(t, `(?i)(src|href)\s*=\s*["']?(https?:)?//`, page)
	assert.Contains(t, page, "default-src 'none'")
	assert.Equal(t, 2, strings.Count(page, "<script"), "neither script nor style may hold what ends them")
	assert.Equal(t, 2, strings.Count(page, "</script"))
	assert.Equal(t, 1, strings.Count(page, "</style"))
	assert.NotContains(t, page, "\r", "a browser would change it, and its hash")
	assert.Contains(t, page, "MIT License", "every page is a copy of what it contains")
}

// For any input, Write makes a page that can be decoded, or returns an error.
func FuzzWrite(f *testing.F) {
	for _, log := range [][]byte{lossy(), given(), climbing(), instant(), []byte(trioVis), []byte(header)} {
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var b strings.Builder
		if err := view.Write(&b, bytes.NewReader(log)); err != nil {
			assert.Empty(t, b.String())
			return
		}
		c := unpack(t, b.String())
		for row, up := range c.Parent {
			assert.Less(t, up, row, "parents come before what is below them")
			assert.GreaterOrEqual(t, up, -1)
		}
		for _, cause := range c.Causes {
			assert.Less(t, cause.By, len(c.Kind))
			assert.Equal(t, byte('s'), c.Kind[cause.Row])
		}
	})
}
