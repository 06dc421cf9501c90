package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/traigo/traigo/record/history"
)

// load returns the text of a recording.
func (env *environment) load(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(env.stdin)
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %q; \"traigo demo\" makes a recording to try, record.Create one of your program", file)
	case err != nil:
		return nil, err
	}
	return text, nil
}

// save writes a file that was made of a recording, and never over the recording: that
// may be all that is left of a program.
func save(out string, text []byte, recording string) error {
	if to, err := os.Stat(out); err == nil {
		if from, err := os.Stat(recording); err == nil && os.SameFile(to, from) {
			return fmt.Errorf("%s is the recording, and would be lost: -o takes another file", out)
		}
	}
	return writeFile(out, text)
}

// read returns what a recording says.
func (env *environment) read(file string) (*history.History, error) {
	text, err := env.load(file)
	if err != nil {
		return nil, err
	}
	h, err := history.ReadAny(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}
