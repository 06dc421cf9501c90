package main

import (
	"context"

	"github.com/traigo/traigo/record/export"
)

var treeCommand = command{
	name: "tree", args: "FILE",
	does: "print a recording as a tree",
	about: `Prints all scopes and tasks of a recording, each below the one it ran in, with how
long it took, how it ended, and why it was canceled. Those that are alike are folded.
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
