package main

import (
	"fmt"
	"strings"
)

// What is measured.
const (
	initiator = "initiator" // one initiator token, the service ticket being in the cache
	acceptor  = "acceptor"  // one token accepted
	httpGet   = "http"      // one authenticated GET
	waiting   = "waiting"   // one initiator token, the KDC being silent
	crowd     = "crowd"     // requests that are all under way at once
)

// A Subject is one program under one condition: a row of the results.
type Subject struct {
	Measure string `json:"measure"`
	Who     string `json:"who"`

	Threads int    `json:"threads"`           // goroutines, or in C threads
	Tickets int    `json:"tickets"`           // service tickets in the cache; acceptor: in all tokens, and 0 is another one in each
	Padding int    `json:"padding"`           // bytes of authorization data in the ticket
	Origins int    `json:"origins,omitempty"` // http: hosts that take turns
	RCache  string `json:"rcache,omitempty"`  // acceptor: the replay cache
	Server  string `json:"server,omitempty"`  // http
	Stuck   int    `json:"stuck,omitempty"`   // waiting: how many callers wait for the KDC
}

// with returns the conditions that are not the usual ones, in words.
func (s Subject) with() string {
	var w []string
	add := func(differs bool, format string, args ...any) {
		if differs {
			w = append(w, fmt.Sprintf(format, args...))
		}
	}
	add(s.Server != "", "%s", s.Server)
	add(s.RCache != "", "replay cache %s", s.RCache)
	add(s.Threads > 1, "%d threads", s.Threads)
	add(s.Tickets > 1, "%d tickets", s.Tickets)
	add(s.Tickets == 0, "new tickets")
	add(s.Padding > 0, "%d KiB more in the ticket", s.Padding>>10)
	add(s.Origins > 1, "%d origins", s.Origins)
	add(s.Stuck > 0, "%d callers stuck", s.Stuck)
	return strings.Join(w, ", ")
}

func (s Subject) String() string {
	if with := s.with(); with != "" {
		return s.Who + ", " + with
	}
	return s.Who
}
