package record

import (
	"bytes"
	"encoding/json"
	"errors"
)

// On a disk that is full there is no room to say that it is. In a file of our own lines
// that are already there give way: they count as missing, and the line that says how many
// comes in their place.

// A cut is what has given way: events, and lines that had told of others.
type cut struct{ events, told uint64 }

func (c cut) lines() uint64 { return c.events + c.told }

var errNothingToCut = errors.New("nothing is left that could give way")

// replaceEnd writes text(n) at the end of the file, in place of what was written there
// the last time, if nothing has come behind it. Where there is no room for it, it takes
// that of lines before it; n is then larger by what those stood for.
//
// The text is written over what is there before the file is cut: blocks that were given
// back might be somebody else's by then.
func (o *output) replaceEnd(n uint64, text func(n uint64) []byte) (gone cut, err error) {
	from := o.at
	if o.notice > 0 {
		from = o.notice
	}
	for {
		tail := text(n + gone.lines())
		if _, err = o.writeAt(tail, from); err == nil {
			o.notice = from
			o.rewind(from + int64(len(tail)))
			return gone, nil
		}
		for room := 0; room < len(tail); {
			line, cutErr := o.lineBefore(from)
			if cutErr != nil {
				o.rewind(from)
				o.notice = 0
				return gone, err
			}
			gone.add(line)
			room += len(line)
			from -= int64(len(line))
		}
	}
}

// noticeIsFinal is called when something has come behind the line that says what is
// missing.
func (o *output) noticeIsFinal() { o.notice = 0 }

// lineBefore is the line of the file that ends at a place; an error for the first.
func (o *output) lineBefore(at int64) ([]byte, error) {
	if o.file == nil {
		return nil, errNothingToCut
	}
	const more = 1 << 16 // than any line has
	chunk := make([]byte, min(at, more))
	if _, err := o.file.ReadAt(chunk, at-int64(len(chunk))); err != nil {
		return nil, err
	}
	i := bytes.LastIndexByte(chunk[:max(0, len(chunk)-1)], '\n')
	if i < 0 {
		return nil, errNothingToCut
	}
	return chunk[i+1:], nil
}

// add counts a line that gives way: one of a census is no event, and one that told of
// missing lines stands for those.
func (c *cut) add(text []byte) {
	var line struct {
		K  string          `json:"k"`
		N  json.RawMessage `json:"n"`
		St string          `json:"st"`
	}
	if json.Unmarshal(text, &line) != nil {
		return
	}
	switch {
	case line.K == "lost":
		var n uint64
		_ = json.Unmarshal(line.N, &n)
		c.told += n
	case line.K == "live" || line.K == "bye", line.St != "" && line.K != "end":
	default:
		c.events++
	}
}
