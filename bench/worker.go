package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Each subject runs in a process of its own, this program as `bench worker SUBJECT URL`: the library reads its environment
// once, threads and memory are its own, and what getrusage says is about it alone. It reads a number from its
// input, does that many operations, and writes a Sample.

// A Program is what a worker runs.
type Program struct {
	prepare func(n int) error // before each run, outside of the measured time; may be nil
	run     func(n int) error // n operations
	add     func(*Sample)     // after each run, what only the program knows; may be nil
}

// A Sample is one run.
type Sample struct {
	N       int           `json:"n"` // operations
	Wall    time.Duration `json:"wall_ns"`
	CPU     time.Duration `json:"cpu_ns"`              // user and system, of the whole process
	Median  time.Duration `json:"median_ns,omitempty"` // of single operations, where they were timed one by one
	Mallocs uint64        `json:"mallocs"`
	Bytes   uint64        `json:"bytes"`
	Threads int           `json:"os_threads"`  // the process has had so far
	MaxRSS  int64         `json:"max_rss_kib"` // so far

	Failures    int    `json:"failures,omitempty"`
	Failure     string `json:"failure,omitempty"`     // the first one
	Requests    int    `json:"requests,omitempty"`    // that the server has seen, where it tells
	Connections int    `json:"connections,omitempty"` // that were opened meanwhile
}

// per is the time of one operation.
func (s Sample) per() time.Duration {
	if s.Median > 0 {
		return s.Median
	}
	return s.Wall / time.Duration(s.N)
}

// open makes the program of a subject. url is that of the server, where there is one.
func open(s Subject, url string) (Program, error) {
	switch s.Measure {
	case initiator:
		return openInitiator(s)
	case acceptor:
		return openAcceptor(s)
	case httpGet:
		return openClient(s, url)
	case waiting:
		return openWaiting(s)
	case crowd:
		return openCrowd(s, url)
	}
	return Program{}, fmt.Errorf("nothing measures %q", s.Measure)
}

func worker(subject, url string, in io.Reader, out io.Writer) error {
	var s Subject
	if err := json.Unmarshal([]byte(subject), &s); err != nil {
		return err
	}
	p, err := open(s, url)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	orders := bufio.NewScanner(in)
	for orders.Scan() {
		n, err := strconv.Atoi(strings.TrimSpace(orders.Text()))
		if err != nil {
			return err
		}
		sample, err := measure(p, n)
		if err != nil {
			return err
		}
		if err := enc.Encode(sample); err != nil {
			return err
		}
	}
	return orders.Err()
}

func measure(p Program, n int) (Sample, error) {
	if p.prepare != nil {
		if err := p.prepare(n); err != nil {
			return Sample{}, err
		}
	}
	runtime.GC() // what the preparation left is not of the run
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	err := p.run(n)
	wall := time.Since(start)
	s := Sample{N: n, Wall: wall, CPU: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	s.Mallocs, s.Bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	s.Threads = pprof.Lookup("threadcreate").Count()
	s.MaxRSS = usage().Maxrss
	if p.add != nil {
		p.add(&s)
	}
	return s, err
}

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // its arguments are constants
	}
	return u
}

func cpuTime() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// share runs n operations in so many goroutines, to their end or the first error.
func share(n, goroutines int, do func(i int) error) error {
	if goroutines == 1 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make(chan error, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < n; i += goroutines {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// path is the file behind a name such as FILE:/tmp/cc in the environment.
func path(variable string) string { return strings.TrimPrefix(os.Getenv(variable), "FILE:") }
