// Traigo shows what the scopes of a program did, and do: see docs/seeing.md.
//
//	go run github.com/traigo/traigo/cmd/traigo@latest demo
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is a command of the program: the first argument is its name.
type command struct {
	name  string
	args  string // its arguments, for -h
	does  string // what it does, in a line
	about string // what it does, for -h
	run   func(ctx context.Context, env *environment, args []string) error
}

func commands() []command {
	return []command{demoCommand, viewCommand, treeCommand, whyCommand, convertCommand}
}

// An environment is the input and output of a command, and its flags.
type environment struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	flags  *flag.FlagSet
}

// errUsage is the error of a command with wrong arguments. The command has written what is
// wrong.
var errUsage = errors.New("usage")

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the program, and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	name, args := args[0], args[1:]
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, name) {
		if len(args) == 0 {
			usage(stdout)
			return exitOK
		}
		name, args = args[0], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			return c.call(ctx, args, &environment{stdin: stdin, stdout: stdout, stderr: stderr})
		}
	}
	fmt.Fprintf(stderr, "traigo: there is no command %q\n\n", name)
	usage(stderr)
	return exitUsage
}

// call runs the command, and returns the exit code of the program.
func (c command) call(ctx context.Context, args []string, env *environment) int {
	env.flags = flag.NewFlagSet(c.name, flag.ContinueOnError)
	env.flags.SetOutput(env.stderr)
	env.flags.Usage = func() {
		fmt.Fprintf(env.flags.Output(), "usage: traigo %s %s\n\n%s\n", c.name, c.args, c.about)
		env.flags.PrintDefaults()
	}
	if slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) {
		env.flags.SetOutput(env.stdout) // help that was asked for is no error
	}
	switch err := c.run(ctx, env, args); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	default:
		fmt.Fprintf(env.stderr, "traigo %s: %v\n", c.name, err)
		return exitFailed
	}
}

// parseFlags parses the flags.
func (env *environment) parseFlags(args []string) error {
	err := env.flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return errUsage // the flags have said what is wrong
	}
	return err
}

// parse parses the flags, and returns the one file that must follow them.
func (env *environment) parse(args []string) (file string, err error) {
	if err := env.parseFlags(args); err != nil {
		return "", err
	}
	if rest := env.flags.Args(); len(rest) > 1 && slices.ContainsFunc(rest[1:], func(a string) bool { return len(a) > 1 && a[0] == '-' }) {
		fmt.Fprintf(env.stderr, "traigo %s: flags come before the file\n\n", env.flags.Name())
		env.flags.Usage()
		return "", errUsage
	}
	if env.flags.NArg() != 1 {
		fmt.Fprintf(env.stderr, "traigo %s: it takes one file, a recording (- for standard input), or a directory of them; there are %d\n\n", env.flags.Name(), env.flags.NArg())
		env.flags.Usage()
		return "", errUsage
	}
	return env.flags.Arg(0), nil
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Traigo shows what the scopes of a program did, and do.\n\nusage: traigo command [flags] [file or directory]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s  %s\n", c.name, c.does)
	}
	fmt.Fprint(w, `
"traigo help command" says more. A file is a recording of package record, or a
sc-logs.json of Python's trio-vis; a directory has the recordings of a tree of
processes. To record a program of yours:

	rec, err := record.Create("run.jsonl")
	…
	defer rec.Close()
	traigo.Run(ctx, body, traigo.Observe(rec))
`)
}
