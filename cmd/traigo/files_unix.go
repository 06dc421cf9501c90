//go:build unix

package main

import (
	"os"
	"syscall"
)

// hasOtherNames reports whether a file has several hard links.
func hasOtherNames(file os.FileInfo) bool {
	stat, ok := file.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
