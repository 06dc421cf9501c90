package history_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

func TestReadPutsTheLinesTogether(t *testing.T) {
	h, err := history.Read(strings.NewReader(logtest.Chat))
	require.NoError(t, err)
	assert.Equal(t, 71, h.PID)
	assert.Equal(t, 2026, h.Started.Year())
	assert.True(t, h.Closed)
	assert.False(t, h.Truncated)
	assert.Zero(t, h.Damaged)
	assert.Equal(t, time.Duration(9901), h.End)

	require.Len(t, h.Scopes, 2)
	require.Len(t, h.Roots(), 1)
	server, conn := h.Scopes[0], h.Scopes[1]
	accept := server.Tasks[0]
	assert.Equal(t, "server/conn", conn.Path())
	assert.Same(t, accept, conn.By)
	assert.Equal(t, []*history.Scope{conn}, accept.Scopes)
	assert.Equal(t, time.Duration(5000002900), conn.Deadline)
	assert.Same(t, accept, server.Cause.By)
	assert.Equal(t, "parent canceled", conn.Cause.Kind)
	assert.True(t, accept.Bubble && accept.Master && accept.Await)
	assert.Equal(t, history.TaskFailed, accept.State)
	assert.Equal(t, history.ScopeClosed, conn.State)
	assert.Equal(t, history.Never, conn.Finalized)
}

func TestReadSaysWhatIsMissing(t *testing.T) {
	torn := logtest.Chat[:strings.Index(logtest.Chat, `"k":"end"`)]
	h, err := history.Read(strings.NewReader(torn))
	require.NoError(t, err)
	assert.True(t, h.Truncated)
	assert.False(t, h.Closed)
	assert.True(t, h.Scopes[0].Tasks[0].Unfinished())
	assert.Equal(t, history.TaskRunning, h.Scopes[0].Tasks[0].State)

	gap := logtest.Header + `{"t":1000,"k":"scope","id":3,"n":"server"}
{"t":2000,"k":"spawn","s":3,"id":1,"n":"gone","f":"b"}
{"t":2000,"k":"spawn","s":3,"id":2,"n":"here","f":"b"}
{"t":2000,"k":"scope","id":5,"in":3,"n":"gone"}
{"t":50000,"k":"lost","n":812,"why":"the writer was too slow"}
{"t":50001,"k":"live","n":3}
{"t":1000,"k":"scope","id":3,"n":"server","st":"canceling","err":"requested: enough"}
{"t":2000,"k":"spawn","s":3,"id":2,"n":"here","f":"b","st":"running"}
{"t":40000,"k":"spawn","s":3,"id":7,"n":"new","f":"w","st":"queued"}
{"t":50002,"k":"end","s":3,"id":7,"st":"ok"}
nonsense
`
	h, err = history.Read(strings.NewReader(gap))
	require.NoError(t, err)
	assert.EqualValues(t, 812, h.Lost())
	assert.Equal(t, 1, h.Damaged)
	server := h.Scopes[0]
	assert.Equal(t, []history.TaskState{history.TaskLost, history.TaskRunning, history.TaskOK},
		[]history.TaskState{server.Tasks[0].State, server.Tasks[1].State, server.Tasks[2].State})
	assert.Equal(t, history.ScopeLost, h.Scopes[1].State)
	assert.Equal(t, "requested", server.Cause.Kind)
	assert.Equal(t, "enough", server.Cause.Err)
	assert.Equal(t, time.Duration(50001), server.Canceled)
}

func TestReadRefusesWhatItCannotRead(t *testing.T) {
	for _, row := range []struct{ log, says string }{
		{"", "empty"},
		{logtest.Header[:20], "no log of traigo"},
		{"hello\n", "no log of traigo"},
		{`{"traigo":3,"run":"x"}` + "\n", "reads versions 1 to 2"},
		{logtest.Header + strings.Replace(logtest.Header, "6f1c9a0e", "00000000", 1), "two recordings"},
	} {
		_, err := history.Read(strings.NewReader(row.log))
		assert.ErrorContains(t, err, row.says, row.log)
	}
}

