package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ReadAny reads a log of package record, as [Read] does, or a file of trio-vis, as
// [ReadSCLogs] does: it tells them apart by how they begin. The error for anything
// else says what it seems to be.
func ReadAny(r io.Reader) (*History, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	if start, _ := in.Peek(32); isPerfetto(start) {
		return nil, errors.New("history: this is neither a log of traigo nor an sc-logs.json of trio-vis: it looks like a trace of Perfetto; look at that on ui.perfetto.dev")
	}
	for {
		c, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("history: the input is empty: there is neither a log of traigo in it nor an sc-logs.json of trio-vis")
		}
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		if !isSpace(c) {
			break
		}
	}
	if err := in.UnreadByte(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	start, _ := in.Peek(256) // an error of r comes again
	if isHeader(start) || bytes.HasPrefix([]byte(`{"traigo":`), start) {
		return Read(in)
	}
	if key := firstKey(start); key == "config" || key == "runRecords" {
		return ReadSCLogs(in)
	}
	if hint := looksLike(start); hint != "" || start[0] != '{' {
		return nil, fmt.Errorf("history: this is neither a log of traigo nor an sc-logs.json of trio-vis%s", hint)
	}
	return ReadSCLogs(in)
}

// looksLike says what the file may be that begins so, for the end of an error; ""
// for what could be a log.
func looksLike(start []byte) string {
	start = bytes.TrimLeft(start, " \t\r\n")
	for _, known := range []struct{ magic, hint string }{
		{"\x1f\x8b", ": it is compressed by gzip, so gunzip it first"},
		{"\x28\xb5\x2f\xfd", ": it is compressed by zstd, so decompress it first"},
		{"PK\x03\x04", ": it is a zip file, so unpack it first"},
		{"go 1.", ": it looks like an execution trace of Go; look at that with `go tool trace`"},
		{"<", ": it looks like a page; give the log that it was made from"},
		{"[", ": it looks like a Chrome trace; look at that on ui.perfetto.dev"},
	} {
		if bytes.HasPrefix(start, []byte(known.magic)) {
			return known.hint
		}
	}
	switch firstKey(start) {
	case "traceEvents", "displayTimeUnit":
		return ": it looks like a Chrome trace; look at that on ui.perfetto.dev"
	case "t", "k":
		return ": it looks like the rest of a log of traigo whose first line is missing; the first line is needed"
	case "id", "name", "path":
		return ": it looks like a snapshot; give the log of a recorder"
	case "time", "level", "msg":
		return ": it looks like the output of a logger; give the log of a recorder"
	case "config", "runRecords":
		return ": it looks like an sc-logs.json of trio-vis; read it with ReadSCLogs"
	}
	return ""
}

// firstKey returns the first key of a JSON object, as far as it is there.
func firstKey(start []byte) string {
	dec := json.NewDecoder(bytes.NewReader(start))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	key, _ := dec.Token()
	name, _ := key.(string)
	return name
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isPerfetto: the first packet begins with what would be an empty line, and goes on
// with what is no text.
func isPerfetto(start []byte) bool {
	return len(start) > 0 && start[0] == '\n' && bytes.ContainsFunc(start, func(c rune) bool {
		return c < ' ' && !isSpace(byte(c)) || c == utf8.RuneError
	})
}
