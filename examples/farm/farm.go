package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/supervise"
)

const (
	workers   = 3
	killAfter = 12 // files
)

// A farm is three workers and an owner. Whoever is killed is started again.
type farm struct {
	out       io.Writer
	dir       string
	address   string // of the server
	killOwner bool
	away      time.Duration
	account   *account
}

func (f *farm) run(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	f.account = newAccount(f.out)
	id := "farm-" + rand.Text()
	err = traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		for i := range workers {
			worker := f.kept(fmt.Sprintf("worker %d", i+1), time.Second, program, "worker")
			s.Spawn(worker, traigo.Name(fmt.Sprintf("worker %d", i+1)), traigo.Awaited(false))
		}
		s.Spawn(supervise.Every(time.Second, func(context.Context) error {
			f.account.tick()
			return nil
		}), traigo.Name("account"), traigo.Awaited(false))
		s.Spawn(f.kept("the owner", f.away, program, "owner", id, f.dir), traigo.Name("owner"))
		s.Spawn(f.kill, traigo.Name("bad luck"))
		return nil
	}, traigo.Name("processes"))
	if err != nil {
		return err
	}
	return f.account.conclude(f.dir, f.killOwner, f.away)
}

// kept returns a task that runs a part of this program as a process, and runs it again a while after
// it has failed, or was killed.
func (f *farm) kept(who string, pause time.Duration, program string, args ...string) func(context.Context) error {
	return supervise.Restart(
		func(ctx context.Context) error {
			return f.process(ctx, who, exec.CommandContext(ctx, program, args...))
		},
		supervise.Backoff(func() backoff.BackOff { return backoff.NewConstantBackOff(pause) }),
		supervise.Intensity(3, time.Minute),
		supervise.Logger(slog.New(slog.DiscardHandler)), // the account tells
	)
}

// process runs a process until it ends by itself or ctx is done, and hears what it tells.
func (f *farm) process(ctx context.Context, who string, cmd *exec.Cmd) error {
	cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+f.address)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = lease
	cmd.Stderr = f.out
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
		return err
	}
	told, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	f.account.started(who, cmd.Process)
	for lines := bufio.NewScanner(told); lines.Scan(); {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			f.account.note(who, e)
		}
	}
	err = cmd.Wait()
	f.account.ended(who, err)
	return err
}

// kill is the bad luck.
func (f *farm) kill(ctx context.Context) error {
	victim := "worker 2"
	if f.killOwner {
		victim = "the owner"
	}
	for !f.account.kill(victim) {
		if err := traigo.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

const (
	files     = 60
	pieces    = 10
	pieceSize = 16 << 10
)

// makeFiles makes what is to be compressed.
func makeFiles(dir string) error {
	for _, sub := range []string{"in", "out"} {
		if err := os.Mkdir(dir+"/"+sub, 0o700); err != nil {
			return err
		}
	}
	words := strings.Fields("barn plough seed field hay goat fence rain oats mill")
	for i := range files {
		var text strings.Builder
		for n := i; text.Len() < pieces*pieceSize; n = (n*31 + 7) % 1009 {
			text.WriteString(words[n%len(words)])
			text.WriteByte(' ')
		}
		if err := os.WriteFile(fmt.Sprintf("%s/in/page-%02d", dir, i+1), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}
