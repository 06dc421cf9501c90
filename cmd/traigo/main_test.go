package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// called runs the command, and returns its exit code and output.
func called(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommandSaysHowItIsUsed(t *testing.T) {
	for _, row := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{nil, exitUsage, "", "usage: traigo command"},
		{[]string{"help"}, exitOK, "usage: traigo command", ""},
		{[]string{"-h"}, exitOK, "usage: traigo command", ""},
		{[]string{"help", "view"}, exitOK, "usage: traigo view", ""},
		{[]string{"view", "-h"}, exitOK, "usage: traigo view", ""},
		{[]string{"demo", "-h"}, exitOK, "-for", ""},
		{[]string{"veiw"}, exitUsage, "", `there is no command "veiw"`},
		{[]string{"view"}, exitUsage, "", "it takes one file"},
		{[]string{"tree", "a", "b"}, exitUsage, "", "there are 2"},
		{[]string{"tree", "-color", "a"}, exitUsage, "", "not defined: -color"},
		{[]string{"convert", "a"}, exitUsage, "", "sclogs, chrome, perfetto"},
		{[]string{"convert", "-to", "pdf", "a"}, exitUsage, "", `-to "pdf": it is one of sclogs`},
		{[]string{"convert", "a", "-to", "chrome"}, exitUsage, "", "flags come before the file"},
		{[]string{"demo", "-for", "-1s"}, exitUsage, "", "-for -1s: it has to run"},
		{[]string{"why", "a"}, exitUsage, "", "it takes a file and a path, or -id and a file"},
		{[]string{"why", "-id", "1", "a", "b"}, exitUsage, "", "it takes a file and a path, or -id and a file"},
		{[]string{"why", "-x", "a", "b"}, exitUsage, "", "not defined: -x"},
		{[]string{"why", "-h"}, exitOK, "Why:", ""},
		{[]string{"why", "/there/is/none", "a"}, exitFailed, "", `there is no file "/there/is/none"`},
		{[]string{"demo", "now"}, exitUsage, "", `flags only, not "now"`},
		{[]string{"tree", "/there/is/none"}, exitFailed, "", `there is no file "/there/is/none"; "traigo demo" makes`},
		{[]string{"view", "main.go"}, exitFailed, "", "main.go: history: "},
		{[]string{"convert", "-to", "chrome", "main.go"}, exitFailed, "", "main.go: history: "},
		{[]string{"tree", "."}, exitFailed, "", "traigo tree: "},
	} {
		code, stdout, stderr := called(t, "", row.args...)
		assert.Equal(t, row.code, code, "%v: %s", row.args, stderr)
		assert.Contains(t, stdout, row.stdout, "%v", row.args)
		assert.Contains(t, stderr, row.stderr, "%v", row.args)
		if row.stdout == "" {
			assert.Empty(t, stdout, "%v", row.args)
		}
		if row.stderr == "" {
			assert.Empty(t, stderr, "%v", row.args)
		}
	}
	_, err := os.Stat("main.html")
	assert.Error(t, err, "no page is left of a file that cannot be read")
}

// built builds the command of a package, and returns the path of the binary.
func built(t *testing.T, pkg, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