// Two runs of a program that append to one file are not taken for one, wherever the second
// begins.
func TestReadRefusesTwoRecordings(t *testing.T) {
	second := strings.Replace(logtest.Chat, "6f1c9a0e", "00000000", 1)
	const cut = "cut it in two there"
	for _, row := range []struct{ name, log, says string }{
		{"behind a complete one", logtest.Chat + second, "6f1c9a0e and, from line 12 on, 00000000: " + cut},
		{"behind a torn line", logtest.Chat[:len(logtest.Header)+60] + second, "6f1c9a0e and, from the middle of line 3 on, 00000000"},
		{"behind half a key", logtest.Header + `{"t":12,"k":"en` + second, "from the middle of line 2 on"},
		{"behind half a character", logtest.Header + `{"t":12,"k":"scope","n":"` + "\xe2\x80" + second, "from the middle of line 2 on"},
		{"and is torn itself", logtest.Header + `{"t":12,"k":"en` + second[:len(logtest.Header)+20], "from the middle of line 2 on"},
		{"and has nothing but its first line", logtest.Header + `{"t":12,"k":"en` + strings.TrimSpace(second[:len(logtest.Header)]), "from the middle of line 2 on"},
		{"behind damaged lines", logtest.Header + "nonsense\n{\n\n" + second, "from line 5 on"},
		{"behind a damaged header", logtest.Header + logtest.Header[:40] + "\n" + second, "from line 3 on"},
		{"behind a torn header", logtest.Header + logtest.Header[:40] + second, "from the middle of line 2 on"},
		{"behind nothing but a torn header", logtest.Header[:40] + second, "one that is torn in its first line and, from the middle of line 1 on"},
		{"with a byte order mark", logtest.Chat + "\ufeff" + second, "from line 12 on"},
		{"formatted by another program", logtest.Chat + `{ "traigo": 1, "run": "00000000" }` + "\n", "from line 12 on"},
		{"of another version", logtest.Chat + `{"traigo":99,"run":"00000000"}` + "\n", "from line 12 on"},
		{"behind empty lines", "\n\n" + logtest.Chat + second, "from line 14 on"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := history.Read(strings.NewReader(row.log))
			require.ErrorContains(t, err, "history: the log has two recordings in it, ")
			require.ErrorContains(t, err, row.says)
			_, other := history.ReadAny(strings.NewReader(row.log))
			require.Equal(t, err, other)
		})
	}
}

// Segments of one recording may follow a line that is torn, in one file or in several.
func TestReadTakesSegmentsBehindATornLine(t *testing.T) {
	rest := logtest.Header + `{"t":9901,"k":"bye"}` + "\n"
	for _, between := range []string{"", `{"t":12,"k":"en`, `{"t":12,"k":"en` + "\n", logtest.Header[:40]} {
		h, err := history.Read(strings.NewReader(logtest.Header + `{"t":1,"k":"scope","id":3,"n":"server"}` + "\n" + between + rest))
		require.NoError(t, err, between)
		assert.True(t, h.Closed, between)
		assert.Equal(t, between != "", h.Damaged == 1, between)
		assert.False(t, h.Truncated, between)
		require.Len(t, h.Scopes, 1)
	}
	h := logtest.Read(t, logtest.Header+`{"t":1,"k":"scope","id":1,"n":"s","x":{"traigo":1,"run":"00000000"}}`+"\n"+`{"t":2,"k":"later","x":"{\"traigo\":1}"}`+"\n")
	assert.Equal(t, "s", h.Scopes[0].Name, "a key of another version is no recording")
}

func TestReadersTakeAByteOrderMark(t *testing.T) {
	for name, read := range map[string]func(io.Reader) (*history.History, error){
		"Read": history.Read, "ReadAny": history.ReadAny,
	} {
		for _, before := range []string{"", "\n"} {
			h, err := read(iotest.OneByteReader(strings.NewReader("\ufeff" + before + logtest.Chat)))
			require.NoError(t, err, name)
			assert.Zero(t, h.Damaged, name)
			assert.Len(t, h.Scopes, 2, name)
		}
	}
	for name, read := range map[string]func(io.Reader) (*history.History, error){
		"ReadSCLogs": history.ReadSCLogs, "ReadAny": history.ReadAny,
	} {
		h, err := read(iotest.OneByteReader(strings.NewReader("\ufeff" + logtest.Fetch)))
		require.NoError(t, err, name)
		assert.Len(t, h.Scopes, 3, name)
	}
}

