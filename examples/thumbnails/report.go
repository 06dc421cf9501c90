package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A report counts the images that are done, and keeps those that have failed. On a terminal
// it has one line, which changes in place; in a file that would be one long line, so there it
// prints a new one now and then.
type report struct {
	out            string
	total, done    int
	failed         []result
	stdout, stderr io.Writer
	terminal       bool // stderr is one
	started        time.Time
	printed        time.Time // when the last line of progress was
}

func newReport(out string, total int, stdout, stderr io.Writer) *report {
	return &report{out: out, total: total, stdout: stdout, stderr: stderr, terminal: isTerminal(stderr), started: time.Now()}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (r *report) add(image result) {
	r.done++
	if image.failure != "" {
		r.failed = append(r.failed, image)
	}
	line := fmt.Sprintf("%d of %s, %d failed", r.done, counted(r.total, "image"), len(r.failed))
	switch {
	case r.terminal:
		fmt.Fprint(r.stderr, "\r"+line)
	case time.Since(r.printed) > 2*time.Second:
		r.printed = time.Now()
		fmt.Fprintln(r.stderr, line)
	}
}

// conclude prints the summary and returns the exit code. err is why not all images were
// tried.
func (r *report) conclude(err error) int {
	if r.terminal {
		fmt.Fprint(r.stderr, "\r\x1b[K")
	}
	fmt.Fprintf(r.stdout, "%s in %s, %s failed, %v\n", counted(r.done-len(r.failed), "thumbnail"), r.out,
		counted(len(r.failed), "image"), time.Since(r.started).Round(time.Millisecond))
	slices.SortFunc(r.failed, func(a, b result) int { return cmp.Compare(a.file, b.file) })
	for _, image := range r.failed {
		fmt.Fprintf(r.stdout, "  %s: %s\n", image.file, image.failure)
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(r.stderr, "interrupted: %s not finished\n", counted(r.total-r.done, "image"))
		return 130
	case err != nil:
		fmt.Fprintln(r.stderr, err)
		return 1
	case len(r.failed) > 0:
		return 1
	}
	return 0
}

// counted returns "1 image" or "2 images".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
