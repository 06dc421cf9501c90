package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onTerminal runs the demo on a terminal of its own, and returns each picture that it has
// drawn there, and what it has left on it.
func onTerminal(t *testing.T, length string) (drawn []string, left string) {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || exec.Command(script, "--version").Run() != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "under CI the demo is to be seen on a terminal: install util-linux's script")
		t.Skip("no script of util-linux, which has terminals to offer")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "traigo")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), script, "-qfec", "stty rows 36 cols 104; exec ./traigo demo -for "+length+" -o .", "/dev/null")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	// Each picture begins by going up to where the last one began, and ends by clearing
	// what is below it.
	text := strings.ReplaceAll(string(out), "\r\n", "\n")
	for _, picture := range regexp.MustCompile(`\x1b\[\d+A\r`).Split(text, -1) {
		picture, after, _ := strings.Cut(picture, "\x1b[J")
		drawn, left = append(drawn, strings.ReplaceAll(picture, "\x1b[K", "")), after
	}
	return drawn, left
}

func TestDemoIsDrawnInItsPlaceOnATerminal(t *testing.T) {
	drawn, left := onTerminal(t, "2s")
	assert.Greater(t, len(drawn), 5)
	for _, picture := range drawn[:len(drawn)-1] {
		assert.LessOrEqual(t, strings.Count(picture, "\n"), 35, "it would scroll:\n%s", picture)
	}
	all := strings.Join(drawn, "")
	for _, text := range []string{"├─ • accept (running", "supervisor attempt 2", red + "  ", yellow, "service failed: its task journal"} {
		assert.Contains(t, all, text)
	}
	assert.NotContains(t, left, "├─", "the tree is gone with what it showed")
	assert.Contains(t, left, "service failed: its task journal", "what was told stays")
	assert.Contains(t, left, "open it    file://")
}

// A proxy is for what is elsewhere: the address of the live page may not look local.
func TestDemoNeedsNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	drawn, _ := onTerminal(t, "1s -addr :0")
	assert.Contains(t, strings.Join(drawn, ""), "├─ • accept (running")
}
