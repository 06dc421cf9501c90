package guide_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/traigo/traigo/proc"
)

func TestMain(m *testing.M) {
	proc.Serve()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer func() {
		for _, binary := range built {
			_ = os.RemoveAll(filepath.Dir(binary))
		}
	}()
	return m.Run()
}

var ctx = context.Background()

// logger writes to standard output what slog.Default would write to standard error, without
// the time.
var logger = slog.New(newHandler(slog.LevelInfo))

func newHandler(level slog.Level) slog.Handler {
	return slog.NewTextHandler(stdout{}, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

// A stdout is os.Stdout as it is at the time of a write: that of an Example is its own.
type stdout struct{}

func (stdout) Write(p []byte) (int, error) { return os.Stdout.Write(p) }

// shows fails the test unless got is want, which a page shows.
func shows(t *testing.T, want, got string) {
	t.Helper()
	assert.Equal(t, strings.TrimSpace(want), strings.TrimSpace(got))
}

// untilCanceled stands for work that goes on until it is canceled.
func untilCanceled(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// built has the executables of the programs that were built, by their source.
var built = map[string]string{}

// build compiles a program and returns the path of its executable.
func build(t *testing.T, program string) string {
	t.Helper()
	if built[program] == "" {
		dir, err := os.MkdirTemp("", "guide") //nolint:usetesting // it is used by the next run of the test as well
		require.NoError(t, err)
		source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
		built[program] = binary
		require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return built[program]
}

// programOf returns the n-th whole program of a page.
func programOf(t *testing.T, name string, n int) string {
	t.Helper()
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if p.name == name && b.isProgram() {
				if n == 0 {
					return b.text
				}
				n--
			}
		}
	}
	require.FailNow(t, "no such program", name)
	return ""
}

var (
	errReset  = errors.New("connection reset")
	errEnough = errors.New("enough")
)

var aTime = regexp.MustCompile(`\b[0-9.]+( ?)(ns|µs|ms|s)\b`)

// sameTimes replaces each time in text by 1ms.
func sameTimes(text string) string { return aTime.ReplaceAllString(text, "1${1}ms") }

// sameAges replaces the ages of tasks that were given up.
func sameAges(text string) string {
	return regexp.MustCompile(`age [0-9.]+ms`).ReplaceAllString(text, "age 20ms")
}

// sameStacks makes stacks the same wherever and whenever they are made.
func sameStacks(text string) string {
	for pattern, with := range map[string]string{
		`goroutine \d+`: "goroutine 7",
		`[\w./-]+/guide_test\.\w+((\.\w+)*)\(.*\)`: "main.run$1(...)",
		`\S+/\w+\.go:\d+ \+0x\w+`:                  "main.go:17 +0x25",
		` \(durable\), synctest bubble \d+`:        "",
		`\d+ frames`:                               "6 frames",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	return text
}
