package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

// A report prints the digests in the order of the paths, although they come in any order.
// On a terminal it prints a line with the progress below them.
type report struct {
	dir            string
	stdout, stderr io.Writer
	terminal       bool // stderr is one
	started        time.Time

	mu    sync.Mutex
	paths []string
	sums  []string // by index in paths; "" until the digest is known
	next  int      // index of the first digest that has not been printed
	files int
	bytes int64
	drawn bool // the progress line is on the screen
}

func newReport(dir string, stdout, stderr io.Writer) *report {
	return &report{
		dir:      dir,
		stdout:   stdout,
		stderr:   stderr,
		terminal: isTerminal(stderr),
		started:  time.Now(),
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (r *report) expect(paths []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.sums = paths, make([]string, len(paths))
}

// digested stores the digest of the i-th file, and prints all digests that can be printed
// in order.
func (r *report) digested(i int, sum string, size int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[i] = sum
	r.files++
	r.bytes += size
	for r.next < len(r.sums) && r.sums[r.next] != "" {
		if err := r.printNext(); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) printNext() error {
	i := r.next
	r.next++
	if r.sums[i] == "" {
		return nil
	}
	r.clear()
	name := path.Join(filepath.ToSlash(r.dir), r.paths[i])
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	mark := ""
	if escaped != name {
		mark = `\` // tells sha256sum -c that the name is escaped
	}
	_, err := fmt.Fprintf(r.stdout, "%s%s  %s\n", mark, r.sums[i], escaped)
	return err
}

// progress redraws the progress line until it is canceled.
func (r *report) progress(ctx context.Context) error {
	for traigo.Sleep(ctx, 100*time.Millisecond) == nil {
		r.draw()
	}
	return nil
}

func (r *report) draw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.drawn = true
	if r.paths == nil {
		fmt.Fprint(r.stderr, "looking for files")
		return
	}
	fmt.Fprintf(r.stderr, "%s of %s, %s", thousands(r.files), counted(len(r.paths)), inBytes(r.bytes))
}

func (r *report) clear() {
	if r.drawn {
		r.drawn = false
		fmt.Fprint(r.stderr, "\r\x1b[K")
	}
}

// conclude prints the digests that come after one that is missing, prints how the program
// has ended, and returns the exit code.
func (r *report) conclude(err error) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.next < len(r.sums) {
		if failed := r.printNext(); failed != nil {
			err = errors.Join(err, failed)
			break
		}
	}
	r.clear()
	done := counted(r.files) + ", " + inBytes(r.bytes)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(r.stderr, "interrupted: %s digested\n", done)
		if stuck, ok := errors.AsType[*traigo.StuckError](err); ok {
			fmt.Fprintln(r.stderr, stuck)
		}
		return 130
	case err != nil:
		fmt.Fprintln(r.stderr, err)
		return 1
	case r.terminal:
		fmt.Fprintf(r.stderr, "%s in %v\n", done, time.Since(r.started).Round(time.Millisecond))
	}
	return 0
}

// counted returns "1 file" or "11,043 files".
func counted(files int) string {
	if files == 1 {
		return "1 file"
	}
	return thousands(files) + " files"
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// inBytes returns "512 B" or "56.7 MB".
func inBytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	x, unit := float64(n)/1000, 0
	for x >= 999.95 { // would be rounded to 1000.0
		x, unit = x/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", x, "kMGTPE"[unit])
}
