package main

// Conditions that are measured one at a time, the others being as usual: one ticket, one thread, no padding.
var (
	ticketCounts = []int{1, 50, 500}
	threadCounts = []int{1, 2, 8, 64}
	paddings     = []int{4 << 10, 16 << 10, 60 << 10}
	originCounts = []int{1, 10, 100}
	replayCaches = []string{"none", "dfl"}
)

const (
	stuckCallers  = 60
	hosts         = 100   // that the realm has services on
	originTickets = hosts // in the cache, however many origins there are
)

// The rows of the tables.
var (
	tokenMakers   = []string{cFloor, cAcquired, cDefault, negoDefault, negoContext, negoAcquired, gokrb5}
	tokenTakers   = []string{cAcceptor, cInquirer, cCalled, negoAcceptor}
	httpClients   = []string{plain, negoPreemptive, negoRemember, negoChallenge, gokrbPreemptive, gokrbChallenge, goSpnego, curlClient, python}
	scaledClients = []string{negoPreemptive, gokrbPreemptive} // by goroutines, size and origins
)

// each has all of who take turns under one condition, so that those who are compared are neighbours in time.
func each(who []string, conditions ...Subject) (rows []*Row) {
	for _, s := range conditions {
		for _, s.Who = range who {
			rows = append(rows, &Row{Subject: s})
		}
	}
	return rows
}

func initiators() []*Row {
	var c []Subject
	for _, n := range ticketCounts {
		c = append(c, Subject{Measure: initiator, Threads: 1, Tickets: n})
	}
	for _, n := range threadCounts[1:] {
		c = append(c, Subject{Measure: initiator, Threads: n, Tickets: 1})
	}
	for _, n := range paddings {
		c = append(c, Subject{Measure: initiator, Threads: 1, Tickets: 1, Padding: n})
	}
	return each(tokenMakers, c...)
}

func acceptors() []*Row {
	var c []Subject
	for _, rcache := range replayCaches {
		for _, n := range threadCounts {
			c = append(c, Subject{Measure: acceptor, Threads: n, Tickets: 1, RCache: rcache})
		}
	}
	for _, n := range paddings {
		c = append(c, Subject{Measure: acceptor, Threads: 1, Tickets: 1, Padding: n, RCache: replayCaches[0]})
	}
	c = append(c, Subject{Measure: acceptor, Threads: 1, Tickets: 0, RCache: replayCaches[0]})
	return each(tokenTakers, c...)
}

func clients() []*Row {
	var c []Subject
	for _, n := range threadCounts[1:] {
		c = append(c, Subject{Measure: httpGet, Threads: n, Tickets: 1, Server: goServer})
	}
	for _, n := range paddings {
		c = append(c, Subject{Measure: httpGet, Threads: 1, Tickets: 1, Padding: n, Server: goServer})
	}
	for _, n := range originCounts {
		c = append(c, Subject{Measure: httpGet, Threads: 1, Tickets: originTickets, Origins: n, Server: goServer})
	}
	rows := each(httpClients, Subject{Measure: httpGet, Threads: 1, Tickets: 1, Server: apache},
		Subject{Measure: httpGet, Threads: 1, Tickets: 1, Server: goServer})
	return append(rows, each(scaledClients, c...)...)
}

func waiters() (rows []*Row) {
	for _, n := range []int{0, stuckCallers} {
		rows = append(rows, &Row{Subject: Subject{Measure: waiting, Who: negoDefault, Threads: 1, Tickets: 1, Stuck: n}})
	}
	return rows
}

func crowds(n int) []*Row {
	return []*Row{{Subject: Subject{Measure: crowd, Who: negoChallenge, Threads: n, Tickets: 1, Server: goServer}}}
}
