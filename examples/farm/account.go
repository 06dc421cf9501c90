package main

import (
	"bytes"
	"compress/gzip"
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
)

// An account has what the workers tell, and what becomes of them.
type account struct {
	out   io.Writer
	begun time.Time

	mu        sync.Mutex
	processes map[string]*os.Process
	inHand    map[string]map[string]bool // worker → files
	did       map[string]int             // worker → files
	done      map[string]int             // file → how often
	found     int                        // attempts that had nothing to do
	lost      int                        // those that a worker had in hand when it was killed
	victim    string                     // who is killed
	killed    time.Time                  // and when
	back      time.Time                  // when it was started again
	canceled  []event                    // attempts that were
	late      []event                    // what was told when the lease of the owner was over, until it was back
	before    int                        // files done when somebody was killed
	meanwhile int                        // and when the victim was back
}

func newAccount(out io.Writer) *account {
	return &account{
		out: out, begun: time.Now(), processes: map[string]*os.Process{}, inHand: map[string]map[string]bool{},
		did: map[string]int{}, done: map[string]int{},
	}
}

// sayLocked prints a line.
func (a *account) sayLocked(format string, args ...any) {
	fmt.Fprintf(a.out, "%5.1f s  %s\n", time.Since(a.begun).Seconds(), fmt.Sprintf(format, args...))
}

func (a *account) started(who string, p *os.Process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.processes[who] = p
	if who == a.victim {
		a.back, a.meanwhile = time.Now(), len(a.done)
		a.sayLocked("%s is started again, as process %d", who, p.Pid)
		return
	}
	a.sayLocked("%s is process %d", who, p.Pid)
}

// ended is called when a process has ended, and all that it has told was noted.
func (a *account) ended(who string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch hand := a.handLocked(who); {
	case who == a.victim && hand != "":
		a.lost += len(a.inHand[who])
		a.sayLocked("%s is gone, and has not finished %s", who, hand)
	case err != nil && who != a.victim:
		a.sayLocked("%s has ended: %v", who, err)
	}
	delete(a.inHand, who)
}

// handLocked lists what a worker has in hand.
func (a *account) handLocked(who string) string {
	return strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(a.inHand[who])), " "), "page-", "")
}

// note takes what a worker tells.
func (a *account) note(who string, e event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.killed.IsZero() && a.back.IsZero() && e.Time.Sub(a.killed) > lease+time.Second {
		a.late = append(a.late, e)
	}
	if a.inHand[who] == nil {
		a.inHand[who] = map[string]bool{}
	}
	delete(a.inHand[who], e.File)
	switch e.What {
	case "began":
		a.inHand[who][e.File] = true
		if e.Attempt > 1 {
			a.sayLocked("%s begins %s again: attempt %d", who, e.File, e.Attempt)
		}
	case "done":
		a.done[e.File]++
		a.did[who]++
	case "found":
		a.found++
	case "ended":
		a.canceled = append(a.canceled, e)
		if len(a.canceled) == 1 {
			a.sayLocked("%s stops working at %s, because\n         %s", who, e.File, e.Why)
		}
	}
}

// tick says who does what.
func (a *account) tick() {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := fmt.Sprintf("%2d done", len(a.done))
	for i := range workers {
		who := fmt.Sprintf("worker %d", i+1)
		line += fmt.Sprintf("   %s: %-5s", who, a.handLocked(who))
	}
	a.sayLocked("%s", strings.TrimRight(line, " "))
}

// kill kills somebody in the middle: when some files are done and, if it is a worker, when it has
// one in hand. It reports whether it is so.
func (a *account) kill(victim string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	isIdle := strings.HasPrefix(victim, "worker") && len(a.inHand[victim]) == 0
	if len(a.done) < killAfter || isIdle {
		return false
	}
	a.victim, a.killed, a.before = victim, time.Now(), len(a.done)
	a.sayLocked("%s is killed now: kill -9 %d", victim, a.processes[victim].Pid)
	_ = a.processes[victim].Kill()
	return true
}

// conclude checks what was made, and how, and says that.
func (a *account) conclude(dir string, ownerWasKilled bool, away time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := checkFiles(dir)
	if err != nil {
		return err
	}
	twice := 0
	for _, times := range a.done {
		if times > 1 {
			twice++
		}
	}
	fmt.Fprintf(a.out, "\n%d of %d files are there, and were checked. Done once: %d, twice: %d.\n", n, files, len(a.done)-twice, twice)
	for i := range workers {
		who := fmt.Sprintf("worker %d", i+1)
		fmt.Fprintf(a.out, "%s has done %d. ", who, a.did[who])
	}
	fmt.Fprintln(a.out)
	var wrong []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	check(n == files, "%d files are missing", files-n)
	check(twice == 0, "%d files were done twice", twice)
	check(!a.killed.IsZero(), "nobody was killed")
	if !ownerWasKilled {
		fmt.Fprintf(a.out, "Lost with %s: %d, which others have done.\n", a.victim, a.lost)
		check(a.lost > 0 || a.found > 0, "the worker that was killed had nothing in hand")
		return errors.Join(wrong...)
	}
	fmt.Fprintf(a.out, "The owner was away for %.1f s, and its lease is %v. Files done before: %d, while\nit was away: %d, after: %d. ",
		a.back.Sub(a.killed).Seconds(), lease, a.before, a.meanwhile-a.before, len(a.done)-a.meanwhile)
	fmt.Fprintf(a.out, "Attempts stopped: %d", len(a.canceled))
	if len(a.canceled) > 0 {
		fmt.Fprintf(a.out, ", the last after %.1f s", a.canceled[len(a.canceled)-1].Time.Sub(a.killed).Seconds())
	}
	fmt.Fprintln(a.out, ".")
	check(a.found == 0, "%d files were begun again when they were done", a.found)
	if away > lease+time.Second {
		check(len(a.late) == 0, "after the end of the lease workers have still told of %v", a.late)
		check(a.meanwhile < files, "everything was done before the owner was back")
	} else {
		check(len(a.canceled) == 0, "the owner was back in time, and %d attempts were stopped", len(a.canceled))
	}
	return errors.Join(wrong...)
}

// checkFiles decompresses what was made, and returns how many files are what they were.
func checkFiles(dir string) (int, error) {
	made, err := filepath.Glob(filepath.Join(dir, "out", "*.gz"))
	if err != nil {
		return 0, err
	}
	good := map[string]bool{}
	for _, path := range made {
		packed, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		was, err := os.ReadFile(filepath.Join(dir, "in", z.Name))
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(text, was) {
			return 0, fmt.Errorf("%s is not what %s was", path, z.Name)
		}
		good[z.Name] = true
	}
	return len(good), nil
}
