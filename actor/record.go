package actor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

// startRecording begins the recording of this actor. Each process has a file of its own, since
// only that survives any kill, and one that says who has started it: history.ReadDir puts them
// together. All clocks are those of one host, so nothing is corrected.
func startRecording(dir string, id ID, by starter) (*record.Recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("traigo: actor.Record: %w", err)
	}
	name := fmt.Sprintf("%s-%d.jsonl", strings.ReplaceAll(id.Path, "/", "."), id.Pid)
	return record.Create(filepath.Join(dir, name), record.StartedBy(record.Starter{Run: by.Run, PID: by.PID, Scope: by.Scope, Task: by.Task}))
}

// starterOf returns the task that stands for an actor, as the recording of that names it.
func starterOf(t *traigo.Task) starter {
	s := t.Scope()
	return starter{Run: record.RunOf(s), PID: os.Getpid(), Scope: s.ID(), Task: t.ID()}
}
