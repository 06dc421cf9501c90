// Package sclogs is the file format of Python's trio-vis: sc-logs.json, a list of
// records of what was created and what exited. Package history makes a history of such
// a file, package export writes a history as one; this package has what both have to
// agree on.
//
// The format has no place for errors and states. Package export writes them as marks in
// brackets after the name of a scope or task: "accept-0 [failed: too many open files]".
package sclogs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// Wrapper is the end of the name of the scope that trio-vis puts around each task.
	Wrapper = "__TRIO_VIS_Tscope"
	// Body is appended to the name of a scope to name the task that stands for its body.
	Body = " (body)"
)

// A File is a decoded sc-logs.json.
type File struct {
	Records   []Record
	About     *About // nil if the file was not written by package export
	Truncated bool   // the file ends before its JSON does
}

// A Record says that a scope or task was created, or has exited. In a file that [Decode]
// returns, Time and Name are never nil.
type Record struct {
	Time   *float64 `json:"time"`
	Desc   string   `json:"desc"` // "created" or "exited"
	Name   *string  `json:"name"`
	Type   string   `json:"type"` // "task" or "scope"
	Parent *string  `json:"parent"`
}

// An About holds the fields of a history for which trio-vis has none. Package export
// adds it to the file under a key of its own.
type About struct {
	Traigo    int       `json:"traigo"` // the version of About: 1
	Unit      string    `json:"unit"`   // of the times: "s"
	T0        time.Time `json:"t0,omitzero"`
	Run       string    `json:"run,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Go        string    `json:"go,omitempty"`
	Program   string    `json:"program,omitempty"`
	Closed    bool      `json:"closed"`
	Truncated bool      `json:"truncated,omitempty"`
	Damaged   int       `json:"damaged,omitempty"`
	Lost      []Loss    `json:"lost,omitempty"`
}

// A Loss is a history.Loss.
type Loss struct {
	At    time.Duration
	Lines uint64
	Why   string
}

// Decode reads a file. One that ends early is returned as far as it goes, with Truncated
// set, if its list of records has begun. Unknown keys are skipped. The error for a
// record that is not valid gives its index.
func Decode(r io.Reader) (*File, error) {
	d := &decoder{json: json.NewDecoder(r)}
	err := d.document()
	switch {
	case isEOF(err) && !d.seen:
		return nil, errors.New("the input ends before its runRecords: this is no sc-logs.json of trio-vis, or nothing is left of it")
	case isEOF(err):
		d.Truncated = true
	case err != nil:
		return nil, err
	case !d.seen:
		return nil, errors.New("this is no sc-logs.json of trio-vis: it has no runRecords")
	}
	return &d.File, nil
}

type decoder struct {
	File
	json *json.Decoder
	seen bool // the list of records has begun
}

func (d *decoder) document() error {
	if start, err := d.json.Token(); err != nil {
		return d.explain(err)
	} else if start != json.Delim('{') {
		return errors.New("this is no sc-logs.json of trio-vis: it is no JSON object")
	}
	for d.json.More() {
		key, err := d.json.Token()
		if err != nil {
			return d.explain(err)
		}
		switch key {
		case "runRecords":
			err = d.records()
		case "about":
			err = d.about()
		default:
			var skip json.RawMessage
			err = d.explain(d.json.Decode(&skip))
		}
		if err != nil {
			return err
		}
	}
	_, err := d.json.Token()
	return d.explain(err)
}

// about sets About, or leaves it nil if the key was written by another program.
func (d *decoder) about() error {
	var text json.RawMessage
	if err := d.json.Decode(&text); err != nil {
		return d.explain(err)
	}
	var about About
	if json.Unmarshal(text, &about) == nil && about.Traigo == 1 && about.Unit == "s" {
		d.About = &about
	}
	return nil
}

func (d *decoder) records() error {
	if start, err := d.json.Token(); err != nil {
		return d.explain(err)
	} else if start != json.Delim('[') {
		return errors.New("this is no sc-logs.json of trio-vis: its runRecords are no list")
	}
	d.seen = true
	for d.json.More() {
		var record Record
		if err := d.json.Decode(&record); err != nil {
			if isEOF(err) {
				return err
			}
			return fmt.Errorf("record %d: %w", len(d.Records), d.explain(err))
		}
		if problem := record.problem(); problem != "" {
			return fmt.Errorf("record %d: %s", len(d.Records), problem)
		}
		d.Records = append(d.Records, record)
	}
	_, err := d.json.Token()
	return d.explain(err)
}

// problem says why the record is not valid; "" if it is.
func (r *Record) problem() string {
	switch {
	case r.Time == nil:
		return "it has no time"
	case *r.Time < 0:
		return fmt.Sprintf("its time is %v, before the beginning", *r.Time)
	case r.Name == nil:
		return "it has no name"
	case r.Desc != "created" && r.Desc != "exited":
		return fmt.Sprintf(`its desc is %q, neither "created" nor "exited"`, r.Desc)
	case r.Type != "task" && r.Type != "scope":
		return fmt.Sprintf(`its type is %q, neither "task" nor "scope"`, r.Type)
	default:
		return ""
	}
}

// explain adds to an error of the JSON decoder where in the input it is, and drops the
// names of Go types from it.
func (d *decoder) explain(err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil || isEOF(err):
		return err
	case errors.As(err, &syntax):
		return fmt.Errorf("near byte %d: %w", d.json.InputOffset(), err)
	case errors.As(err, &mismatch):
		return fmt.Errorf("its %s is a %s", mismatch.Field, mismatch.Value)
	default:
		return err
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

var brackets = strings.NewReplacer("[", "(", "]", ")")

// Mark returns a mark, to be appended to a name. Brackets in the reason become
// parentheses, so that [EachMark] finds the end of it.
func Mark(word, reason string) string {
	if reason != "" {
		word += ": " + brackets.Replace(reason)
	}
	return " [" + word + "]"
}

// Unmarked returns a name in which nothing looks like the beginning of a mark.
func Unmarked(name string) string { return strings.ReplaceAll(name, " [", " (") }

// SplitName splits the name in a record that package export has written into the name of
// the scope or task, without its number, and its marks, for [EachMark].
func SplitName(name string) (base, marks string) {
	base, marks, _ = strings.Cut(strings.TrimSuffix(name, Wrapper), " [")
	if i := strings.LastIndexByte(base, '-'); i >= 0 {
		base = base[:i]
	}
	return base, marks
}

// EachMark calls do with the word and the reason of each mark.
func EachMark(marks string, do func(word, reason string)) {
	if marks == "" {
		return
	}
	for m := range strings.SplitSeq(strings.TrimSuffix(marks, "]"), "] [") {
		word, reason, _ := strings.Cut(m, ": ")
		do(word, reason)
	}
}
