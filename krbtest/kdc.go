package krbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// kdcTimeout bounds the wait for a KDC to answer.
	kdcTimeout = 20 * time.Second

	// tailLines is how many lines of the KDC's log an error has.
	tailLines = 10
)

// errEnded is the cause of a failed start when krb5kdc ended by itself.
var errEnded = errors.New("krb5kdc ended")

// StartKDC starts the KDC again, on the same address, after StopKDC or a
// crash, and returns when it has answered over UDP and TCP. It does nothing if
// the KDC runs. It fails if somebody else has taken the port meanwhile.
func (r *Realm) StartKDC() error {
	r.op.Lock()
	defer r.op.Unlock()
	if err := r.open(); err != nil {
		return fmt.Errorf("krbtest: start the KDC of %s: %w", r.Name, err)
	}
	if r.kdc != nil && !r.kdc.hasEnded() {
		return nil
	}
	if r.kdc != nil { // crashed, which is what the caller repairs
		r.kdc.end()
		r.kdc = nil
	}
	return r.startKDC(r.closing)
}

// StopKDC stops the KDC and waits until it has ended. Its port is free then: a
// test can listen there itself, for instance to be a KDC that never answers.
// It does nothing if the KDC is stopped or the realm closed. If the KDC had
// ended by itself before, the error says so.
func (r *Realm) StopKDC() error {
	r.op.Lock()
	defer r.op.Unlock()
	return r.stopKDC()
}

// stopKDC is StopKDC, called with r.op held.
func (r *Realm) stopKDC() error {
	if r.kdc == nil {
		return nil
	}
	crashed := r.kdc.hasEnded()
	r.kdc.end()
	r.kdc = nil
	if crashed {
		return fmt.Errorf("krbtest: %w by itself; end of %s:\n%s", errEnded, r.logFile(), tail(r.logFile(), 0))
	}
	return nil
}

// usePort takes a new port and writes it into the configuration.
func (r *Realm) usePort(reserve func() (*reservation, error)) error {
	p, err := reserve()
	if err != nil {
		return err
	}
	if r.port != nil {
		r.port.close()
	}
	r.port = p
	r.Addr = p.addr
	return r.writeConfig()
}

// startKDC starts the KDC on the reserved port and proves that it is there. It
// is called with r.op held, or before anybody else has r.
func (r *Realm) startKDC(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kdcTimeout)
	defer cancel()
	logStart := size(r.logFile())
	r.port.free()
	kdc, err := startWatchdog(r.Dir, r.logFile(), r.env, r.programs["krb5kdc"], "-n", "-r", r.Name)
	if err != nil {
		return err
	}
	if err := r.probe.prove(ctx, kdc.running, r.Addr); err != nil {
		kdc.end()
		return fmt.Errorf("krbtest: start krb5kdc on %s: %w; end of %s:\n%s", r.Addr, err, r.logFile(), tail(r.logFile(), logStart))
	}
	r.kdc = kdc
	return nil
}

// size returns the size of a file, which is 0 if there is none.
func size(file string) int64 {
	fi, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// tail returns the last lines of a file, from offset on.
func tail(file string, offset int64) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	if offset <= int64(len(b)) {
		b = b[offset:]
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	lines = lines[max(0, len(lines)-tailLines):]
	return string(bytes.Join(lines, []byte("\n")))
}
