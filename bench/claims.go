package main

import (
	"fmt"
	"math"
	"slices"
)

// A Claim is what this project wants to be true of a figure.
type Claim struct {
	Name  string  `json:"name"`
	Value Figure  `json:"value"`
	Is    string  `json:"is"` // "≤", "≥" or "="
	Limit float64 `json:"limit"`
	OK    bool    `json:"ok"`
}

// holds compares the median, as it is printed.
func (c Claim) holds() bool {
	v := math.Round(c.Value.Median*100) / 100
	switch c.Is {
	case "≤":
		return v <= c.Limit
	case "≥":
		return v >= c.Limit
	default:
		return v == c.Limit
	}
}

func (c Claim) verdict() string {
	switch {
	case c.OK:
		return "ok"
	case c.Value.Median < c.Limit:
		return "under"
	default:
		return "over"
	}
}

func atMost(limit float64, value Figure, format string, args ...any) Claim {
	return Claim{Name: fmt.Sprintf(format, args...), Value: value, Is: "≤", Limit: limit}
}

func atLeast(limit float64, value Figure, format string, args ...any) Claim {
	return Claim{Name: fmt.Sprintf(format, args...), Value: value, Is: "≥", Limit: limit}
}

func equal(want float64, value Figure, format string, args ...any) Claim {
	return Claim{Name: fmt.Sprintf(format, args...), Value: value, Is: "=", Limit: want}
}

// single is a figure that was taken once.
func single(v float64) Figure { return Figure{v, v, v} }

func (r *Results) claims() []Claim {
	all := slices.Concat(r.tokenClaims(), r.acceptorClaims(), r.requestClaims(), r.crowdClaims())
	for i := range all {
		all[i].OK = all[i].holds()
	}
	return all
}

// What is claimed of one thread, which waits for nothing, is claimed of its time and of its CPU: they are the same on an idle
// machine, but for the garbage collector, and CPU is to be trusted on a busy one too.
var costs = []struct {
	name string
	of   func(Sample) float64
}{{"time", wall}, {"CPU", cpu}}

func (r *Results) tokenClaims() []Claim {
	usual := func(who string) *Row { return r.initiator(who, 1, 1, 0) }
	var c []Claim
	for _, k := range costs {
		c = append(c,
			atMost(0.90, ratio(usual(negoDefault), usual(cFloor), k.of), "token, %s, default credential / C floor", k.name),
			atMost(0.90, ratio(usual(negoContext), usual(cFloor), k.of), "token, %s, default credential, whole context / C floor", k.name),
			atMost(1, ratio(usual(negoDefault), usual(gokrb5), k.of), "token, %s, default credential / gokrb5", k.name))
		for _, n := range ticketCounts[1:] {
			c = append(c, atMost(1.1, ratio(r.initiator(negoDefault, n, 1, 0), usual(negoDefault), k.of),
				"token, %s, default credential, %d tickets / 1 ticket", k.name, n))
		}
	}
	for _, n := range threadCounts[1:] {
		c = append(c, atLeast(1, ratio(r.initiator(cFloor, 1, n, 0), r.initiator(negoDefault, 1, n, 0), wall),
			"token, as many in a second with %d goroutines, default credential / with threads, C floor", n))
	}
	for _, n := range threadCounts[1:] {
		ours := r.initiator(negoDefault, 1, n, 0).speedup(usual(negoDefault))
		theirs := r.initiator(cFloor, 1, n, 0).speedup(usual(cFloor))
		for i := range ours {
			ours[i] /= theirs[i]
		}
		c = append(c, atLeast(1, figure(ours), "token, speed-up with %d goroutines, default credential / with threads, C floor", n))
	}
	w := func(stuck int) *Row {
		return r.row(Subject{Measure: waiting, Who: negoDefault, Threads: 1, Tickets: 1, Stuck: stuck})
	}
	return append(c, atMost(1.1, ratio(w(stuckCallers), w(0), wall), "token, time, beside %d callers of a silent KDC / beside none", stuckCallers))
}

