package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/traigo/traigo"
)

const (
	maxSlow     = 4 // slow commands of one guest at once
	slowestSlow = time.Minute
)

// handle executes a line, and reports whether the guest wants to quit.
func (g *guest) handle(ctx context.Context, line string) (quit bool) {
	command, arg, _ := strings.Cut(line, " ")
	switch {
	case command == "":
	case command == "/quit":
		return true
	case command == "/who":
		g.who(ctx)
	case command == "/slow":
		g.slow(ctx, arg)
	case strings.HasPrefix(command, "/"):
		g.tell("* no such command: %s", command)
	default:
		g.srv.room.broadcast(g, "%s: %s", g.name, line)
	}
	return false
}

// who lists the scopes of all conversations. The list takes one place in the queue, however
// many guests there are.
func (g *guest) who(ctx context.Context) {
	me := traigo.Current(ctx).ID()
	var list []string
	for _, conn := range g.srv.scope.Snapshot().Scopes {
		if conn.State >= traigo.Canceling {
			continue // it is about to end
		}
		line := fmt.Sprintf("* %s, %d tasks, for %v", conn.Name, len(conn.Tasks), time.Since(conn.Opened).Round(time.Second))
		if conn.ID == me {
			line += " (you)"
		}
		list = append(list, line)
	}
	g.tell("%s\n* that is all", strings.Join(list, "\n"))
}

// slow spawns a task in the scope that ctx carries. If the guest quits, the scope waits for
// the task; if the scope is canceled, so is the task.
func (g *guest) slow(ctx context.Context, arg string) {
	d, err := time.ParseDuration(arg)
	if err != nil || d < 0 || d > slowestSlow {
		g.tell("* how slow? from 0s to %v", slowestSlow)
		return
	}
	// Spawn would wait for a slot. This task has one, so it could wait for itself.
	if _, ok := traigo.Current(ctx).TrySpawn(func(ctx context.Context) error {
		g.tell("* working for %v", d)
		if err := traigo.Sleep(ctx, d); err != nil {
			return err
		}
		g.tell("* done after %v", d)
		return nil
	}, traigo.Name("slow "+arg)); !ok {
		g.tell("* you have enough to wait for")
	}
}
