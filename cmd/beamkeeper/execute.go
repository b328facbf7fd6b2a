package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// executeSignal has the daemon end as at SIGTERM and execute, in its place, the program that is now where it was
// started from. Its instances run on, children of the same OS process.
const executeSignal = syscall.SIGUSR2

var errExecute = errors.New("the daemon makes place for another program")

// onExecute stops the daemon with errExecute when executeSignal comes.
func onExecute(ctx context.Context, stop context.CancelCauseFunc) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, executeSignal)
	go func() {
		defer signal.Stop(asked)
		select {
		case <-ctx.Done():
		case <-asked:
			stop(errExecute)
		}
	}()
}

// execute becomes the program at the path this one was started from. It returns only when that fails.
func execute() error {
	path, err := os.Executable() // as it was at the start, whatever is there now
	if err != nil {
		return err
	}
	signal.Ignore(executeSignal) // until the new program listens to it
	err = syscall.Exec(path, os.Args, os.Environ())
	return fmt.Errorf("execute %s: %w", path, err)
}
