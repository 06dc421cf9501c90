package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/traigo/traigo"
	"github.com/traigo/traigo/temporal"
)

const queue = "farm"

// A job is the file File of Dir/in.
type job struct{ Dir, File string }

// compress compresses a file. It runs on some worker, and again on another if that is lost, perhaps
// while the first still runs. So what it makes has a name that all attempts of the task share, and
// appears there complete: an attempt that finds it has nothing to do.
var compress = temporal.Func("compress", func(ctx context.Context, j job) (target string, err error) {
	attempt := temporal.Current(ctx)
	say := func(what, why string) {
		_ = json.NewEncoder(os.Stdout).Encode(event{Time: time.Now(), What: what, File: j.File, Attempt: attempt.Number, Why: why})
	}
	target = filepath.Join(j.Dir, "out", path.Base(attempt.Task)+".gz")
	if _, err := os.Stat(target); err == nil {
		say("found", "")
		return target, nil
	}
	say("began", "")
	if err := pack(ctx, filepath.Join(j.Dir, "in", j.File), target); err != nil {
		say("stopped", context.Cause(ctx).Error())
		return "", err
	}
	say("done", "")
	return target, nil
})

// pack compresses, piece by piece, until ctx ends. It rests between them, so that one can watch.
func pack(ctx context.Context, source, target string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(target), "unfinished")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name()) // when all went well it has another name
	defer to.Close()
	z := gzip.NewWriter(to)
	z.Name = filepath.Base(source)
	for err == nil {
		if _, err = io.CopyN(z, from, pieceSize); err == nil {
			err = traigo.Sleep(ctx, 100*time.Millisecond)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.Rename(to.Name(), target)
}

// work is a worker: all that a machine needs to be one.
func work(ctx context.Context, _ *traigo.Scope) error {
	engine, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return temporal.Work(ctx, engine, queue, compress, temporal.Slots(2))
}

// own is the owner: an ordinary program that has all files compressed in a scope. That it is run
// again after it was killed, and does only what is left, is all in Resume.
func own(ctx context.Context, _ *traigo.Scope) error {
	id, dir := flag.Arg(1), flag.Arg(2)
	files, err := os.ReadDir(filepath.Join(dir, "in"))
	if err != nil {
		return err
	}
	engine, err := temporal.Connect(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return traigo.Run(ctx, func(_ context.Context, s *traigo.Scope) error {
		remote, err := temporal.Open(s, engine, queue, temporal.Resume(id), temporal.Lease(*lease))
		if err != nil {
			return err
		}
		for _, file := range files {
			compress.Spawn(remote, job{dir, file.Name()}, traigo.Name(file.Name()))
		}
		return nil
	}, traigo.Name("owner"))
}
