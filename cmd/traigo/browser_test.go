package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/internal/browser"
)

// Chrome's trace viewer shows the same spans of a recording as our page.
func TestBrowserOneStoryInTwoViewers(t *testing.T) {
	browser.Need(t)
	file, dir := recordServer(t), t.TempDir()
	page, trace := filepath.Join(dir, "run.html"), filepath.Join(dir, "run.json")
	for _, args := range [][]string{
		{"view", "-open=false", "-o", page, file},
		{"convert", "-to", "chrome", "-o", trace, file},
	} {
		code, _, stderr := called(t, "", args...)
		require.Zero(t, code, stderr)
	}
	// The viewer is part of Go's sources, since `go tool trace` serves it.
	viewer := filepath.Join(goroot(t), "src/internal/trace/traceviewer/static")
	browser.Run(t, "traigo-viewers.mjs", "PAGE="+page, "TRACE="+trace, "VIEWER="+viewer,
		"PICTURE="+browser.Picture(dir, "chrome.png"))
}

// A picture of the demo on a terminal, made from the output with its escape sequences.
func TestBrowserPictureOfTheDemo(t *testing.T) {
	browser.Need(t)
	drawn, _ := onTerminal(t, "rows 36 cols 104", "6s")
	best := ""
	for i, picture := range drawn {
		if strings.Contains(picture, "service failed") && i > 0 && strings.Contains(picture, "attempt 2") {
			best = picture
		}
		if strings.Count(best, "quote") >= 3 {
			break
		}
	}
	require.NotEmpty(t, best, "no picture has the failure in it")
	dir := t.TempDir()
	frame := filepath.Join(dir, "frame.txt")
	require.NoError(t, os.WriteFile(frame, []byte("$ go run ./cmd/traigo demo\n"+best), 0o644))
	browser.Run(t, "traigo-terminal.mjs", "FRAME="+frame, "PICTURE="+browser.Picture(dir, "demo.png"))
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
