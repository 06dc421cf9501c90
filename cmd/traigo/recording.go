package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/view"
)

// The commands that read a recording: view, tree and convert.

var viewCommand = command{
	name: "view", args: "[-o OUT] [-open=false] FILE|DIR",
	does: "make a page of a recording, and open it",
	about: `Writes one HTML file that needs nothing else, to keep or to mail: the time line of
all scopes and tasks, and the tree beside it. Opens it where there is a desktop, and
says where it is. The recordings in a directory, *.jsonl, are those of a tree of
processes, and become one page.
`,
	run: viewPage,
}

func viewPage(ctx context.Context, env *environment, args []string) error {
	out := env.flags.String("o", "", "the `file` to write; without it that of the recording, with .html instead of .jsonl or .json, or DIR.html; - is standard output")
	open := env.flags.Bool("open", true, "open the page in a browser, if there is a desktop")
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	html, err := env.page(file)
	if err != nil {
		return err
	}
	if *out == "-" {
		_, err := env.stdout.Write(html)
		return err
	}
	page := *out
	if page == "" {
		page = pagePath(file)
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

// pagePath returns where the page of a recording is written without -o. The number of a
// rotated file stays in the name, so that each of the files has a page of its own. The page
// of a directory is beside it.
func pagePath(file string) string {
	if file == "-" {
		return "traigo.html"
	}
	if isDirectory(file) {
		if name := filepath.Base(file); name == "." || name == ".." {
			if full, err := filepath.Abs(file); err == nil {
				file = full
			}
		}
		if file = filepath.Clean(file); filepath.Dir(file) == file {
			return "traigo.html" // the root of the file system has no name
		}
		return file + ".html"
	}
	if ext := filepath.Ext(file); ext == ".jsonl" || ext == ".json" {
		file = strings.TrimSuffix(file, ext)
	}
	return file + ".html"
}

// page returns the page of a recording, or of those in a directory.
func (env *environment) page(file string) ([]byte, error) {
	if isDirectory(file) {
		h, err := history.ReadDir(file)
		if err != nil {
			return nil, err
		}
		var html bytes.Buffer
		err = view.WriteHistory(&html, h)
		return html.Bytes(), err
	}
	log, err := env.load(file)
	if err != nil {
		return nil, err
	}
	html, err := makePage(log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return html, nil
}

// makePage returns the page of a log.
func makePage(log []byte) ([]byte, error) {
	var html bytes.Buffer
	err := view.Write(&html, bytes.NewReader(log))
	return html.Bytes(), err
}

var treeCommand = command{
	name: "tree", args: "FILE|DIR",
	does: "print a recording as a tree",
	about: `Prints all scopes and tasks of a recording, each below the one it ran in, with how
long it took, how it ended, and why it was canceled. Those that are alike are folded.
The recordings in a directory, *.jsonl, are those of a tree of processes.
`,
	run: tree,
}

func tree(_ context.Context, env *environment, args []string) error {
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	h, err := env.read(file)
	if err != nil {
		return err
	}
	return export.Tree(env.stdout, h)
}

var convertCommand = command{
	name: "convert", args: "-to FORMAT [-o OUT] FILE|DIR",
	does: "turn a recording into what other viewers read",
	about: `Formats:

  sclogs    sc-logs.json of trio-vis, for https://ianchen-tw.github.io/sc-vis
  chrome    Chrome's trace format, for chrome://tracing and https://speedscope.app
  perfetto  Perfetto's TrackEvents, for https://ui.perfetto.dev
`,
	run: convert,
}

// formats are the values of -to.
var formats = []struct {
	name   string
	binary bool
	write  func(io.Writer, *history.History) error
}{
	{"sclogs", false, export.SCLogs},
	{"chrome", false, export.Chrome},
	{"perfetto", true, export.Perfetto},
}

func convert(_ context.Context, env *environment, args []string) error {
	to := env.flags.String("to", "", "the `format`: "+formatNames())
	out := env.flags.String("o", "", "the `file` to write; without it, or with -, standard output")
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	for _, f := range formats {
		if f.name != *to {
			continue
		}
		if *out == "-" {
			*out = ""
		}
		if f.binary && *out == "" && isTerminal(env.stdout) {
			return fmt.Errorf("%s is not for terminals: say -o file, or send the output elsewhere", f.name)
		}
		h, err := env.read(file)
		if err != nil {
			return err
		}
		// In memory first: if the conversion fails, no incomplete file is left.
		var text bytes.Buffer
		if err := f.write(&text, h); err != nil {
			return err
		}
		if *out == "" {
			_, err := env.stdout.Write(text.Bytes())
			return err
		}
		return save(*out, text.Bytes(), file)
	}
	fmt.Fprintf(env.stderr, "traigo convert: -to %q: it is one of %s\n\n", *to, formatNames())
	env.flags.Usage()
	return errUsage
}

// formatNames returns the names of the formats, separated by commas.
func formatNames() string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// load returns the text of a recording; - is standard input.
func (env *environment) load(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(env.stdin)
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %q; \"traigo demo\" makes a recording to try, record.Create one of your program", file)
	case err != nil:
		return nil, err
	}
	return text, nil
}

// save writes a file that was made from a recording, or from those in a directory. It refuses
// to overwrite a recording, which cannot be made again.
func save(out string, text []byte, recording string) error {
	inputs := []string{recording}
	if isDirectory(recording) {
		inputs = nil
		for _, pattern := range []string{"*.jsonl", "*.jsonl.*"} {
			files, err := fs.Glob(os.DirFS(recording), pattern)
			if err != nil {
				return err
			}
			for _, name := range files {
				inputs = append(inputs, filepath.Join(recording, name))
			}
		}
	}
	if to, err := os.Stat(out); err == nil {
		for _, input := range inputs {
			if from, err := os.Stat(input); err == nil && os.SameFile(to, from) {
				return fmt.Errorf("%s is a recording, and would be lost: -o takes another file", out)
			}
		}
	}
	return writeFile(out, text)
}

func isDirectory(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.IsDir()
}

// read returns the history in a recording, or in those in a directory.
func (env *environment) read(file string) (*history.History, error) {
	if isDirectory(file) {
		return history.ReadDir(file)
	}
	text, err := env.load(file)
	if err != nil {
		return nil, err
	}
	h, err := history.ReadAny(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

// writeFile writes a file. After an error it removes the incomplete file.
func writeFile(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	info, unknown := f.Stat()
	err = errors.Join(err, f.Close())
	if err != nil && unknown == nil && info.Mode().IsRegular() {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// openInBrowser opens a file in the browser, and reports whether that worked. It does not
// where there is no desktop.
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

// urlOf returns the URL of a file.
func urlOf(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	path := filepath.ToSlash(file)
	if path != "" && path[0] != '/' {
		path = "/" + path // a path of Windows begins with a drive
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
