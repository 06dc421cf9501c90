package temporal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The programs in the documentation are those of the Examples, which are run.
func TestDocumentationIsExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/scale.md")
	require.NoError(t, err)
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		require.Contains(t, string(examples), strings.TrimSpace(block[1]))
	}
}
