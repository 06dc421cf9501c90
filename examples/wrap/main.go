// Wrap does the same two jobs twice, with goroutines (before.go) and with traigo
// (after.go), on a small web site where some pages fail:
//
//	go run ./examples/wrap
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { compare(context.Background(), os.Stdout) }

func compare(ctx context.Context, w io.Writer) {
	try := func(name string, job func(*site) error) {
		s := newSite()
		defer s.close()
		err := job(s)
		text := strings.ReplaceAll(fmt.Sprint(err), "\n", "\n          ")
		fmt.Fprintf(w, "  %-6s  %s\n          (requests still running: %d)\n", name, text, s.running.Load())
	}

	pages := []string{"/news", "/map", "/archive"}
	fmt.Fprintln(w, "The size of three pages. One fails while the others are slow:")
	try("before", func(s *site) error { _, err := sizeBefore(s, pages); return err })
	try("after", func(s *site) error { _, err := sizeAfter(ctx, s, pages); return err })

	pages = []string{"/home", "/jobs", "/about", "/prices"}
	fmt.Fprintln(w, "Is there any page that fails? Two of four do:")
	try("before", func(s *site) error { return checkBefore(ctx, s, pages) })
	try("after", func(s *site) error { return checkAfter(ctx, s, pages) })
}
