// Command beamkeeper deploys and supervises BEAM applications. Run as a daemon it keeps their instances as its
// configuration and its bucket of releases say; with any other verb it asks that daemon. See docs/operations.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

func main() { os.Exit(mainCode()) }

func mainCode() int {
	sandbox.Main(os.Args) // does not return in the process that becomes an instance
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return newCLI(os.Stdin, os.Stdout, os.Stderr, os.Getenv).run(ctx, os.Args[1:])
}
