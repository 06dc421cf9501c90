package history_test

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

	"github.com/traigo/traigo/record/history"
)

var writers = map[string]func(*history.History, io.Writer) error{
	"sclogs":   (*history.History).WriteSCLogs,
	"chrome":   (*history.History).WriteChrome,
	"perfetto": (*history.History).WritePerfetto,
	"tree":     (*history.History).WriteTree,
}

// everything holds what is promised of whatever could be read.
func everything(t *testing.T, h *history.History) {
	t.Helper()
	check(t, h)
	for name, write := range writers {
		var b bytes.Buffer
		require.NoError(t, write(h, &b), name)
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
	for _, s := range h.Scopes {
		_, scope := s.Culprit()
		require.True(t, scope == nil || s.Cause != nil)
	}
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

// bigLog is one of n tasks, in scopes of a hundred: three lines for each task. Each
// thousand is followed by a gap and a census, if there are to be any.
func bigLog(n int, gaps bool) string {
	var b strings.Builder
	b.WriteString(header)
	b.WriteString(`{"t":1,"k":"scope","id":1,"n":"server"}` + "\n")
	for i := range n {
		s, at := 2+i/100, 1000*i
		if i%100 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":1,"n":"example.com/chat.(*server).conn"}`+"\n", at, s)
		}
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":%d,"id":%d,"n":"example.com/chat.(*conn).request","f":"bw"}`+"\n", at, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":%d,"id":%d}`+"\n", at+200, s, i%100+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":%d,"id":%d,"st":"failed","err":"read: connection reset by peer"}`+"\n", at+70_000, s, i%100+1)
		if i%100 == 99 {
			fmt.Fprintf(&b, `{"t":%d,"k":"close","id":%d}`+"\n", at+80_000, s)
		}
		if gaps && i%1000 == 0 {
			fmt.Fprintf(&b, `{"t":%d,"k":"lost","n":3,"why":"slow"}`+"\n"+`{"t":%d,"k":"live","n":1}`+"\n"+`{"t":1,"k":"scope","id":1,"n":"server","st":"open"}`+"\n", at, at)
		}
	}
	return b.String()
}

func BenchmarkRead(b *testing.B) {
	log := bigLog(100_000, false)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		_, err := history.Read(strings.NewReader(log))
		require.NoError(b, err)
	}
}

func BenchmarkWrite(b *testing.B) {
	h, err := history.Read(strings.NewReader(bigLog(100_000, false)))
	require.NoError(b, err)
	for name, write := range writers {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, write(h, io.Discard))
			}
		})
	}
}

// Twice the work must not cost four times as much, whatever the log is like.
func TestBigLogsAreReadAndWritten(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("TRAIGO_SPANS"))
	if err != nil {
		n = 5_000
	}
	for _, gaps := range []bool{false, true} {
		h := readLog(t, bigLog(n, gaps))
		require.Len(t, h.Scopes, n/100+1)
		for name, write := range writers {
			require.NoError(t, write(h, io.Discard), name)
		}
	}
	var deep strings.Builder // each scope in the one before
	deep.WriteString(header)
	for i := 1; i <= n/2; i++ {
		fmt.Fprintf(&deep, `{"t":%d,"k":"scope","id":%d,"in":%d,"n":"s"}`+"\n", i, i, i-1)
		fmt.Fprintf(&deep, `{"t":%d,"k":"cancel","id":%d,"why":"parent canceled"}`+"\n", n+i, i)
	}
	h := readLog(t, deep.String())
	for name, write := range writers {
		require.NoError(t, write(h, io.Discard), name)
	}
}