func (r *Results) acceptorClaims() (c []Claim) {
	for _, rcache := range replayCaches {
		ours := func(threads int) *Row { return r.acceptor(negoAcceptor, rcache, threads, 0) }
		for _, k := range costs {
			for _, theirs := range []string{cCalled, cInquirer, cAcceptor} {
				c = append(c, atMost(1.05, ratio(ours(1), r.acceptor(theirs, rcache, 1, 0), k.of), "accept, %s, nego / %s, replay cache %s", k.name, theirs, rcache))
			}
		}
		for _, n := range threadCounts[1:] {
			c = append(c, atMost(1, ratio(ours(n), ours(1), wall), "accept, time for each, %d goroutines / 1, replay cache %s", n, rcache))
		}
	}
	return c
}

func (r *Results) requestClaims() (c []Claim) {
	for _, server := range []string{apache, goServer} {
		c = append(c, atMost(1, ratio(r.get(negoPreemptive, server), r.get(gokrbPreemptive, server), cpu),
			"GET, client CPU, PreemptAlways / gokrb5, %s", server))
	}
	challenge, remember := r.get(negoChallenge, goServer), r.get(negoRemember, goServer)
	c = append(c,
		equal(2, challenge.figure(requests), "GET on challenge, requests"),
		equal(0, single(float64(challenge.connections())), "GET on challenge, connections beside the first"),
		equal(1, remember.figure(requests), "GET, PreemptRemember, requests"))
	var best Claim
	for _, n := range threadCounts[1:] {
		many := r.row(Subject{Measure: httpGet, Who: negoPreemptive, Threads: n, Tickets: 1, Server: goServer})
		up := atLeast(1.8, figure(many.speedup(r.get(negoPreemptive, goServer))), "GET, speed-up with %d goroutines on %d CPUs, best of %v", n, r.CPUs, threadCounts[1:])
		if up.Value.Median > best.Value.Median {
			best = up
		}
	}
	return append(c, best)
}

// A Transport keeps at most 128 OS threads in the library; the rest of the bound is for the Go runtime.
const mostThreads = 160

func (r *Results) crowdClaims() []Claim {
	row := r.crowd()
	last := row.Samples[len(row.Samples)-1]
	begin := (len(row.Samples) + 1) / 2 // by then the connections are open, and the collector has found its pace
	failures := 0
	for _, s := range row.Samples {
		failures += s.Failures
	}
	return []Claim{
		equal(0, single(float64(failures)), "%d requests at once, failures", row.Threads),
		atMost(mostThreads, single(float64(last.Threads)), "%d requests at once, OS threads", row.Threads),
		atMost(1.1, single(float64(last.MaxRSS)/float64(row.Samples[begin-1].MaxRSS)), "%d requests at once, memory after %d waves / after %d", row.Threads, len(row.Samples), begin),
	}
}

// speedup is, round by round, how many times as much is done as by the single one.
func (r *Row) speedup(one *Row) (values []float64) {
	for i := range r.Samples {
		values = append(values, wall(one.Samples[i])/wall(r.Samples[i]))
	}
	return values
}

// connections is how many were opened in all rounds.
func (r *Row) connections() (n int) {
	for _, s := range r.Samples {
		n += s.Connections
	}
	return n
}

// The rows of the plan.

func (r *Results) initiator(who string, tickets, threads, padding int) *Row {
	return r.row(Subject{Measure: initiator, Who: who, Tickets: tickets, Threads: threads, Padding: padding})
}

func (r *Results) acceptor(who, rcache string, threads, padding int) *Row {
	return r.row(Subject{Measure: acceptor, Who: who, Tickets: 1, Threads: threads, Padding: padding, RCache: rcache})
}

func (r *Results) get(who, server string) *Row {
	return r.row(Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: 1, Server: server})
}

func (r *Results) crowd() *Row {
	for _, row := range r.Rows {
		if row.Measure == crowd {
			return row
		}
	}
	panic("no crowd was measured")
}
