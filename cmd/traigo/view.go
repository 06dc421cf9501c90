package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/traigo/traigo/view"
)

var viewCommand = command{
	name: "view", args: "[-o OUT] [-open=false] FILE",
	does: "make a page of a recording, and open it",
	about: `Writes one HTML file that needs nothing else, to keep or to mail: the time line of
all scopes and tasks, and the tree beside it. Opens it where there is a desktop, and
says where it is.
`,
	run: viewPage,
}

func viewPage(ctx context.Context, env *environment, args []string) error {
	out := env.flags.String("o", "", "the `file` to write; without it that of the recording, with .html instead of its extension")
	open := env.flags.Bool("open", true, "open the page in a browser, if there is a desktop")
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	log, err := env.load(file)
	if err != nil {
		return err
	}
	page := *out
	if page == "" {
		page = pageOf(file)
	}
	if err := writePage(page, log); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	fmt.Fprintln(env.stdout, "page", page)
	if !*open || !openInBrowser(ctx, page) {
		fmt.Fprintln(env.stdout, "open", urlOf(page))
	}
	return nil
}

// pageOf is where the page of a recording goes if nothing else is said.
func pageOf(file string) string {
	if file == "-" {
		return "traigo.html"
	}
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".html"
}

// writePage writes the page of a log, or nothing.
func writePage(page string, log []byte) error {
	var html bytes.Buffer
	if err := view.Write(&html, bytes.NewReader(log)); err != nil {
		return err
	}
	return os.WriteFile(page, html.Bytes(), 0o644)
}
