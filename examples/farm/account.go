package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traigo/traigo"
)

var workers = []string{"worker 1", "worker 2", "worker 3"}

const (
	owner     = "the owner"
	fileCount = 60
	killAfter = 12 // files
	pieceSize = 16 << 10
)

// An event is what becomes of a process (started, killed, gone), or what a worker says of a file:
// that an attempt began, has done it or found it done, or was stopped, and why.
type event struct {
	Time    time.Time
	Who     string
	What    string
	Process int    `json:",omitempty"`
	File    string `json:",omitempty"`
	Attempt int    `json:",omitempty"`
	Why     string `json:",omitempty"`
}

// An account is all that has happened.
type account struct {
	begun time.Time

	mu     sync.Mutex
	events []event
}

func (a *account) note(e event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	hand := a.inHandLocked(e.Who)
	isFirst := len(a.filesLocked(e.What)) == 0
	a.events = append(a.events, e)
	switch {
	case e.Process != 0:
		a.printLocked("%s: %s, process %d", e.Who, e.What, e.Process)
	case e.What == "gone" && hand != "":
		a.printLocked("%s: lost with %s", e.Who, hand)
	case e.What == "began" && e.Attempt > 1:
		a.printLocked("%s: has %s now, attempt %d", e.Who, e.File, e.Attempt)
	case e.What == "stopped" && isFirst:
		a.printLocked("%s: stops %s, because\n  %s", e.Who, e.File, e.Why)
	}
}

func (a *account) printLocked(format string, args ...any) {
	fmt.Printf("%4.1f s  %s\n", time.Since(a.begun).Seconds(), fmt.Sprintf(format, args...))
}

// filesLocked returns how often each file was done, or whatever else is asked for.
func (a *account) filesLocked(what string) map[string]int {
	files := map[string]int{}
	for _, e := range a.events {
		if e.What == what && e.File != "" {
			files[e.File]++
		}
	}
	return files
}

// inHandLocked lists what a worker has begun and not ended.
func (a *account) inHandLocked(who string) string {
	files := map[string]bool{}
	for _, e := range a.events {
		switch {
		case e.Who != who:
		case e.What == "began":
			files[e.File] = true
		case e.What == "gone":
			clear(files)
		default:
			delete(files, e.File)
		}
	}
	return strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(files)), " "), "page-", "")
}

// tell says who does what.
func (a *account) tell(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var hands strings.Builder
	for _, worker := range workers {
		fmt.Fprintf(&hands, "   %s: %-5s", worker, a.inHandLocked(worker))
	}
	a.printLocked("%2d done%s", len(a.filesLocked("done")), strings.TrimRight(hands.String(), " "))
	return nil
}

// kill kills somebody when some files are done, and a worker when it has files in hand.
func (a *account) kill(ctx context.Context) error {
	victim := workers[1]
	if *killOwner {
		victim = owner
	}
	kill := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.filesLocked("done")) < killAfter || !*killOwner && a.inHandLocked(victim) == "" {
			return false
		}
		killed := event{Time: time.Now(), Who: victim, What: "killed"}
		for _, e := range a.events {
			if e.Who == victim && e.What == "started" {
				killed.Process = e.Process
			}
		}
		if p, err := os.FindProcess(killed.Process); err == nil {
			_ = p.Kill()
		}
		a.events = append(a.events, killed)
		a.printLocked("%s: killed, process %d", victim, killed.Process)
		return true
	}
	for !kill() {
		if err := traigo.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// conclude says what was made, and how, and returns an error if that is not as it should be.
func (a *account) conclude(dir string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	good, err := checkFiles(dir)
	if err != nil {
		return err
	}
	var wrong []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	done, twice := a.filesLocked("done"), 0
	for _, times := range done {
		if times > 1 {
			twice++
		}
	}
	fmt.Printf("\n%d of %d files are there, and checked. Made once: %d, twice: %d.\n", good, fileCount, len(done)-twice, twice)
	check(good == fileCount, "files are missing")
	check(twice == 0, "files were made twice")

	var victim string
	var killed, back, last time.Time // last: when the last attempt was stopped
	before, meanwhile, stopped, running, leftOver := 0, 0, 0, 0, 0
	for _, e := range a.events {
		isAway := !killed.IsZero() && back.IsZero()
		switch e.What {
		case "killed":
			victim, killed = e.Who, e.Time
		case "started":
			if isAway && e.Who == victim {
				back, leftOver = e.Time, running
			}
		case "began":
			running++
		case "stopped":
			running--
			if !killed.IsZero() {
				stopped++
				last = e.Time
			}
		case "done":
			running--
			switch {
			case killed.IsZero():
				before++
			case isAway:
				meanwhile++
			}
		}
	}
	check(!killed.IsZero() && !back.IsZero(), "nobody was killed and came back")
	if *killOwner {
		fmt.Printf("The owner was away for %.1f s; its lease is %.0f s. ", back.Sub(killed).Seconds(), lease.Seconds())
		fmt.Printf("Made before: %d, meanwhile: %d,\nafter: %d. Attempts that were stopped: %d", before, meanwhile, len(done)-before-meanwhile, stopped)
		if stopped > 0 {
			fmt.Printf(", the last one %.1f s after the kill", last.Sub(killed).Seconds())
		}
		fmt.Println(".")
		check(len(a.filesLocked("found")) == 0, "what had succeeded was begun again")
		check(*away < *lease+time.Second || leftOver == 0, "%d attempts ran on after the lease", leftOver)
		check(before+meanwhile < fileCount, "nothing was left when the owner came back")
		check(*away >= *lease || stopped == 0, "%d attempts were stopped, but the owner was back in time", stopped)
	}
	return errors.Join(wrong...)
}

// checkFiles decompresses what was made, and returns how many files are what they were.
func checkFiles(dir string) (good int, err error) {
	made, err := filepath.Glob(filepath.Join(dir, "out", "*.gz"))
	for _, target := range made {
		packed, err := os.ReadFile(target)
		if err != nil {
			return 0, err
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", target, err)
		}
		is, err := io.ReadAll(z)
		was, err2 := os.ReadFile(filepath.Join(dir, "in", z.Name))
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(is, was) {
			return 0, fmt.Errorf("%s is not what %s was: %w", target, z.Name, err)
		}
		good++
	}
	return good, err
}

// makeFiles makes what is to be compressed.
func makeFiles(dir string) error {
	err := errors.Join(os.Mkdir(filepath.Join(dir, "in"), 0o700), os.Mkdir(filepath.Join(dir, "out"), 0o700))
	for i := range fileCount {
		text := strings.Repeat(fmt.Sprintf("This is page %d. ", i+1), 10_000)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "in", fmt.Sprintf("page-%02d", i+1)), []byte(text), 0o600))
	}
	return err
}
