// Thumbnails makes a thumbnail of every image in a directory, and trusts none of them:
//
//	go run ./examples/thumbnails [-out DIR] [-timeout d] [-memory MiB] DIR
//
// An image can have the decoder run for ever, or fill the memory, and a goroutine that does
// so cannot be stopped. So each image is decoded in a worker process, which is killed when it
// takes too long or too much. That is a failure of this image; the others go on. There are
// images to try it with:
//
//	go run ./examples/thumbnails -out /tmp/thumbnails examples/thumbnails/testdata
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/proc"
)

func main() {
	proc.Serve() // a worker runs the same program, and stays in here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does the work of main, with parameters in place of globals, and returns the exit
// code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var a album
	flags := flag.NewFlagSet("thumbnails", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: thumbnails [flags] DIR")
		flags.PrintDefaults()
	}
	flags.StringVar(&a.out, "out", "thumbnails", "write the thumbnails to `directory`")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Second, "fail an image that takes longer")
	flags.Int64Var(&a.memory, "memory", 256, "fail an image that takes more than so many `MiB`")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() != 1, a.timeout <= 0, a.memory < 1:
		flags.Usage()
		return 2
	}
	a.dir = flags.Arg(0)
	files, err := a.images()
	if err == nil {
		err = os.MkdirAll(a.out, 0o755)
	}
	if err != nil {
		fmt.Fprintln(stderr, "thumbnails:", err)
		return 1
	}
	r := newReport(a.out, len(files), stdout, stderr)
	return r.conclude(a.makeAll(ctx, files, r))
}

// An album is a directory of images, and what may be spent on each of them.
type album struct {
	dir, out string
	timeout  time.Duration
	memory   int64 // in MiB
}

func (a *album) images() (files []string, err error) {
	entries, err := os.ReadDir(a.dir)
	for _, entry := range entries {
		switch strings.ToLower(filepath.Ext(entry.Name())) {
		case ".png", ".jpg", ".jpeg", ".gif", ".rle":
			files = append(files, entry.Name())
		}
	}
	return files, err
}

// makeAll makes the thumbnails of all files. What fails is in the report; the error says that
// not all of them were tried.
func (a *album) makeAll(ctx context.Context, files []string, r *report) error {
	return traigo.Run(ctx, func(ctx context.Context, s *traigo.Scope) error {
		// As many images are begun as there are workers: one that waited for a worker would
		// wait at the expense of its time limit.
		n := runtime.GOMAXPROCS(0)
		// Decoders do not look at their ctx, so there is nothing to wait for before the kill.
		proc.Open(s, proc.Limit(n), proc.KillAfter(0), proc.Memory(a.memory<<20))
		for image, err := range traigo.AsCompleted(ctx, slices.Values(files), a.makeOne, traigo.Limit(n)) {
			if err != nil {
				return err
			}
			r.add(image)
		}
		return nil
	}, traigo.Name("thumbnails"))
}

// A result is an image, and why there is no thumbnail of it.
type result struct{ file, failure string }

// makeOne makes the thumbnail of one image. Its failures are part of the result, which names
// the image. The error is nil unless the program was interrupted.
func (a *album) makeOne(ctx context.Context, file string) (result, error) {
	err := traigo.Run(ctx, func(ctx context.Context, _ *traigo.Scope) error {
		// A worker that is killed may leave half a file, so the file is written here.
		png, err := thumb.Run(ctx, job{Path: filepath.Join(a.dir, file), Size: 128})
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(a.out, file+".png"), png, 0o644)
	}, traigo.Name(file), traigo.Timeout(a.timeout), traigo.PanicAsError())
	if err != nil && ctx.Err() != nil {
		return result{}, err
	}
	return result{file, a.explain(err)}, nil
}

// explain says in a few words why an image has failed.
func (a *album) explain(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, proc.ErrMemory) {
		return fmt.Sprintf("memory limit: more than %d MiB", a.memory)
	}
	if _, ok := errors.AsType[*traigo.TimeoutError](err); ok {
		return fmt.Sprintf("time limit: more than %v", a.timeout)
	}
	if crash, ok := errors.AsType[*traigo.PanicError](err); ok {
		return fmt.Sprintf("crashed: %v", crash.Recovered.Value)
	}
	if crash, ok := errors.AsType[*proc.BrokenWorkerError](err); ok {
		return fmt.Sprintf("crashed: %v", crash)
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return file.Error()
	}
	if damage, ok := errors.AsType[*traigo.RemoteError](err); ok {
		return fmt.Sprintf("damaged: %v", damage)
	}
	return err.Error()
}
