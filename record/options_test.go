package record_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/record"
)

func TestBadValuesPanicAtTheCall(t *testing.T) {
	for says, call := range map[string]func(){
		"Buffer(0)":           func() { record.Buffer(0) },
		"MaxSize(-1)":         func() { record.MaxSize(-1) },
		"MaxAge(0s)":          func() { record.MaxAge(0) },
		"Keep(-1)":            func() { record.Keep(-1) },
		"an Option is nil":    func() { record.New(io.Discard, nil) },
		"New: the writer":     func() { record.New(nil) },
		"PrintTree: the":      func() { record.PrintTree(nil) },
		"need a file":         func() { record.New(io.Discard, record.Keep(1)) },
		"need a file that":    func() { record.New(io.Discard, record.MaxSize(1)) },
		"file that can be re": func() { record.New(io.Discard, record.MaxAge(1)) },
	} {
		func() {
			defer func() {
				value := fmt.Sprint(recover())
				assert.True(t, strings.HasPrefix(value, "record: "), value)
				assert.Contains(t, value, says)
			}()
			call()
			t.Error("no panic")
		}()
	}
	_, err := record.Create(filepath.Join(t.TempDir(), "no", "such", "place"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "record: ")
}
