package history_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
)

func TestReadAnyTellsTheFormatsApart(t *testing.T) {
	h := readLog(t, chat)
	for says, text := range map[string]string{
		"a log":                     chat,
		"a log below empty lines":   "\n  \r\n" + chat,
		"a file of trio-vis":        fetch,
		"one that we have written":  string(scLogs(t, h)),
		"one with other keys first": `{"x":1,"runRecords":[]}`,
	} {
		_, err := history.ReadAny(strings.NewReader(text))
		require.NoError(t, err, says)
		_, err = history.ReadAny(iotest.OneByteReader(strings.NewReader(text)))
		require.NoError(t, err, says)
	}
	h, err := history.ReadAny(strings.NewReader(chat))
	require.NoError(t, err)
	assert.False(t, h.TrioVis)
	h, err = history.ReadAny(strings.NewReader(fetch))
	require.NoError(t, err)
	assert.True(t, h.TrioVis)
}

func TestReadAnySaysWhatItHasGot(t *testing.T) {
	var zipped, chrome, perfetto bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, err := zip.Write([]byte(chat))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	require.NoError(t, readLog(t, chat).WriteChrome(&chrome))
	require.NoError(t, readLog(t, chat).WritePerfetto(&perfetto))
	for _, row := range []struct{ text, says string }{
		{"", "is empty"},
		{" \n\t", "is empty"},
		{zipped.String(), "gunzip"},
		{chrome.String(), "Chrome trace"},
		{`{"traceEvents":[]}`, "Chrome trace"},
		{`[{"ph":"B"}]`, "Chrome trace"},
		{perfetto.String(), "Perfetto"},
		{"<!doctype html>", "page"},
		{chat[len(header):], "first line is missing"},
		{`{"time":"2026-11-21T01:02:03Z","level":"INFO","msg":"hello"}`, "logger"},
		{`{"id":1,"name":"server","path":"server"}`, "snapshot"},
		{"go 1.26 trace\x00\x00\x00", "go tool trace"},
		{"hello", "neither a log of traigo nor an sc-logs.json"},
		{`{"hello":1}`, "no runRecords"},
		{`{"traigo":3}`, "reads version 1"},
	} {
		_, err := history.ReadAny(strings.NewReader(row.text))
		require.ErrorContains(t, err, row.says)
		assert.True(t, strings.HasPrefix(err.Error(), "history: "), err.Error())
	}
	_, err = history.Read(strings.NewReader(zipped.String()))
	assert.ErrorContains(t, err, "gunzip")
}

func TestReadersReturnTheErrorOfTheReader(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", header, chat, "{", fetch[:300]} {
		r := func() *iotestReader { return &iotestReader{strings.NewReader(before), broken} }
		_, err := history.ReadAny(r())
		require.ErrorIs(t, err, broken, before)
		if before != fetch[:300] {
			_, err = history.Read(r())
			require.ErrorIs(t, err, broken, before)
		}
		_, err = history.ReadSCLogs(r())
		if !strings.HasPrefix(before, header) {
			require.ErrorIs(t, err, broken, before)
		}
	}
}

// An iotestReader ends in an error.
type iotestReader struct {
	*strings.Reader
	err error
}

func (r *iotestReader) Read(b []byte) (int, error) {
	if r.Len() == 0 {
		return 0, r.err
	}
	return r.Reader.Read(b)
}

func TestWritersReturnTheErrorOfTheWriter(t *testing.T) {
	h := readLog(t, chat)
	for name, write := range writers {
		full := errors.New("disk full")
		err := write(h, iotest.TruncateWriter(&failing{full}, 1<<20))
		require.ErrorIs(t, err, full, name)
	}
}

type failing struct{ err error }

func (f *failing) Write([]byte) (int, error) { return 0, f.err }
