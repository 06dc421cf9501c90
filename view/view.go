// Package view draws a recording: [Write] makes one HTML page of a log, which opens in
// any browser, from any disk, and needs no network.
//
// The page shows scopes as boxes inside each other and their tasks as bars on a time
// line, with a tree beside it. On top it says in words what failed first, and what was
// canceled because of it. What the log does not have (lines lost, an end that is
// missing) is shown as missing. Press ? in the page for its keys.
//
// The idea of a picture of nested scopes is that of trio-vis and sc-vis.
package view

import (
	"bufio"
	"fmt"
	"io"

	"github.com/traigo/traigo/record/history"
)

// Write reads a log of package record, or a sc-logs.json of trio-vis, and writes it to w
// as one self-contained HTML page. A log that stops in the middle, has gaps, or is still
// being written is drawn as far as it goes, and the page says what is missing.
//
// The error is that of log or of w, or says why this is no log that can be read: then
// nothing was written. The whole log is held in memory, some 1 kB for each scope or task.
// Write panics if w or log is nil.
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
	out := bufio.NewWriterSize(w, 1<<16)
	if err := writePage(out, modelOf(h)); err != nil {
		return fmt.Errorf("view: writing the page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("view: writing the page: %w", err)
	}
	return nil
}
