package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

// What the commands share that run until they are told to end.

// listen listens on the address of a flag.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l, nil
}

// untilSignal returns a context that the first of some signals ends. The second one ends the process, as it does those
// that do not care.
func untilSignal(ctx context.Context, signals []os.Signal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	received := make(chan os.Signal, 1)
	signal.Notify(received, signals...)
	go func() {
		select {
		case <-received:
		case <-ctx.Done():
		}
		signal.Stop(received) // before anybody can see that the first one was heard, and send the second
		cancel()
	}()
	return ctx, cancel
}

// isLoopback reports whether only this machine reaches a host. Of names only localhost is known to be one such.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// readPrivate reads a file that no other user may read.
func readPrivate(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, badSecret(file, err)
	}
	others := fs.FileMode(0o077)
	if isCredential(file) {
		others = 0o007
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&others != 0 {
		return nil, badSecret(file, errors.New("other users can get at it"), "chmod 600 "+file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, badSecret(file, err)
	}
	return text, nil
}

// isCredential tells whether systemd made the file for this service. Such a file is root's, and an access control list lets
// the service read it. The mask of that list stands where the mode has the group's bits, so these say nothing of the group.
func isCredential(file string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(file) == filepath.Clean(dir)
}

func badSecret(file string, err error, hints ...string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &failure{err: fmt.Errorf("cannot use the secret in %s: %w", file, err), status: statusUsage, hints: hints}
}