func TestReadersSayWhatIsNoText(t *testing.T) {
	inUTF16 := func(order binary.AppendByteOrder, mark bool, text string) string {
		var b []byte
		if mark {
			b = order.AppendUint16(b, 0xfeff)
		}
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	for _, text := range []string{logtest.Chat, logtest.Fetch} {
		for _, row := range []struct{ text, says string }{
			{inUTF16(binary.LittleEndian, true, text), "UTF-16"},
			{inUTF16(binary.BigEndian, true, text), "UTF-16"},
			{inUTF16(binary.LittleEndian, false, `{"`+text[2:]), "UTF-16"},
			{inUTF16(binary.BigEndian, false, `{"`+text[2:]), "UTF-16"},
			{zipped(t, text), "gunzip"},
			{"BZh91AY&SY\x00" + text, "bzip2"},
			{"\xfd7zXZ\x00" + text, "compressed by xz"},
			{"\x7fELF\x02\x01\x01\x00\x00\x00", "it is no text"},
		} {
			for _, read := range []func(io.Reader) (*history.History, error){history.Read, history.ReadAny, history.ReadSCLogs} {
				_, err := read(strings.NewReader(row.text))
				require.ErrorContains(t, err, row.says)
				require.ErrorContains(t, err, "history: this is n")
			}
		}
	}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, err := zip.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	return b.String()
}

func TestReadAnyTellsTheFormatsApart(t *testing.T) {
	for says, text := range map[string]string{
		"a log":                     logtest.Chat,
		"a log below empty lines":   "\n  \r\n" + logtest.Chat,
		"a file of trio-vis":        logtest.Fetch,
		"one with other keys first": `{"x":1,"runRecords":[]}`,
	} {
		_, err := history.ReadAny(strings.NewReader(text))
		require.NoError(t, err, says)
		_, err = history.ReadAny(iotest.OneByteReader(strings.NewReader(text)))
		require.NoError(t, err, says)
	}
	h, err := history.ReadAny(strings.NewReader(logtest.Chat))
	require.NoError(t, err)
	assert.False(t, h.TrioVis)
	h, err = history.ReadAny(strings.NewReader(logtest.Fetch))
	require.NoError(t, err)
	assert.True(t, h.TrioVis)
}

func TestReadAnySaysWhatItHasGot(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{"", "is empty"},
		{" \n\t", "is empty"},
		{zipped(t, logtest.Chat), "gunzip"},
		{`{"traceEvents":[]}`, "Chrome trace"},
		{`[{"ph":"B"}]`, "Chrome trace"},
		{"\n\x06h\x01R\x02\x08\x01", "Perfetto"},
		{"<!doctype html>", "page"},
		{logtest.Chat[len(logtest.Header):], "first line is missing"},
		{`{"time":"2026-11-21T01:02:03Z","level":"INFO","msg":"hello"}`, "logger"},
		{`{"id":1,"name":"server","path":"server"}`, "snapshot"},
		{"go 1.26 trace\x00\x00\x00", "go tool trace"},
		{"hello", "neither a log of traigo nor an sc-logs.json"},
		{`{"hello":1}`, "no runRecords"},
		{`{"traigo":3}`, "reads versions 1 to 2"},
	} {
		_, err := history.ReadAny(strings.NewReader(row.text))
		require.ErrorContains(t, err, row.says)
		assert.True(t, strings.HasPrefix(err.Error(), "history: "), err.Error())
	}
}

func TestReadersReturnTheErrorOfTheReader(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", logtest.Header, logtest.Chat, "{", logtest.Fetch[:300]} {
		r := func() *failingReader { return &failingReader{strings.NewReader(before), broken} }
		_, err := history.ReadAny(r())
		require.ErrorIs(t, err, broken, before)
		if before != logtest.Fetch[:300] {
			_, err = history.Read(r())
			require.ErrorIs(t, err, broken, before)
		}
		_, err = history.ReadSCLogs(r())
		if !strings.HasPrefix(before, logtest.Header) {
			require.ErrorIs(t, err, broken, before)
		}
	}
}

// A failingReader returns an error at its end.
type failingReader struct {
	*strings.Reader
	err error
}

func (r *failingReader) Read(b []byte) (int, error) {
	if r.Len() == 0 {
		return 0, r.err
	}
	return r.Reader.Read(b)
}

// The history of a real program's log, complete or cut off, is consistent.
func TestReadTakesTheLogOfAnyProgram(t *testing.T) {
	for seed := range uint64(10) {
		log := logtest.Program(t, seed)
		logtest.Check(t, logtest.Read(t, log))
		logtest.Check(t, logtest.Read(t, log[:len(log)/2]))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(logtest.Chat))
	for seed := range uint64(20) {
		f.Add([]byte(logtest.Random(seed)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if h, err := history.Read(bytes.NewReader(text)); err == nil {
			logtest.Check(t, h)
		}
		// After a header, no line makes Read fail, except for one with another header in it.
		if h, err := history.Read(bytes.NewReader(append([]byte(logtest.Header), text...))); err == nil {
			logtest.Check(t, h)
		} else {
			require.Contains(t, string(text), `"traigo"`)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	log := logtest.Big(100_000, false)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		_, err := history.Read(strings.NewReader(log))
		require.NoError(b, err)
	}
}
