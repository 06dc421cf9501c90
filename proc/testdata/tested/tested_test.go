// Package tested has a test that calls a function in a worker. It is run by the tests of
// package proc, in the ways in which people run tests.
package tested

import (
	"context"
	"os"
	"testing"

	"github.com/traigo/traigo/proc"
)

var args = proc.Func("args", func(context.Context, int) ([]string, error) { return os.Args, nil })

func TestMain(m *testing.M) {
	proc.Serve()
	os.Exit(m.Run())
}

func TestWorkerOfATestHasNoArguments(t *testing.T) {
	got, err := args.Run(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != os.Args[0] {
		t.Fatalf("os.Args of the worker is %q, want %q", got, os.Args[:1])
	}
}
