package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// roleVariable names the role of a process that this one has started.
const roleVariable = "TRAIGO_BENCH_ROLE"

// A process is a server, a worker or an owner. It ends when its standard input does, and so with
// this one, and says lines.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	cleanup func()

	mu    sync.Mutex
	lines []string
}

func start(ctx context.Context, role string, env ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	return launch(cmd)
}

func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, cleanup: func() {}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, cmd.Stderr = stdin, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.add(in.Text())
		}
		p.add("exited")
	}()
	return p, nil
}

func (p *process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
}

// said returns the first line that begins with prefix, without it.
func (p *process) said(prefix string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// await waits for a line that one of the processes says and that begins with prefix, and returns
// the rest of it.
func await(ctx context.Context, prefix string, among ...*process) (string, error) {
	for tick := time.NewTicker(time.Millisecond); ; {
		for _, p := range among {
			if rest, ok := p.said(prefix); ok {
				return rest, nil
			}
			if _, isOver := p.said("exited"); isOver && len(among) == 1 {
				return "", fmt.Errorf("%s has ended, and has not said %q", p.cmd, prefix)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return "", fmt.Errorf("nobody has said %q: %w", prefix, context.Cause(ctx))
		}
	}
}

func (p *process) await(ctx context.Context, prefix string) (string, error) {
	return await(ctx, prefix, p)
}

// cpu returns the processor time that it has used so far, where that can be read.
func (p *process) cpu() time.Duration {
	if p.cmd == nil {
		return 0
	}
	return cpuOf(p.cmd.Process.Pid)
}

func cpuOf(pid int) time.Duration {
	const ticks = 100 // a second, on every Linux
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name may have blanks
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticks
}

func (p *process) end() {
	if p.cmd != nil {
		_ = p.stdin.Close()
		_ = p.cmd.Wait()
	}
	p.cleanup()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// findServer returns the server, and sets TEMPORAL_ADDRESS for everybody.
func findServer(ctx context.Context) (*process, error) {
	if os.Getenv("TEMPORAL_ADDRESS") != "" {
		return &process{cleanup: func() {}}, nil
	}
	binary, cleanup := os.Getenv("TRAIGO_TEMPORAL_SERVER"), func() {}
	if binary == "" {
		dir, err := os.MkdirTemp("", "traigo-temporal")
		if err != nil {
			return nil, err
		}
		cleanup = func() { _ = os.RemoveAll(dir) }
		binary = filepath.Join(dir, "server")
		fmt.Fprintln(os.Stderr, "building the embedded server: the first time, up to a quarter of an hour")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./internal/server")
		build.Dir, build.Stderr = "embedded", os.Stderr
		if err := build.Run(); err != nil {
			cleanup()
			return nil, fmt.Errorf("the server cannot be built: %w", err)
		}
	}
	p, err := launch(exec.CommandContext(ctx, binary))
	if err != nil {
		cleanup()
		return nil, err
	}
	p.cleanup = cleanup
	address, err := p.await(ctx, "127.")
	if err != nil {
		p.end()
		return nil, err
	}
	return p, os.Setenv("TEMPORAL_ADDRESS", "127."+address)
}
