package export_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/internal/logtest"
)

var writers = map[string]func(io.Writer, *history.History) error{
	"sclogs":   export.SCLogs,
	"chrome":   export.Chrome,
	"perfetto": export.Perfetto,
	"tree":     export.Tree,
}

// eachHistory calls check, in a subtest each, with the histories of many logs: short and
// damaged ones, and those of programs, as a whole and cut off.
func eachHistory(t *testing.T, check func(*testing.T, *history.History)) {
	t.Helper()
	read := func(name, log string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log(log)
				}
			}()
			check(t, logtest.Read(t, log))
		})
	}
	read("empty", logtest.Header)
	read("chat", logtest.Chat)
	read("later version", logtest.Header+`{"t":5,"k":"scope","id":1,"n":"s"}
{"t":12,"k":"end","s":1,"id":4,"st":"of a later version"}
`)
	t.Run("trio-vis", func(t *testing.T) { check(t, logtest.ReadSCLogs(t, logtest.Fetch)) })
	for seed := range uint64(100) {
		read(fmt.Sprintf("random %d", seed), logtest.Random(seed))
	}
	for seed := range uint64(10) {
		log := logtest.Program(t, seed)
		read(fmt.Sprintf("program %d", seed), log)
		read(fmt.Sprintf("half of program %d", seed), log[:len(log)/2])
		for cut := len(logtest.Header) + 200; cut < len(log); cut += 2999 {
			read(fmt.Sprintf("program %d cut at %d", seed, cut), log[:cut])
		}
	}
}

// everything checks the properties that each history and all its exports have.
func everything(t *testing.T, h *history.History) {
	t.Helper()
	logtest.Check(t, h)
	for name, write := range writers {
		var b bytes.Buffer
		require.NoError(t, write(&b, h), name)
		switch name {
		case "sclogs":
			require.NoError(t, visCheck(b.Bytes()))
			back, err := history.ReadSCLogs(&b)
			require.NoError(t, err)
			require.Len(t, back.Scopes, len(h.Scopes))
		case "tree":
			for i, c := range b.Bytes() {
				require.False(t, c < ' ' && c != '\n' || c == 0x7f, "byte %d could drive a terminal", i)
			}
		}
	}
}

func FuzzLogs(f *testing.F) {
	f.Add([]byte(logtest.Chat))
	for seed := range uint64(20) {
		f.Add([]byte(logtest.Random(seed)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, before := range []string{"", logtest.Header} {
			if h, err := history.Read(bytes.NewReader(append([]byte(before), text...))); err == nil {
				everything(t, h)
			}
		}
	})
}

func FuzzSCLogs(f *testing.F) {
	f.Add([]byte(logtest.Fetch))
	h, err := history.Read(bytes.NewReader([]byte(logtest.Chat)))
	if err != nil {
		f.Fatal(err)
	}
	for seed := range uint64(10) {
		var b bytes.Buffer
		if seed > 0 {
			if h, err = history.Read(bytes.NewReader([]byte(logtest.Random(seed)))); err != nil {
				f.Fatal(err)
			}
		}
		if err := export.SCLogs(&b, h); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if h, err := history.ReadSCLogs(bytes.NewReader(text)); err == nil {
			everything(t, h)
		}
		if h, err := history.ReadAny(bytes.NewReader(text)); err == nil {
			everything(t, h)
		}
	})
}

func TestReadAnyTellsWhatWasExported(t *testing.T) {
	for name, says := range map[string]string{"chrome": "Chrome trace", "perfetto": "Perfetto"} {
		var b bytes.Buffer
		require.NoError(t, writers[name](&b, logtest.Read(t, logtest.Chat)))
		_, err := history.ReadAny(&b)
		require.ErrorContains(t, err, says)
	}
	_, err := history.ReadAny(bytes.NewReader(scLogs(t, logtest.Read(t, logtest.Chat))))
	require.NoError(t, err)
}

// Lines and keys of a later version change nothing of what is written.
func TestWritersTakeWhatTheyDoNotKnow(t *testing.T) {
	var later strings.Builder
	for line := range strings.Lines(logtest.Chat) {
		if later.Len() > 0 {
			later.WriteString(`{"t":5000,"k":"from the future","id":"four","n":[{"k":"scope","s":3}],"stack":{"main.main":7}}` + "\n")
			later.WriteString(`{"t":5001,"k":"from the future","s":3,"id":99,"n":"x"}` + "\n")
		}
		later.WriteString(strings.TrimSuffix(line, "}\n") + `,"future":{"id":4,"of":[1,null,{"t":3}]},"more":-1.5e3,"text":"\u00e9"}` + "\n")
	}
	now, h := logtest.Read(t, logtest.Chat), logtest.Read(t, later.String())
	h.Damaged = 0 // lines of an unknown kind are counted, and the number is written
	for name, write := range writers {
		var want, got bytes.Buffer
		require.NoError(t, write(&want, now))
		require.NoError(t, write(&got, h))
		require.Equal(t, want.String(), got.String(), name)
	}
}

func TestWritersReturnTheErrorOfTheWriter(t *testing.T) {
	h := logtest.Read(t, logtest.Chat)
	for name, write := range writers {
		full := errors.New("disk full")
		err := write(iotest.TruncateWriter(&failing{full}, 1<<20), h)
		require.ErrorIs(t, err, full, name)
	}
}

type failing struct{ err error }

func (f *failing) Write([]byte) (int, error) { return 0, f.err }

func BenchmarkWrite(b *testing.B) {
	h, err := history.Read(strings.NewReader(logtest.Big(100_000, false)))
	require.NoError(b, err)
	for name, write := range writers {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, write(io.Discard, h))
			}
		})
	}
}

// Reading and writing take linear time for large logs of several shapes. With quadratic time
// and a large TRAIGO_SPANS the test would not end.
func TestBigLogsAreReadAndWritten(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TRAIGO_SPANS"))
	if err != nil {
		n = 5_000
	}
	for _, gaps := range []bool{false, true} {
		h := logtest.Read(t, logtest.Big(n, gaps))
		require.Len(t, h.Scopes, n/100+1)
		for name, write := range writers {
			require.NoError(t, write(io.Discard, h), name)
		}
	}
	var deep strings.Builder // each scope is inside the one before
	deep.WriteString(logtest.Header)
	for i := 1; i <= n/2; i++ {
		fmt.Fprintf(&deep, `{"t":%d,"k":"scope","id":%d,"in":%d,"n":"s"}`+"\n", i, i, i-1)
		fmt.Fprintf(&deep, `{"t":%d,"k":"cancel","id":%d,"why":"parent canceled"}`+"\n", n+i, i)
	}
	h := logtest.Read(t, deep.String())
	for name, write := range writers {
		require.NoError(t, write(io.Discard, h), name)
	}
}
