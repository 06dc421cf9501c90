package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The measured part of the page is between these lines.
const (
	from = "<!-- measured: `make bench` replaces what follows -->"
	to   = "<!-- end of what was measured -->"
)

func write(doc string, tables []table) error {
	var lines []line
	for _, t := range tables {
		lines = append(lines, t.lines...)
	}
	page, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	picture := strings.TrimSuffix(filepath.Base(doc), ".md") + ".svg"
	if err := drawTo(filepath.Join(filepath.Dir(doc), picture), lines); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %s, with GOMAXPROCS=%d.\n\n", time.Now().Format(time.DateOnly), machine(), processors)
	fmt.Fprintf(&b, "![nanoseconds per short task, by the number of tasks](%s)\n", picture)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n%s", t.markdown())
	}
	next, err := replaced(string(page), b.String())
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	return os.WriteFile(doc, []byte(next), 0o644) //nolint:gosec // a page is for everybody to read
}

// replaced returns the page with another measured part.
func replaced(page, measured string) (string, error) {
	before, rest, found := strings.Cut(page, from)
	_, after, ended := strings.Cut(rest, to)
	if !found || !ended {
		return "", fmt.Errorf("no measured part: it stands between the lines %q and %q", from, to)
	}
	return before + from + "\n\n" + measured + "\n" + to + after, nil
}

// machine describes the machine and the version of Go.
func machine() string {
	return fmt.Sprintf("%s, %s/%s, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, processor())
}

func processor() string {
	info, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return fmt.Sprintf("%d processors", runtime.NumCPU())
	}
	defer info.Close()
	for lines := bufio.NewScanner(info); lines.Scan(); {
		if _, model, ok := strings.Cut(lines.Text(), "model name\t: "); ok {
			return fmt.Sprintf("%d × %s", runtime.NumCPU(), model)
		}
	}
	return fmt.Sprintf("%d processors", runtime.NumCPU())
}
