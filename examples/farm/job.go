package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

const (
	queue = "farm"
	lease = 5 * time.Second // so long nobody misses who is gone; 30 s is the default
	slots = 2               // files at once in a worker
)

// compress compresses the file File of Dir/in. It runs on some worker, and once more on another one
// if that is lost, perhaps while the first still runs. So what it makes has a name that all attempts
// share, and appears there complete: an attempt that finds it has nothing to do.
var compress = temporal.Func("compress", func(ctx context.Context, in struct{ Dir, File string }) (size int64, err error) {
	attempt := temporal.Current(ctx)
	target := filepath.Join(in.Dir, "out", path.Base(attempt.Task)+".gz")
	if info, err := os.Stat(target); err == nil {
		tell("found", in.File, attempt.Number, nil)
		return info.Size(), nil
	}
	tell("began", in.File, attempt.Number, nil)
	defer func() {
		if err != nil {
			tell("ended", in.File, attempt.Number, context.Cause(ctx))
		}
	}()
	from, err := os.Open(filepath.Join(in.Dir, "in", in.File))
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(target), in.File)
	if err != nil {
		return 0, err
	}
	defer os.Remove(to.Name()) // it is not there any more if all goes well
	defer to.Close()
	if size, err = pack(ctx, to, from); err != nil {
		return 0, err
	}
	if err := os.Rename(to.Name(), target); err != nil {
		return 0, err
	}
	tell("done", in.File, attempt.Number, nil)
	return size, nil
})

// pack compresses, piece by piece, until ctx ends. It rests between them, so that one can watch.
func pack(ctx context.Context, to *os.File, from *os.File) (size int64, err error) {
	z := gzip.NewWriter(to)
	z.Name = filepath.Base(from.Name())
	for err == nil {
		if _, err = io.CopyN(z, from, pieceSize); err == nil {
			err = traigo.Sleep(ctx, 100*time.Millisecond)
		}
	}
	if err != io.EOF { //nolint:errorlint // CopyN returns it as it is
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	info, err := to.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// work is a worker: all that a machine needs to be one.
func work(ctx context.Context, _ *traigo.Scope) error {
	engine, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return temporal.Work(ctx, engine, queue, compress, temporal.Slots(slots))
}

// own is the owner: an ordinary program that compresses all files in a scope. That this is run
// again after it was killed, and does only what is left, is all in Resume.
func own(ctx context.Context, id, dir string) error {
	engine, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	files, err := os.ReadDir(filepath.Join(dir, "in"))
	if err != nil {
		return err
	}
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		remote, err := temporal.Open(s, engine, queue, temporal.Resume(id), temporal.Lease(lease))
		if err != nil {
			return err
		}
		for _, file := range files {
			compress.Spawn(remote, struct{ Dir, File string }{dir, file.Name()}, traigo.Name(file.Name()))
		}
		return nil
	}, traigo.Name("owner"))
}

// An event is what a worker tells of a file: that an attempt began, has done it or found it done,
// or has ended without that, and why.
type event struct {
	Time    time.Time
	What    string
	File    string
	Attempt int
	Why     string
}

func tell(what, file string, attempt int, why error) {
	e := event{Time: time.Now(), What: what, File: file, Attempt: attempt}
	if why != nil {
		e.Why = why.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(e) // in one write
}
