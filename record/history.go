package record

import (
	"io"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
)

// A History is the content of a log: scopes and tasks with their times, states and errors.
// The fields and most methods are those of the embedded history.History. Package history
// can be used alone, in programs that only read logs.
type History struct{ history.History }

// Read reads a log of a [Recorder], or the concatenated files of one recording, the oldest
// first. A log that ends in the middle of a line is read up to that line, and
// History.Truncated is set. The error is that of r, or says why the input is not a log that
// can be read.
func Read(r io.Reader) (*History, error) { return wrap(history.Read(r)) }

// ReadDir reads the logs in a directory, each of one process, as one history: see
// [history.ReadDir] and [StartedBy].
func ReadDir(dir string) (*History, error) { return wrap(history.ReadDir(dir)) }

// ReadSCLogs reads a sc-logs.json of Python's trio-vis: see [history.ReadSCLogs].
func ReadSCLogs(r io.Reader) (*History, error) { return wrap(history.ReadSCLogs(r)) }

func wrap(h *history.History, err error) (*History, error) {
	if err != nil {
		return nil, err
	}
	return &History{*h}, nil
}

// WriteSCLogs writes the history as a sc-logs.json of Python's trio-vis: see
// [export.SCLogs].
func (h *History) WriteSCLogs(w io.Writer) error { return export.SCLogs(w, &h.History) }

// WriteChrome writes the history as a Chrome trace in JSON: see [export.Chrome].
func (h *History) WriteChrome(w io.Writer) error { return export.Chrome(w, &h.History) }

// WritePerfetto writes the history as a Perfetto trace: see [export.Perfetto].
func (h *History) WritePerfetto(w io.Writer) error { return export.Perfetto(w, &h.History) }

// WriteTree writes the history as a tree in text: see [export.Tree].
func (h *History) WriteTree(w io.Writer) error { return export.Tree(w, &h.History) }
