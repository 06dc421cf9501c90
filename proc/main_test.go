package proc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/proc"
)

// The functions of the tests run in workers of the test binary.
func TestMain(m *testing.M) {
	proc.Serve()
	_ = os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0") // a data race in a worker breaks its call
	code := m.Run()
	if left := others(); len(left) > 0 && code == 0 {
		fmt.Println("processes of this program are left:", left)
		code = 1
	}
	os.Exit(code)
}

// noneLeft has the test fail if processes of its binary are left when it has ended.
func noneLeft(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		assert.Eventually(t, func() bool { return len(others()) == 0 }, 20*time.Second, 10*time.Millisecond,
			"processes of this program are left: %v", others())
	})
}

// others returns the numbers of the processes, other than this one, that run the test binary.
// Zombies have no executable.
func others() (pids []int) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pid != os.Getpid() && strings.TrimSuffix(exe, " (deleted)") == strings.TrimSuffix(self, " (deleted)") {
			pids = append(pids, pid)
		}
	}
	return pids
}
