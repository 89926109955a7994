package krbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// errFailed is the cause when all that is known is what a program wrote.
var errFailed = errors.New("failed")

// run runs one of the programs to its end and returns what it wrote to stderr.
// What it writes to stdout is dropped: kadmin.local echoes its input, with the
// passwords.
func (r *Realm) run(ctx context.Context, program, stdin string, args ...string) (stderr string, err error) {
	_, stderr, err = r.output(ctx, program, stdin, args...)
	return stderr, err
}

// output runs one of the programs to its end and returns what it wrote. The
// program is killed when ctx ends or the realm is closed.
func (r *Realm) output(ctx context.Context, program, stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.closing, cancel)()

	var out, text bytes.Buffer
	cmd := exec.CommandContext(ctx, r.programs[program], args...)
	cmd.Env = r.env
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout = &out
	cmd.Stderr = &text
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	switch {
	case err == nil:
	case r.closing.Err() != nil:
		err = errClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		err = fmt.Errorf("%s: %w", program, err)
	}
	return out.String(), text.String(), err
}

// withText adds what a program wrote to an error.
func withText(err error, text string) error {
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' }), "; ")
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, text)
}
