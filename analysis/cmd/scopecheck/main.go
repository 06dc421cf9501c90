// Command scopecheck reports misuses of traigo: see package analysis/scopecheck.
//
//	scopecheck ./...
//	scopecheck -fix ./...
//	go vet -vettool=$(which scopecheck) ./...
//
// Each rule can be switched off, in both forms: -goroutine=false.
package main

import (
	"golang.org/x/tools/go/analysis/singlechecker"

	"github.com/traigo/traigo/analysis/scopecheck"
)

func main() { singlechecker.Main(scopecheck.Analyzer) }
