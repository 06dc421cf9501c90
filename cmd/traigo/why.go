package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/traigo/traigo/record/export"
	"github.com/traigo/traigo/record/history"
	"github.com/traigo/traigo/record/story"
)

var whyCommand = command{
	name: "why", args: "[-id ID] FILE|DIR [PATH]",
	does: "tell why a scope or task of a recording ended",
	about: `Tells of one scope or task what it was, how it ended, why, and back to the first
cause, and what ended because of it. The middle of a long chain is left out. PATH is its path, "server/conn/read", or the
last elements of it, "conn/read". Of several with one path it tells the one that
ended the most, or failed; -id picks another.

  $ traigo why run.jsonl service/accept
  task demo/supervisor attempt 1/service/accept (id 4.1): spawned at 83.2 ms, canceled at 4.91 s, after 4.82 s.

  Why:
    1. accept was told to end at 4.91 s, because its scope ended: service.
    2. service ended at 4.91 s: task journal returned “write journal.txt: file already closed”.

`,
	run: why,
}

const (
	maxNearest = 5  // paths that are suggested
	maxOthers  = 10 // IDs of others with the same path
	maxSteps   = 20 // of a chain of causes that are told; of a longer one, half as many are
)

func why(_ context.Context, env *environment, args []string) error {
	id := env.flags.String("id", "", "the `ID` of the scope or task instead of a path: 17, or 17.3, as tree and the page say it")
	if err := env.parseFlags(args); err != nil {
		return err
	}
	if n := env.flags.NArg(); n != 2 && *id == "" || n != 1 && *id != "" {
		fmt.Fprintf(env.stderr, "traigo why: it takes a file and a path, or -id and a file\n\n")
		env.flags.Usage()
		return errUsage
	}
	file, path := env.flags.Arg(0), env.flags.Arg(1)
	h, err := source{file, env.stdin}.read()
	if err != nil {
		return err
	}
	causes := story.CausesOf(h)
	if *id != "" {
		span, known := story.FindID(h, *id)
		if !known {
			return fmt.Errorf("%s has no scope or task with the ID %q", file, *id)
		}
		return tell(env.stdout, h, causes, span)
	}
	found := story.Find(h, path)
	if len(found) == 0 {
		return fmt.Errorf("%s has no scope or task with the path %q%s", file, path, suggest(h, path))
	}
	causes.Sort(found)
	if len(found) > 1 {
		fmt.Fprintf(env.stdout, "%d have this path: %s. There is most to say of the first; -id picks another: %s\n\n", len(found), export.Line(causes.States(h, found)), others(found[1:]))
	}
	return tell(env.stdout, h, causes, found[0])
}

// tell writes the account of a span.
func tell(out io.Writer, h *history.History, causes *story.Causes, span story.Span) error {
	account := causes.Why(h, span)
	var b strings.Builder
	b.WriteString(export.Line(account.Span.String()) + "\n")
	if len(account.Chain) > 0 {
		b.WriteString("\nWhy:\n")
	}
	steps := len(account.Chain)
	for i, line := range account.Chain {
		if half := maxSteps / 4; steps > maxSteps && i >= half && i < steps-half {
			if i == half {
				fmt.Fprintf(&b, "     … and %d steps more, down to\n", steps-2*half)
			}
			continue
		}
		fmt.Fprintf(&b, "  %d. %s\n", i+1, export.Line(line.String()))
	}
	if len(account.Toll) > 0 {
		b.WriteString("\nWhat ended because of it:\n")
	}
	for _, line := range account.Toll {
		b.WriteString("  " + export.Line(line.String()) + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// others returns the first IDs of spans.
func others(spans []story.Span) string {
	var ids []string
	for _, s := range spans[:min(len(spans), maxOthers)] {
		ids = append(ids, s.ID())
	}
	if len(spans) > maxOthers {
		ids = append(ids, "…")
	}
	return strings.Join(ids, ", ")
}

// suggest returns the paths that are similar to one.
func suggest(h *history.History, path string) string {
	near := story.Nearest(h, path, maxNearest)
	if len(near) == 0 {
		return "; \"traigo tree\" shows all"
	}
	for i := range near {
		near[i] = export.Line(near[i])
	}
	return "; similar are\n  " + strings.Join(near, "\n  ")
}
