// Command scopecheck reports misuses of traigo: see package analysis/scopecheck.
//
//	scopecheck ./...
//	scopecheck -fix ./...
//	go vet -vettool=$(which scopecheck) ./...
//
// Each rule can be switched off, in all forms: -goroutine=false. With -fix it applies the fixes
// that it has, and then reports what remains. The exit status is 3 if anything is reported, and
// 1 if something went wrong.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis/singlechecker"

	"github.com/traigo/traigo/analysis/scopecheck"
)

func main() {
	isFix := func(arg string) bool { return arg == "-fix" || arg == "--fix" }
	byGo := strings.HasSuffix(os.Args[len(os.Args)-1], ".cfg") // it is run by go vet, which reports
	if slices.ContainsFunc(os.Args, isFix) && !byGo {
		os.Args = slices.DeleteFunc(os.Args, isFix)
		applyFixes(os.Args[1:])
	}
	singlechecker.Main(scopecheck.Analyzer)
}

// applyFixes runs the command for the fixes alone: given -fix, singlechecker exits without a word
// of what has none. The form -fix=true is left to singlechecker, so that the child has no child.
func applyFixes(args []string) {
	cmd := exec.Command(os.Args[0], append([]string{"-fix=true"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "scopecheck: the fixes are not applied:", err)
		os.Exit(1)
	}
}
