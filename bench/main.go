// Command bench measures nego against MIT krb5 called from C, gokrb5, go-spnego, curl and requests-kerberos, all of them in one
// run, on a realm and servers of its own. README.md says what is measured and how.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch {
		case args[0] == "worker" && len(args) == 3:
			return worker(args[1], args[2], os.Stdin, os.Stdout)
		case args[0] == "serve":
			return serve(os.Stdin, os.Stdout)
		case args[0] == "tokens" && len(args) == 2:
			return makeTokens(args[1], os.Stdin, os.Stdout)
		case args[0] == "fill" && len(args) == 3:
			return fill(args[1], args[2])
		}
	}
	var quick bool
	var out string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&quick, "quick", false, "a few short rounds: to see that everything works, not for figures")
	flags.StringVar(&out, "out", "", "the `directory` for results.json, speed.svg and the tables of README.md, if it has one (default: this one, and with -quick none)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := fast
	if !quick {
		e = thorough
		out = cmp.Or(out, ".")
	}
	results, err := e.measure(ctx, progressOn(os.Stderr))
	if ctx.Err() != nil {
		return context.Cause(ctx) // and not what it did to the workers
	}
	if err != nil {
		return err
	}
	if err := results.print(os.Stdout); err != nil || out == "" {
		return err
	}
	return results.write(out)
}

// An effort is how long the measurements take, and how good they are.
type effort struct {
	pace
	crowd int // requests at once
	waves int // of them
}

var (
	thorough = effort{pace{rounds: 25, round: 40 * time.Millisecond}, 10_000, 8}
	fast     = effort{pace{rounds: 3, round: 10 * time.Millisecond}, 500, 3}
)

// moreRounds is how many times as many rounds initiators have: what is claimed of a speed-up is a ratio of four figures.
const moreRounds = 2

func (e effort) measure(ctx context.Context, show progress) (*Results, error) {
	r := newResults(ctx)
	r.Rounds = e.rounds
	if err := e.onStage(ctx, r, show); err != nil {
		return nil, err
	}
	r.sum()
	return r, nil
}

func (e effort) onStage(ctx context.Context, r *Results, show progress) (err error) {
	st, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if err := st.serve(); err != nil {
		return err
	}
	tokens, waits := e.pace, e.pace
	tokens.rounds *= moreRounds
	waits.round /= 2 // a client waits for its server as long as it works, or longer
	waits.warmUp = 2 // and has slept for seconds, while it was the others' turn
	for _, set := range []struct {
		title string
		rows  []*Row
		pace
	}{
		{"initiator tokens", initiators(), tokens},
		{"acceptor tokens", acceptors(), e.pace},
		{"GET requests", clients(), waits},
	} {
		r.Rows = append(r.Rows, set.rows...)
		if err := st.measure(ctx, set.title, set.rows, set.pace, show); err != nil {
			return err
		}
	}
	rows := crowds(e.crowd)
	r.Rows = append(r.Rows, rows...)
	if err := st.measureCrowd(ctx, rows[0], e.waves, show); err != nil {
		return err
	}
	rows = waiters()
	r.Rows = append(r.Rows, rows...)
	return st.measureWaiting(ctx, rows, e.pace, show)
}

// measure runs a set of rows from their start to their end.
func (st *stage) measure(ctx context.Context, title string, rows []*Row, p pace, show progress) (err error) {
	defer func() { err = errors.Join(err, closeAll(rows)) }()
	if err := st.open(ctx, rows); err != nil {
		return err
	}
	return measureAll(ctx, title, rows, p, show)
}

// measureCrowd has all requests of a wave under way at once, and then again, which needs no more memory.
func (st *stage) measureCrowd(ctx context.Context, r *Row, waves int, show progress) (err error) {
	rows := []*Row{r}
	defer func() { err = errors.Join(err, closeAll(rows)) }()
	if err := st.open(ctx, rows); err != nil {
		return err
	}
	for i := range waves {
		show.step("%d requests at once: wave %d of %d", r.Threads, i+1, waves)
		s, err := r.runner.run(r.Threads)
		if err != nil {
			return err
		}
		if r.Samples = append(r.Samples, s); s.Failures > 0 {
			break // the server still waits for the ones that did not come
		}
	}
	show.done("%d requests at once: %d waves", r.Threads, len(r.Samples))
	return nil
}
