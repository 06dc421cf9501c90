package history_test

import (
	"bytes"
	"io"
	"testing"

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

func FuzzRead(f *testing.F) {
	f.Add([]byte(chat))
	for seed := range uint64(20) {
		f.Add([]byte(randomLog(seed)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if h, err := history.Read(bytes.NewReader(text)); err == nil {
			everything(t, h)
		}
		// What is behind the first line is never a reason to refuse it all, but a line
		// that begins as another first line.
		if h, err := history.Read(bytes.NewReader(append([]byte(header), text...))); err == nil {
			everything(t, h)
		} else {
			require.Contains(t, string(text), `{"traigo":`)
		}
	})
}

func FuzzReadSCLogs(f *testing.F) {
	f.Add([]byte(fetch))
	h, err := history.Read(bytes.NewReader([]byte(chat)))
	if err != nil {
		f.Fatal(err)
	}
	for seed := range uint64(10) {
		var b bytes.Buffer
		if seed > 0 {
			if h, err = history.Read(bytes.NewReader([]byte(randomLog(seed)))); err != nil {
				f.Fatal(err)
			}
		}
		if err := h.WriteSCLogs(&b); err != nil {
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
