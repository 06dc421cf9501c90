package main

import (
	"errors"
	"os"
)

// writeFile writes a file, or none: half a file is removed.
func writeFile(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	info, unknown := f.Stat()
	err = errors.Join(err, f.Close())
	if err != nil && unknown == nil && info.Mode().IsRegular() {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
