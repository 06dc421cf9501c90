package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
)

var convertCommand = command{
	name: "convert", args: "-to FORMAT [-o OUT] FILE",
	does: "turn a recording into what other viewers read",
	about: `Formats:

  sclogs    sc-logs.json of trio-vis, for https://ianchen-tw.github.io/sc-vis
  chrome    Chrome's trace format, for chrome://tracing and https://speedscope.app
  perfetto  Perfetto's TrackEvents, for https://ui.perfetto.dev
`,
	run: convert,
}

// formats are what -to may be.
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
		// What cannot be converted must not leave half a file behind.
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

func formatNames() string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}
