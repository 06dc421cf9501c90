package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests run the program itself: this executable, with another environment.
func TestMain(m *testing.M) {
	if os.Getenv("PIPELINE") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns the command that runs the program with args.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), executable, args...)
	cmd.Env = append(os.Environ(), "PIPELINE=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run returns what the program writes when it reads in, and its exit status.
func run(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := program(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestSampleIsFactoredInOrder(t *testing.T) {
	code, out, errs := run(t, "", "-n", "200", "-batch", "7")
	assert.Zero(t, code)
	assert.Empty(t, errs)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 200)
	for i, text := range lines {
		number, factors, found := strings.Cut(text, ": ")
		require.True(t, found, text)
		assert.Equal(t, fmt.Sprint(1_000_000_000_000+i), number)
		product := big.NewInt(1)
		for factor := range strings.FieldsSeq(factors) {
			n, ok := new(big.Int).SetString(factor, 10)
			require.True(t, ok, text)
			assert.True(t, n.ProbablyPrime(0), text) // exact below 2⁶⁴
			product.Mul(product, n)
		}
		assert.Equal(t, number, product.String(), text)
	}
}

func TestRun(t *testing.T) {
	long := strings.Repeat("1", 70_000)
	rows := []struct {
		name string
		args []string
		in   string
		code int
		out  string
		errs string
	}{
		{"numbers", nil, "0\n1\n2\n12\n49\n97\n18446744073709551615", 0,
			"0:\n1:\n2: 2\n12: 2 2 3\n49: 7 7\n97: 97\n18446744073709551615: 3 5 17 257 641 65537 6700417\n", ""},
		{"nothing", nil, "", 0, "", ""},
		{"the first lines", []string{"-n", "2"}, "4\n6\nno number\n", 0, "4: 2 2\n6: 2 3\n", ""},
		{"all lines, if there are fewer", []string{"-n", "9"}, "4\n6\n", 0, "4: 2 2\n6: 2 3\n", ""},
		{"one at a time", []string{"-j", "1", "-batch", "1"}, "4\n6\n8\n", 0, "4: 2 2\n6: 2 3\n8: 2 2 2\n", ""},
		{"a line that is no number", nil, "4\n6\nx8\n9\n", 1, "4: 2 2\n6: 2 3\n",
			"lines written: 2\nscope \"pipeline\": line 3: strconv.ParseUint: parsing \"x8\": invalid syntax\n"},
		{"two of them", nil, "4\nx\ny\n", 1, "4: 2 2\n",
			"lines written: 1\nscope \"pipeline\": line 2: strconv.ParseUint: parsing \"x\": invalid syntax\n"},
		{"a line that is too long", nil, "4\n" + long + "\n", 1, "4: 2 2\n",
			"lines written: 1\nscope \"pipeline\": line 2: bufio.Scanner: token too long\n"},
		{"help", []string{"-h"}, "", 0, "", "usage: pipeline"},
		{"no workers", []string{"-j", "0"}, "", 2, "", "usage: pipeline"},
		{"empty batches", []string{"-batch", "0"}, "", 2, "", "usage: pipeline"},
		{"a flag that is none", []string{"-x"}, "", 2, "", "flag provided but not defined: -x"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			code, out, errs := run(t, row.in, append(row.args, "-")...)
			assert.Equal(t, row.code, code)
			assert.Equal(t, row.out, out)
			if row.errs == "" {
				assert.Empty(t, errs)
			} else {
				assert.Contains(t, errs, row.errs)
			}
		})
	}
}

func TestRunReadsAndWritesFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("in", []byte("4\n6\n"), 0o644))
	code, _, errs := run(t, "", "-o", "out", "in")
	assert.Zero(t, code)
	assert.Empty(t, errs)
	text, err := os.ReadFile("out")
	require.NoError(t, err)
	assert.Equal(t, "4: 2 2\n6: 2 3\n", string(text))

	for _, args := range [][]string{{"none"}, {"-o", filepath.Join("none", "out"), "in"}} {
		code, _, errs := run(t, "", args...)
		assert.Equal(t, 1, code, args)
		assert.Contains(t, errs, `scope "pipeline": open none`, args)
	}
}

var errFull = errors.New("disk full")

// A disk takes a number of writes, and is full then.
type disk struct {
	text   bytes.Buffer // not embedded: its WriteString would pass by Write
	writes int
}

func (d *disk) Write(p []byte) (int, error) {
	if d.writes--; d.writes < 0 {
		return 0, errFull
	}
	return d.text.Write(p)
}

// The input is a pipe that stays open. Nobody waits for its next line, and no goroutine is
// left when it is closed: the bubble would not end.
func TestPipelineEndsWithoutFurtherInput(t *testing.T) {
	rows := []struct {
		name  string
		limit int
		last  string // the third line
		disk  int
		end   time.Duration // when ctx ends
		out   string
		is    error
		says  string
	}{
		{"after the last line that is wanted", 2, "", 9, 0, "4: 2 2\n6: 2 3\n", nil, ""},
		{"after a line that is no number", 0, "x8", 9, 0, "4: 2 2\n6: 2 3\n", nil, `line 3: strconv.ParseUint: parsing "x8"`},
		{"after a write that fails", 0, "", 1, 0, "4: 2 2\n", errFull, ""},
		{"when it is interrupted", 0, "", 9, time.Second, "4: 2 2\n6: 2 3\n", context.Canceled, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.end > 0 {
					time.AfterFunc(row.end, cancel)
				}
				in, keyboard := io.Pipe()
				defer keyboard.Close()
				go func() {
					for _, text := range []string{"4\n", "6\n", row.last + "\n"} {
						if text != "\n" {
							_, _ = io.WriteString(keyboard, text)
						}
					}
				}()
				out := &disk{writes: row.disk}
				start := time.Now()
				lines, err := pipeline(ctx, in, out, 4, 1, row.limit)
				assert.Equal(t, row.out, out.text.String())
				assert.Equal(t, strings.Count(row.out, "\n"), lines)
				assert.Equal(t, row.end, time.Since(start))
				switch {
				case row.is != nil:
					require.ErrorIs(t, err, row.is)
				case row.says != "":
					require.ErrorContains(t, err, row.says)
				default:
					require.NoError(t, err)
				}
			})
		})
	}
}

// The last number is a prime, for which factor needs minutes if it does not look at its
// context.
func TestInterruptionEndsTheWorkers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := writerFunc(func(p []byte) (int, error) {
		cancel() // while the worker is busy with the second line
		return len(p), nil
	})
	lines, err := pipeline(ctx, strings.NewReader("4\n18446744073709551557\n"), out, 2, 1, 0)
	assert.Equal(t, 1, lines)
	assert.ErrorIs(t, err, context.Canceled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
