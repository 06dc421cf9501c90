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
		return nil, fmt.Errorf("there is no file %s; \"traigo demo\" makes a recording to try, record.Create one of your program", file)
	case err != nil:
		return nil, err
	}
	return text, nil
}

// read returns what a recording says, and warns of what it does not.
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
