package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/traigo/traigo/bench"
)

// weight measures in a new process, which has no goroutines that could be reused.
func weight(way string, n int) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command(self, "-weigh", way, "-tasks", strconv.Itoa(n)).Output()
	if err != nil {
		return 0, fmt.Errorf("weigh %d tasks of %s: %w", n, way, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

func weights(e bench.Effort) (table, error) {
	t := table{
		title:  "Memory of parked tasks",
		header: []string{"tasks", "traigo, bytes a task", "go, bytes a goroutine", "ratio"},
		note:   "Everything that a parked task keeps alive (its stack, the goroutine, the closure, the task), in a new process each.",
	}
	for _, n := range []int{1000, e.Large(100_000), e.Large(1_000_000)} {
		own, err := weight("traigo", n)
		if err != nil {
			return t, err
		}
		bare, err := weight("go", n)
		if err != nil {
			return t, err
		}
		t.add(number(n), fmt.Sprintf("%.0f", own), fmt.Sprintf("%.0f", bare), fmt.Sprintf("%.2f", own/bare))
	}
	return t, nil
}
