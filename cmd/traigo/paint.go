package main

import (
	"os"
	"strings"
)

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colors the lines of a text that are about trouble: red for what failed,
// yellow for what is being canceled or was too late. NO_COLOR turns it off.
func paint(text string) string {
	if os.Getenv("NO_COLOR") != "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.Contains(line, " failed: "):
			lines[i] = red + line + plain
		case strings.Contains(line, "(canceling") || strings.HasSuffix(line, "ran out of time"):
			lines[i] = yellow + line + plain
		}
	}
	return strings.Join(lines, "\n")
}
