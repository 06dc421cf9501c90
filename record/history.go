package record

import (
	"io"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
)

// A History is what a log says. Package history, whose History it embeds, reads logs
// without the recorder; package export writes them in other formats.
type History struct{ history.History }

// Read reads a log, or several files of one recording, in their order. One that ends in
// the middle of a line is read as far as it goes: History.Truncated says so.
func Read(r io.Reader) (*History, error) { return wrap(history.Read(r)) }

// ReadSCLogs reads a file of Python's trio-vis (sc-logs.json).
func ReadSCLogs(r io.Reader) (*History, error) { return wrap(history.ReadSCLogs(r)) }

func wrap(h *history.History, err error) (*History, error) {
	if err != nil {
		return nil, err
	}
	return &History{*h}, nil
}

// WriteSCLogs writes the history as a sc-logs.json of Python's trio-vis: see [export.SCLogs].
func (h *History) WriteSCLogs(w io.Writer) error { return export.SCLogs(w, &h.History) }

// WriteChrome writes the history as a Chrome trace in JSON: see [export.Chrome].
func (h *History) WriteChrome(w io.Writer) error { return export.Chrome(w, &h.History) }

// WritePerfetto writes the history as a Perfetto trace: see [export.Perfetto].
func (h *History) WritePerfetto(w io.Writer) error { return export.Perfetto(w, &h.History) }

// WriteTree writes the history as a tree of text: see [export.Tree].
func (h *History) WriteTree(w io.Writer) error { return export.Tree(w, &h.History) }
