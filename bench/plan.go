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
	tokenMakers   = []string{cFloor, cAcquired, cDefault, negoDefault, negoAcquired, gokrb5}
	tokenTakers   = []string{cAcceptor, cInquirer, cCalled, negoAcceptor}
	httpClients   = []string{plain, negoPreemptive, negoRemember, negoChallenge, gokrbPreemptive, gokrbChallenge, goSpnego, curlClient, python}
	scaledClients = []string{negoPreemptive, gokrbPreemptive} // by goroutines, size and origins
)

func initiators() (rows []*Row) {
	for _, who := range tokenMakers {
		for _, n := range ticketCounts {
			rows = append(rows, &Row{Subject: Subject{Measure: initiator, Who: who, Threads: 1, Tickets: n}})
		}
		for _, n := range threadCounts[1:] {
			rows = append(rows, &Row{Subject: Subject{Measure: initiator, Who: who, Threads: n, Tickets: 1}})
		}
		for _, n := range paddings {
			rows = append(rows, &Row{Subject: Subject{Measure: initiator, Who: who, Threads: 1, Tickets: 1, Padding: n}})
		}
	}
	return rows
}

func acceptors() (rows []*Row) {
	for _, who := range tokenTakers {
		for _, rcache := range replayCaches {
			for _, n := range threadCounts {
				rows = append(rows, &Row{Subject: Subject{Measure: acceptor, Who: who, Threads: n, Tickets: 1, RCache: rcache}})
			}
		}
		for _, n := range paddings {
			rows = append(rows, &Row{Subject: Subject{Measure: acceptor, Who: who, Threads: 1, Tickets: 1, Padding: n, RCache: replayCaches[0]}})
		}
	}
	return rows
}

func clients() (rows []*Row) {
	for _, server := range []string{apache, goServer} {
		for _, who := range httpClients {
			rows = append(rows, &Row{Subject: Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: 1, Server: server}})
		}
	}
	for _, who := range scaledClients {
		for _, n := range threadCounts[1:] {
			rows = append(rows, &Row{Subject: Subject{Measure: httpGet, Who: who, Threads: n, Tickets: 1, Server: goServer}})
		}
		for _, n := range paddings {
			rows = append(rows, &Row{Subject: Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: 1, Padding: n, Server: goServer}})
		}
		for _, n := range originCounts {
			rows = append(rows, &Row{Subject: Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: originTickets, Origins: n, Server: goServer}})
		}
	}
	return rows
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
