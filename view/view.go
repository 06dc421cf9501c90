// Package view makes a page of a recording: [Write] converts a log to one HTML file that any
// browser can open without a network. [WriteHistory] does so with a history: of the
// processes of a tree, for instance, which history.ReadDir reads.
//
// The page shows scopes as nested boxes and tasks as bars on a time line, in the rows of the
// tree of both; alike siblings are one row. At the top it says which scope failed first and
// what was canceled as a consequence. Lost lines and missing ends are shown as such. Where
// there are several processes, the first scope of each has its PID beside its name, and is in
// the task that stands for the process.
// The key ? lists the keys of the page.
//
// The picture of nested scopes follows trio-vis and its visualizer sc-vis.
package view

import (
	"bufio"
	"fmt"
	"io"

	"github.com/traigo/traigo/record/history"
)

// Write reads a log of package record, or a sc-logs.json of trio-vis, and writes it to w as a
// self-contained HTML page. A log that ends early, has gaps, or is still being written is
// shown as far as it goes, and the page says what is missing.
//
// Write returns the first error of log or w. If the input is not a log, the error says why,
// and nothing has been written. Write holds the whole log in memory: about 1 kB for each
// scope or task. It panics if w or log is nil.
func Write(w io.Writer, log io.Reader) error {
	switch {
	case w == nil:
		panic("view: Write to a nil io.Writer")
	case log == nil:
		panic("view: Write of a nil io.Reader: it needs a log to read")
	}
	h, err := history.ReadAny(log)
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return WriteHistory(w, h)
}

// WriteHistory writes a history to w, as [Write] does with that of a log. It panics if w or h
// is nil.
func WriteHistory(w io.Writer, h *history.History) error {
	switch {
	case w == nil:
		panic("view: WriteHistory to a nil io.Writer")
	case h == nil:
		panic("view: WriteHistory of a nil *history.History")
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if err := writePage(out, modelOf(h)); err != nil {
		return fmt.Errorf("view: writing the page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("view: writing the page: %w", err)
	}
	return nil
}
