//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Whoever sees that the first signal was heard can have the second one end the process.
func TestSecondSignal(t *testing.T) {
	const child = "NEGO_TEST_SIGNALS"
	if os.Getenv(child) != "" {
		ctx, stop := untilSignal(context.Background(), []os.Signal{syscall.SIGTERM})
		defer stop()
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		<-ctx.Done()
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		<-time.After(20 * time.Second) // another thread may be the one that dies of it
		return
	}
	for range 20 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondSignal$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}
