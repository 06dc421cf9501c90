package main

import (
	"bytes"
	"context"
	"fmt"
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
	out := env.flags.String("o", "", "the `file` to write; without it that of the recording, with .html instead of .jsonl or .json; - is standard output")
	open := env.flags.Bool("open", true, "open the page in a browser, if there is a desktop")
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	log, err := env.load(file)
	if err != nil {
		return err
	}
	html, err := pageFrom(log)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if *out == "-" {
		_, err := env.stdout.Write(html)
		return err
	}
	page := *out
	if page == "" {
		page = pageOf(file)
	}
	if err := save(page, html, file); err != nil {
		return err
	}
	fmt.Fprintln(env.stdout, "page", page)
	if !*open || !openInBrowser(ctx, page) {
		fmt.Fprintln(env.stdout, "open", urlOf(page))
	}
	return nil
}

// pageOf is where the page of a recording goes if nothing else is said. The number of a
// rotated file stays in it: each of them has a page of its own.
func pageOf(file string) string {
	if file == "-" {
		return "traigo.html"
	}
	if ext := filepath.Ext(file); ext == ".jsonl" || ext == ".json" {
		file = strings.TrimSuffix(file, ext)
	}
	return file + ".html"
}

// pageFrom is the page of a log.
func pageFrom(log []byte) ([]byte, error) {
	var html bytes.Buffer
	err := view.Write(&html, bytes.NewReader(log))
	return html.Bytes(), err
}
