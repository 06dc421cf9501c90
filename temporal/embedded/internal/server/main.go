// Command server runs an embedded server until its standard input ends.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/traigo/traigo/temporal/embedded/internal/lite"
)

func main() {
	address := ""
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	server, err := lite.Start(address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, server.Address())
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
}
