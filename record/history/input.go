package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"unicode/utf8"
)

// What a file is that may be a recording: its first bytes say so.

// mark is the byte order mark of UTF-8, with which some programs of Windows begin a file.
var mark = []byte("\xef\xbb\xbf")

// newInput returns a reader for r, behind a byte order mark. An error of r is returned by the
// next read.
func newInput(r io.Reader) *bufio.Reader {
	in := bufio.NewReaderSize(r, 1<<16)
	if start, _ := in.Peek(len(mark)); bytes.Equal(start, mark) {
		_, _ = in.Discard(len(mark))
	}
	return in
}

// readLine returns the next line. It is valid until the next call.
func readLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	long := bytes.Clone(text)
	for errors.Is(err, bufio.ErrBufferFull) {
		text, err = in.ReadSlice('\n')
		long = append(long, text...)
	}
	return long, err
}

// skipSpace reads up to the first byte that is no space, and returns the number of lines
// that have ended before it.
func skipSpace(in *bufio.Reader) (lines int, err error) {
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return lines, err
		case !isSpace(c):
			return lines, in.UnreadByte()
		case c == '\n':
			lines++
		}
	}
}

// headerIn returns the first line of a segment that stands in a line behind something else,
// and where. A recorder that appends to a file whose last line is torn writes it there. It
// returns a zero header if there is none.
func headerIn(text []byte) (head header, at int) {
	all := headerBegins.FindAllIndex(text, -1)
	if len(all) == 0 {
		return head, 0
	}
	at = all[len(all)-1][0] // the ones before it are torn themselves
	if json.Unmarshal(text[at:], &head) != nil {
		return header{}, 0
	}
	return head, at
}

var headerBegins = regexp.MustCompile(`\{\s*"traigo"\s*:`)

// looksLike returns a phrase, to be appended to an error, about the kind of file that
// begins with start. It returns "" for a file that may be a log.
func looksLike(start []byte) string {
	if hint := looksBinary(start); hint != "" {
		return hint
	}
	start = bytes.TrimLeft(start, " \t\r\n")
	switch {
	case bytes.HasPrefix(start, []byte("<")):
		return ": it looks like a page; give the log that it was made from"
	case bytes.HasPrefix(start, []byte("[")):
		return ": it looks like a Chrome trace; look at that on ui.perfetto.dev"
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

// looksBinary is looksLike for files that are no text in UTF-8.
func looksBinary(start []byte) string {
	const utf16 = ": it is in UTF-16, as some programs of Windows write text; convert it to UTF-8 first, for example with `iconv -f UTF-16 -t UTF-8`"
	for _, known := range []struct{ magic, hint string }{
		{"\x1f\x8b", ": it is compressed by gzip, so gunzip it first"},
		{"\x28\xb5\x2f\xfd", ": it is compressed by zstd, so decompress it first"},
		{"BZh", ": it is compressed by bzip2, so decompress it first"},
		{"\xfd7zXZ\x00", ": it is compressed by xz, so decompress it first"},
		{"PK\x03\x04", ": it is a zip file, so unpack it first"},
		{"go 1.", ": it looks like an execution trace of Go; look at that with `go tool trace`"},
		{"\xff\xfe", utf16},
		{"\xfe\xff", utf16},
		{"{\x00\"\x00", utf16},
		{"\x00{\x00\"", utf16},
	} {
		if bytes.HasPrefix(start, []byte(known.magic)) {
			return known.hint
		}
	}
	if isPerfetto(start) {
		return ": it looks like a trace of Perfetto; look at that on ui.perfetto.dev"
	}
	if bytes.IndexByte(start, 0) >= 0 {
		return ": it is no text"
	}
	return ""
}

// firstKey returns the first key of a JSON object that may be cut off, or "".
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

// isPerfetto reports whether start is the beginning of a Perfetto trace. In a text file its
// first byte would be an empty line, but binary data follows.
func isPerfetto(start []byte) bool {
	start = start[:min(32, len(start))]
	return len(start) > 0 && start[0] == '\n' && bytes.ContainsFunc(start, func(c rune) bool {
		return c < ' ' && !isSpace(byte(c)) || c == utf8.RuneError
	})
}
