// Checksum prints the SHA-256 digest of every regular file below a directory,
// in the order of their paths and in the format of sha256sum:
//
//	go run ./examples/checksum [-j n] [-timeout d] [-total d] [DIR]
//
// Each file is a task whose name is the path of the file. So an error names the file,
// and no function has to wrap it.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	"github.com/traigo/traigo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does the work of main, with parameters in place of globals, and returns the exit
// code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var j job
	flags := flag.NewFlagSet("checksum", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: checksum [flags] [DIR]   (DIR is . unless given)")
		flags.PrintDefaults()
	}
	flags.IntVar(&j.limit, "j", 2*runtime.GOMAXPROCS(0), "read at most `n` files at once")
	flags.DurationVar(&j.timeout, "timeout", 10*time.Minute, "fail when one file takes longer; 0 means no limit")
	flags.DurationVar(&j.total, "total", 0, "fail when all files together take longer; 0 means no limit")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case j.limit < 1, j.timeout < 0, j.total < 0, flags.NArg() > 1:
		flags.Usage()
		return 2
	}

	dir := "."
	if flags.NArg() == 1 {
		dir = flags.Arg(0)
	}
	if _, err := os.ReadDir(dir); err != nil {
		fmt.Fprintln(stderr, "checksum:", err)
		return 1
	}
	j.files = os.DirFS(dir)
	j.out = newReport(dir, stdout, stderr)
	return j.out.conclude(j.digestAll(ctx))
}

type job struct {
	files          fs.FS
	limit          int
	timeout, total time.Duration
	out            *report
}

// digestAll digests all files. The first error cancels the rest and is returned.
func (j *job) digestAll(ctx context.Context) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		if j.out.terminal {
			s.Spawn(j.out.progress, traigo.Name("progress"), traigo.Awaited(false))
		}
		paths, err := regularFiles(ctx, j.files)
		if err != nil {
			return err
		}
		j.out.expect(paths)
		for i, path := range paths {
			s.Spawn(func(ctx context.Context) error { // waits for a slot
				sum, size, err := j.digest(ctx, path)
				if err != nil {
					return err
				}
				return j.out.digested(i, sum, size)
			}, traigo.Name(path), traigo.Timeout(j.timeout))
		}
		return nil
	},
		traigo.Name("checksum"), traigo.Limit(j.limit), traigo.Timeout(j.total),
		// A read from a disk that hangs does not return when ctx is canceled.
		traigo.CancelTimeout(time.Second))
}

// regularFiles returns the sorted paths of the regular files in files. It does not follow
// links, and leaves out pipes and devices, which may have no end.
func regularFiles(ctx context.Context, files fs.FS) ([]string, error) {
	var paths []string
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		if err == nil {
			err = ctx.Err()
		}
		return err
	})
	// WalkDir sorts each directory by itself, and so has "a/b" before "a.txt".
	slices.Sort(paths)
	return paths, err
}

// digest reads the file in pieces, and looks at ctx after each of them.
func (j *job) digest(ctx context.Context, path string) (sum string, size int64, err error) {
	file, err := j.files.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()

	hash, buf := sha256.New(), make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := file.Read(buf)
		hash.Write(buf[:n])
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(hash.Sum(nil)), size, nil
		}
		if err != nil {
			return "", size, err
		}
	}
	return "", size, ctx.Err()
}
