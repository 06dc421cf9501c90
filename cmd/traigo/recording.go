package main

import (
	"context"
	"fmt"
	"io"
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
	to, err := env.makePage(*out, file)
	if err != nil || to.name == "-" {
		return err
	}
	fmt.Fprintln(env.stdout, "page", to.name)
	if !*open || !openInBrowser(ctx, to.name) {
		fmt.Fprintln(env.stdout, "open", urlOf(to.name))
	}
	return nil
}

// makePage writes the page of a recording, or of those in a directory, and returns where that
// is. Without a name the page is beside the recording.
func (env *environment) makePage(name, file string) (to target, err error) {
	from := source{file, env.stdin}
	if name == "" {
		to, err = env.page(from)
	} else {
		to, err = env.target(name, from)
	}
	if err != nil {
		return to, err
	}
	h, err := from.read()
	if err != nil {
		return to, err
	}
	return to, to.write(func(w io.Writer) error { return view.WriteHistory(w, h) })
}

var treeCommand = command{
	name: "tree", args: "FILE|DIR",
	does: "print a recording as a tree",
	about: `Prints all scopes and tasks of a recording, each below the one it ran in, with how
long it took, how it ended, and why it was canceled. Those that are alike are folded.
A task ended well (✓), failed (✗), was canceled because of a failure (○), was stopped
with its scope and without one (□), runs (▶), or was given up (!). ← leads to the cause.
The recordings in a directory, *.jsonl, are those of a tree of processes.
`,
	run: tree,
}

func tree(_ context.Context, env *environment, args []string) error {
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	return env.convert("-", source{file, env.stdin}, export.Tree)
}

var convertCommand = command{
	name: "convert", args: "-to FORMAT [-o OUT] FILE|DIR",
	does: "turn a recording into what other viewers read",
	about: `Formats:

  sclogs    sc-logs.json of trio-vis, for https://ianchen-tw.github.io/sc-vis
  chrome    Chrome's trace format, for chrome://tracing and https://ui.perfetto.dev
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
	out := env.flags.String("o", "-", "the `file` to write; - is standard output")
	file, err := env.parse(args)
	if err != nil {
		return err
	}
	for _, f := range formats {
		if f.name != *to {
			continue
		}
		if f.binary && *out == "-" && isTerminal(env.stdout) {
			return fmt.Errorf("%s is not for terminals: say -o file, or send the output elsewhere", f.name)
		}
		return env.convert(*out, source{file, env.stdin}, f.write)
	}
	fmt.Fprintf(env.stderr, "traigo convert: -to %q: it is one of %s\n\n", *to, formatNames())
	env.flags.Usage()
	return errUsage
}

// convert writes a source in another format. Nothing is written if the source cannot be read.
func (env *environment) convert(out string, from source, write func(io.Writer, *history.History) error) error {
	to, err := env.target(out, from)
	if err != nil {
		return err
	}
	h, err := from.read()
	if err != nil {
		return err
	}
	return to.write(func(w io.Writer) error { return write(w, h) })
}

// formatNames returns the names of the formats, separated by commas.
func formatNames() string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
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
