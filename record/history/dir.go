package history

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ReadDir reads the recordings in a directory, each of one process, as one history: see
// [Merge]. These are the files whose names end in .jsonl, and the older files of rotated
// recordings, which end in .jsonl.1, .jsonl.2, and so on. Other files are ignored, and so
// are the directories in it.
//
// A file that cannot be read as a recording, because it is none or its process was killed
// before it had written the first line, is left out and listed in History.Skipped: the
// recordings of a tree are wanted most when something has gone wrong with it. The error says
// if there is no recording in the directory.
func ReadDir(dir string) (*History, error) {
	names, err := recordingsIn(dir)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("history: there is no recording in %s: no file in it ends in .jsonl", dir)
	}
	d := dirReader{dir: dir, names: make(map[recording]string)}
	for len(names) > 0 {
		n := d.segments(names)
		d.add(names[:n])
		names = names[n:]
	}
	if len(d.read) == 0 {
		return nil, fmt.Errorf("history: there is no recording in %s: %s", dir, d.skipped[0])
	}
	h, err := Merge(d.read...)
	if err != nil {
		return nil, err
	}
	h.Skipped = d.skipped
	return h, nil
}

// A logFile is the name of a file of a recording: base is the name of the current one, and
// age the number of an older one, or 0.
type logFile struct {
	name, base string
	age        int
}

// recordingsIn returns the files in a directory that have the names of recordings. The files
// of one base follow each other, the oldest first.
func recordingsIn(dir string) (files []logFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, ok := logFileOf(e.Name())
		if !ok {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && !info.Mode().IsRegular() {
			continue // a pipe would be waited for
		}
		files = append(files, f)
	}
	slices.SortStableFunc(files, func(a, b logFile) int {
		if a.base != b.base {
			return strings.Compare(a.base, b.base)
		}
		return b.age - a.age
	})
	return files, nil
}

func logFileOf(name string) (f logFile, ok bool) {
	const ext = ".jsonl"
	if strings.HasSuffix(name, ext) {
		return logFile{name: name, base: name}, true
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || !strings.HasSuffix(name[:dot], ext) {
		return logFile{}, false
	}
	age, err := strconv.Atoi(name[dot+1:])
	return logFile{name: name, base: name[:dot], age: age}, err == nil && age > 0
}

// A dirReader reads the recordings of a directory.
type dirReader struct {
	dir     string
	read    []*History
	names   map[recording]string // the file that each recording was read from
	skipped []string
}

// segments returns how many of the files, from the first, are segments of one recording. A
// file with an older number may also be of an earlier run of the program.
func (d *dirReader) segments(files []logFile) int {
	n, run := 1, ""
	for ; n < len(files) && files[n].base == files[0].base; n++ {
		if n == 1 {
			run = d.runOf(files[0])
		}
		if run == "" || d.runOf(files[n]) != run {
			break
		}
	}
	return n
}

// runOf returns the run in the first line of a file; "" if it has none.
func (d *dirReader) runOf(f logFile) string {
	file, err := os.Open(filepath.Join(d.dir, f.name))
	if err != nil {
		return ""
	}
	defer file.Close()
	text, err := readLine(newInput(io.LimitReader(file, 1<<16)))
	if err != nil {
		return ""
	}
	head, err := headerOf(text)
	if err != nil {
		return ""
	}
	return head.Run
}

// add reads a recording, or adds its last file to those that are skipped.
func (d *dirReader) add(files []logFile) {
	h, name, err := d.readFiles(files)
	if err == nil {
		err = canBeMerged(h) // asked here, where it is known which file it is
	}
	if err != nil {
		d.skipped = append(d.skipped, fmt.Sprintf("%s: %s", name, strings.TrimPrefix(err.Error(), "history: ")))
		return
	}
	is := member{h.Processes[0], h}.recording()
	if other, known := d.names[is]; known {
		d.skipped = append(d.skipped, fmt.Sprintf("%s: it is the same recording as %s", name, other))
		return
	}
	d.names[is] = name
	d.read = append(d.read, h)
}

// readFiles reads the segments of one recording. It returns the name of the last, or of the
// one that the error is about.
func (d *dirReader) readFiles(files []logFile) (h *History, name string, err error) {
	rd := newReader()
	for i, f := range files {
		if err := d.readFile(rd, f, i == len(files)-1); err != nil {
			return nil, f.name, err
		}
	}
	h, err = rd.history()
	return h, files[len(files)-1].name, err
}

func (d *dirReader) readFile(rd *reader, f logFile, isLast bool) error {
	file, err := os.Open(filepath.Join(d.dir, f.name))
	if err != nil {
		return err
	}
	defer file.Close()
	rd.lines = 0
	return rd.read(newInput(file), isLast)
}
