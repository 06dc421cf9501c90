// Tree is a program of 13 processes: a root, three branches, and three leaves of each.
//
//	cd examples/tree && go run . [-fail root/branch-2/leaf-3]
//
// When all are there the root draws the tree, and starts an actor "wind". One leaf has waited for
// that, and fails. Its error comes out of the root, with the path of the leaf, and all other
// processes have ended by then: the other leaves say why. None of that is programmed below: each
// branch spawns its leaves in a scope, and the root its branches in another one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/actor"
)

func main() {
	actor.Serve() // an actor runs the same program, and stays in here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fail := flag.String("fail", "root/branch-2/leaf-3", "`path` of the leaf that fails")
	flag.Parse()
	if err := run(ctx, *fail, os.Stdout); err != nil {
		fmt.Println("root:", err)
		if failure, ok := errors.AsType[*actor.Error](err); ok {
			fmt.Println("  it began in", failure.From)
			for _, id := range failure.Path[1:] {
				fmt.Println("  and came by", id)
			}
		}
	}
}

const breadth = 3

// branch grows the leaves of one branch, each in a process of its own.
var branch = actor.Func("branch", func(ctx context.Context, fail string) (int, error) {
	fmt.Println(actor.Self(), "has started")
	sum := 0
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		var leaves []*traigo.Future[int]
		for i := range breadth {
			name := traigo.Name(fmt.Sprintf("leaf-%d", i+1))
			leaves = append(leaves, leaf.Spawn(s, fail, actor.Task(name)))
		}
		for _, l := range leaves {
			n, err := l.Await(ctx)
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	}, traigo.Name("leaves"))
	return sum, err
})

var errWind = errors.New("broken by the wind")

// leaf is work that takes a while after the wind has come, unless it fails or is canceled before.
var leaf = actor.Func("leaf", func(ctx context.Context, fail string) (int, error) {
	self := actor.Self()
	fmt.Println(self, "has started")
	err := traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error { // the connection ends with it
		_, err := actor.Wait(ctx, s, "wind")
		return err
	}, traigo.Name("wait"))
	if err == nil && self.Path == fail {
		return 0, errWind
	}
	if err == nil {
		err = traigo.Sleep(ctx, time.Second)
	}
	if err != nil {
		fmt.Println(self, "ends:", context.Cause(ctx))
		return 0, err
	}
	return 1, nil
})

// run is the root. It draws the tree while all are there.
func run(ctx context.Context, fail string, out io.Writer) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		var branches []*traigo.Future[int]
		for i := range breadth {
			name := traigo.Name(fmt.Sprintf("branch-%d", i+1))
			branches = append(branches, branch.Spawn(s, fail, actor.Task(name)))
		}
		if err := draw(ctx, s, out); err != nil {
			return err
		}
		if _, err := actor.Start(ctx, s, "wind", actor.Findable()); err != nil {
			return err
		}
		sum := 0
		for _, b := range branches {
			n, err := b.Await(ctx)
			if err != nil {
				return err
			}
			sum += n
		}
		fmt.Fprintln(out, "root:", sum, "leaves")
		return nil
	}, traigo.Name("root"))
}

// draw draws the tree when all leaves are there.
func draw(ctx context.Context, s *traigo.Scope, out io.Writer) error {
	for {
		shot, err := actor.Snapshot(ctx, s)
		if err == nil && strings.Count(shot.String(), "• leaf (") == breadth*breadth {
			fmt.Fprint(out, shot)
			return nil
		}
		if err := traigo.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
