package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Row is a subject and what was measured of it.
type Row struct {
	Subject
	Time    Figure   `json:"time_us"` // of one operation, as all that follow
	CPU     Figure   `json:"process_cpu_us"`
	Mallocs Figure   `json:"allocations"`
	Bytes   Figure   `json:"bytes"`
	Samples []Sample `json:"samples"`

	runner runner
	n      int // operations in each round
}

// pace is how long a set of measurements takes.
type pace struct {
	rounds int
	round  time.Duration // CPU of one row in one round, about
	warmUp int           // a round's operations by those that come before it, uncounted; 0: there are none
}

// measureAll runs all rows in turn, round by round, so that what the machine does meanwhile is in all of them, and a
// ratio of two rows is one of neighbours in time. Every second round goes backwards.
func measureAll(ctx context.Context, title string, rows []*Row, p pace, show progress) error {
	begin := time.Now()
	for i, r := range rows {
		show.step("%s: trying %d of %d: %s", title, i+1, len(rows), r)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.calibrate(p.round); err != nil {
			return fmt.Errorf("%s: %s: %w", title, r, err)
		}
	}
	for round := range p.rounds {
		show.step("%s: round %d of %d, %d rows", title, round+1, p.rounds, len(rows))
		for i := range rows {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r := rows[i]
			if round%2 == 1 {
				r = rows[len(rows)-1-i]
			}
			s, err := r.measure(p.warmUp)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", title, r, err)
			}
			r.Samples = append(r.Samples, s)
		}
	}
	show.done("%s: %d rows, %d rounds, %.0f s", title, len(rows), p.rounds, time.Since(begin).Seconds())
	return nil
}

// measure takes a round's sample.
func (r *Row) measure(warmUp int) (Sample, error) {
	if warmUp > 0 {
		if _, err := r.runner.run(max(r.Threads, r.n/warmUp)); err != nil {
			return Sample{}, err
		}
	}
	return r.runner.run(r.n)
}

// calibrate finds out how many operations take about the given CPU time, by the cheapest of some tries: it is the same on a busy
// machine, and with too few operations what is measured is a process that wakes up. The caches of the library are warm afterwards.
func (r *Row) calibrate(round time.Duration) error {
	if r.Who == curlClient {
		r.n = curlRequests
		return nil
	}
	for n := 4 * r.Threads; ; n *= 4 {
		cheapest := time.Duration(math.MaxInt64)
		for range 3 {
			s, err := r.runner.run(n)
			if err != nil {
				return err
			}
			if cheapest = min(cheapest, s.CPU); cheapest < round/4 {
				break
			}
		}
		if cheapest >= round/4 {
			r.n = max(r.Threads, int(float64(n)*float64(round)/float64(cheapest)))
			return nil
		}
	}
}

// A Figure is the middle of some values, and how far half of them are apart.
type Figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`  // a quarter is lower
	High   float64 `json:"high"` // a quarter is higher
}

func figure(values []float64) Figure {
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 {
		pos := q * float64(len(sorted)-1)
		i := int(pos)
		j := min(i+1, len(sorted)-1)
		return sorted[i] + (pos-float64(i))*(sorted[j]-sorted[i])
	}
	return Figure{Median: at(0.5), Low: at(0.25), High: at(0.75)}
}

func (r *Row) figure(of func(Sample) float64) Figure {
	var values []float64
	for _, s := range r.Samples {
		values = append(values, of(s))
	}
	return figure(values)
}

// What is told of a sample, for each of its operations.
func wall(s Sample) float64      { return float64(s.per().Nanoseconds()) / 1e3 }              // µs
func cpu(s Sample) float64       { return float64(s.CPU.Nanoseconds()) / 1e3 / float64(s.N) } // µs
func perSecond(s Sample) float64 { return 1e6 / wall(s) }
func mallocs(s Sample) float64   { return float64(s.Mallocs) / float64(s.N) }
func bytesOf(s Sample) float64   { return float64(s.Bytes) / float64(s.N) }
func requests(s Sample) float64  { return float64(s.Requests) / float64(s.N) }

// ratio is that of two rows of one set, round by round.
func ratio(a, b *Row, of func(Sample) float64) Figure {
	var values []float64
	for i := range a.Samples {
		values = append(values, of(a.Samples[i])/of(b.Samples[i]))
	}
	return figure(values)
}
