package record

import (
	"io"

	"github.com/traigo/traigo/record/history"
)

// A History is what a log says: see package history, which reads logs without what
// writes them.
type History = history.History

// Read reads a log, or several files of one recording, in their order. One that ends in
// the middle of a line is read as far as it goes: History.Truncated says so.
func Read(r io.Reader) (*History, error) { return history.Read(r) }

// ReadSCLogs reads a file of Python's trio-vis (sc-logs.json).
func ReadSCLogs(r io.Reader) (*History, error) { return history.ReadSCLogs(r) }
