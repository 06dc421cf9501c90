//go:build !unix

package main

import "os"

// hasOtherNames does not know of hard links: they are cut.
func hasOtherNames(os.FileInfo) bool { return false }
