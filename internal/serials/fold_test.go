package serials_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/serials"
)

// cases returns the table that the tests of the page of package live read too.
func cases(t testing.TB) (table map[string]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/fold.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &table))
	return table
}

func TestNamesThatDifferInNumbersAreFolded(t *testing.T) {
	for name, want := range cases(t) {
		assert.Equal(t, want, serials.Fold(name), "%q", name)
	}
}

// rule is the same as an expression, which is easier to read and takes ten times as long.
var rule = regexp.MustCompile(`#?(?:\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{6,}\b|[0-9]+)`)

func FuzzFold(f *testing.F) {
	for name := range cases(f) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := rule.ReplaceAllStringFunc(name, func(s string) string {
			if !strings.ContainsAny(s, "0123456789") {
				return s
			}
			return "#"
		})
		folded := serials.Fold(name)
		assert.Equal(t, want, folded)
		if !strings.ContainsAny(folded, "0123456789") {
			assert.Equal(t, folded, serials.Fold(folded))
		}
	})
}
