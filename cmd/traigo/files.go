package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/traigo/traigo/record/history"
)

// What the commands read and write.

// A source is what a command reads: the file of a recording, a directory of them, or standard
// input.
type source struct {
	name  string // - is standard input
	stdin io.Reader
}

// read returns the history in the source.
func (s source) read() (*history.History, error) {
	if s.name == "-" {
		return named("standard input", s.stdin)
	}
	if isDirectory(s.name) {
		return history.ReadDir(s.name)
	}
	file, err := os.Open(s.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %q; \"traigo demo\" makes a recording to try, record.Create one of your program", s.name)
	case err != nil:
		return nil, err
	}
	defer file.Close()
	return named(s.name, file)
}

// named reads a recording, and adds the name to an error.
func named(name string, r io.Reader) (*history.History, error) {
	h, err := history.ReadAny(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

// has reports whether a file is one that the source consists of, by whatever name.
func (s source) has(file os.FileInfo) bool {
	if in, ok := s.stdin.(*os.File); ok && s.name == "-" {
		info, err := in.Stat()
		return err == nil && os.SameFile(info, file)
	}
	if info, err := os.Stat(s.name); err != nil || os.SameFile(info, file) {
		return err == nil
	}
	if !isDirectory(s.name) {
		return false
	}
	entries, _ := os.ReadDir(s.name) // if it cannot be read, there is no recording to be lost
	for _, e := range entries {
		if !strings.Contains(e.Name(), ".jsonl") {
			continue
		}
		if info, err := os.Stat(filepath.Join(s.name, e.Name())); err == nil && os.SameFile(info, file) {
			return true
		}
	}
	return false
}

// A target is what a command writes: a file, or standard output.
type target struct {
	name   string // - is standard output
	stdout io.Writer
}

// target returns the target with a name, for what is made of a source. The error says why it
// must not be written: it is a recording, which cannot be made again.
func (env *environment) target(name string, of source) (target, error) {
	t := target{name, env.stdout}
	if name == "-" {
		if out, ok := env.stdout.(*os.File); ok {
			if info, err := out.Stat(); err == nil && info.Mode().IsRegular() && of.has(info) {
				return t, errors.New("standard output is the recording itself, which would be lost: send it to another file")
			}
		}
		return t, nil
	}
	if info, err := os.Stat(name); err == nil { // otherwise it is not there, or says so when it is opened
		switch {
		case info.IsDir():
			return t, fmt.Errorf("%s is a directory: -o takes a file", name)
		case info.Mode().IsRegular() && (of.has(info) || isRecording(name)):
			return t, fmt.Errorf("%s is a recording, and would be lost: -o takes another file", name)
		}
	}
	return t, nil
}

// page returns the target for the page of a source, if no name is given. Only a page of
// traigo is overwritten there.
func (env *environment) page(of source) (target, error) {
	t, err := env.target(pagePath(of.name), of)
	if err != nil {
		return t, err
	}
	if info, err := os.Stat(t.name); err == nil && !info.Mode().IsRegular() { // to open a pipe may take for ever
		return t, fmt.Errorf("%s is there, and is no regular file: say with -o which file to write", t.name)
	}
	if begin, err := beginOf(t.name); err == nil && len(begin) > 0 && !bytes.Contains(begin, []byte("<title>traigo")) {
		return t, fmt.Errorf("%s is there, and is no page of traigo: say with -o which file to write", t.name)
	}
	return t, nil
}

// pagePath returns where the page of a recording is written without -o. The number of a
// rotated file stays in the name, so that each of the files has a page of its own. The page
// of a directory is beside it.
func pagePath(file string) string {
	if file == "-" || isDevice(file) {
		return "traigo.html"
	}
	if isDirectory(file) {
		if name := filepath.Base(file); name == "." || name == ".." {
			if full, err := filepath.Abs(file); err == nil {
				file = full
			}
		}
		if file = filepath.Clean(file); filepath.Dir(file) == file {
			return "traigo.html" // the root of the file system has no name
		}
		return file + ".html"
	}
	if ext := filepath.Ext(file); ext == ".jsonl" || ext == ".json" {
		file = strings.TrimSuffix(file, ext)
	}
	return file + ".html"
}

// write calls do with a writer for the target. A file is written beside the target, and takes
// its name when it is complete: if do fails, what was there stays. A file that has several
// names (hard links) gets a new content instead, so that all of them show it.
func (t target) write(do func(io.Writer) error) error {
	if t.name == "-" {
		return do(t.stdout)
	}
	name, err := filepath.EvalSymlinks(t.name)
	if err != nil {
		name = t.name // nothing is there, which is not an error
	}
	info, err := os.Lstat(name)
	switch {
	case isDevice(t.name), err == nil && !info.Mode().IsRegular(): // a pipe, or a link to a file that is not there yet
		return fill(name, os.O_TRUNC, do)
	case err == nil:
		if err := fill(name, 0, nil); err != nil { // a file that must not be written must not be replaced either
			return err
		}
	}
	return replace(name, info, do)
}

// replace writes a new file and gives it the name of another one, which info is about if it is
// there, and its permissions. If that one cannot be replaced, because of the directory or of a
// mount, it is written itself.
func replace(name string, info os.FileInfo, do func(io.Writer) error) error {
	temporary := filepath.Join(filepath.Dir(name), fmt.Sprintf(".traigo-%08x.tmp", rand.Uint32()))
	defer removeAtSignal(temporary)()
	err := fill(temporary, os.O_EXCL, do)
	if failed, ok := errors.AsType[*fs.PathError](err); ok && failed.Path == temporary {
		if info != nil && failed.Op == "open" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
			return fill(name, os.O_TRUNC, do)
		}
		failed.Path = name
	}
	if err == nil {
		err = move(temporary, name, info)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		_ = os.Remove(temporary) // there is none if it could not be made
	}
	return err
}

// move gives a file the name of another one, or that one the content of the file.
func move(file, name string, info os.FileInfo) error {
	if info == nil {
		return os.Rename(file, name)
	}
	if !hasOtherNames(info) {
		err := os.Chmod(file, info.Mode().Perm())
		if err == nil {
			err = os.Rename(file, name)
		}
		if err == nil {
			return nil
		}
	}
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	err = fill(name, os.O_TRUNC, func(to io.Writer) error {
		_, err := io.Copy(to, from)
		return err
	})
	return errors.Join(err, from.Close(), os.Remove(file))
}

// removeAtSignal removes a temporary file and ends the program if it is interrupted before the
// function that it returns is called.
func removeAtSignal(file string) (stop func()) {
	received := make(chan os.Signal, 1)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-received; ok {
			_ = os.Remove(file)
			os.Exit(exitFailed)
		}
	}()
	return func() {
		signal.Stop(received)
		close(received)
	}
}

// fill opens a file for writing, and calls do with it unless do is nil.
func fill(name string, flag int, do func(io.Writer) error) error {
	if do != nil {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(name, os.O_WRONLY|flag, 0o644)
	if err != nil {
		return err
	}
	if do != nil {
		err = do(f)
	}
	return errors.Join(err, f.Close())
}

// isDevice reports whether a file has its name from the system, such as /dev/stdin. It may be
// a regular file under another name.
func isDevice(file string) bool {
	file = filepath.ToSlash(filepath.Clean(file))
	return strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "/proc/")
}

func isDirectory(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.IsDir()
}

// isRecording reports whether a file begins as a log of traigo.
func isRecording(file string) bool {
	begin, err := beginOf(file)
	return err == nil && bytes.HasPrefix(bytes.TrimLeft(begin, "\ufeff \t\r\n"), []byte(`{"traigo":`))
}

// beginOf returns the first bytes of a file.
func beginOf(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}
