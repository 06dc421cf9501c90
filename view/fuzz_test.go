package view_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/view"
)

// Whatever it is given, Write makes a page that can be read back, or says why not.
func FuzzWrite(f *testing.F) {
	for _, log := range [][]byte{lossy(), given(), climbing(), instant(), []byte(trioVis), []byte(header)} {
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var b strings.Builder
		if err := view.Write(&b, bytes.NewReader(log)); err != nil {
			assert.Empty(t, b.String())
			return
		}
		c := unpack(t, b.String())
		for row, up := range c.Parent {
			assert.Less(t, up, row, "parents come before what is below them")
			assert.GreaterOrEqual(t, up, -1)
		}
		for _, cause := range c.Causes {
			assert.Less(t, cause.By, len(c.Kind))
			assert.Equal(t, byte('s'), c.Kind[cause.Row])
		}
	})
}
