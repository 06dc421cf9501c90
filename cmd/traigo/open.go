package main

import (
	"context"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/term"
)

// openInBrowser opens a file, and reports whether there was something to open it
// with. Where nobody sits at a desktop there is not.
func openInBrowser(ctx context.Context, file string) bool {
	var cmd *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		cmd = exec.CommandContext(ctx, "open", file)
	case runtime.GOOS == "windows":
		cmd = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", file)
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		cmd = exec.CommandContext(ctx, "xdg-open", file)
	default:
		return false
	}
	return cmd.Run() == nil
}

// urlOf is the address of a file, for a browser.
func urlOf(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	path := filepath.ToSlash(file)
	if path != "" && path[0] != '/' {
		path = "/" + path // a drive of Windows
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
