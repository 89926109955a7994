package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A table is for people. Its first column is words, the others are figures.
type table struct {
	title  string
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "\n%s\n", t.title); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, cells := range append([][]string{t.header}, t.rows...) {
		fmt.Fprintf(tw, "  %s\n", strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

func (t *table) markdown(w io.Writer) {
	fmt.Fprintf(w, "**%s**\n\n| %s |\n|%s%s\n", t.title, strings.Join(t.header, " | "), "---|", strings.Repeat("--:|", len(t.header)-1))
	for _, cells := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintln(w)
}

// print writes all of it for a terminal.
func (r *Results) print(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.about()); err != nil {
		return err
	}
	for _, t := range r.tables() {
		if err := t.text(w); err != nil {
			return err
		}
	}
	return nil
}

func (r *Results) about() string {
	var versions []string
	for _, name := range []string{"Go", "MIT krb5", gokrb5, goSpnego, curlClient, python, apache} {
		versions = append(versions, name+" "+r.Versions[name])
	}
	return fmt.Sprintf("%s, %d CPUs (%s), load %.1f before it began, %d rounds, %d of initiator tokens. %s. Figures are medians; ± is half of what the middle half of the rounds is apart.",
		r.Date.Format("2 January 2006"), r.CPUs, r.Machine, r.Load, r.Rounds, moreRounds*r.Rounds, strings.Join(versions, ", "))
}

func (r *Results) tables() []*table {
	return []*table{r.claimTable(), r.tokenTable(), r.tokenThreadTable(), r.tokenSizeTable(), r.acceptorTable(), r.acceptorSizeTable(), r.acceptorTicketTable(),
		r.getTable(), r.getThreadTable(), r.getSizeTable(), r.getOriginTable(), r.crowdTable(), r.waitingTable()}
}

func (r *Results) claimTable() *table {
	t := &table{title: "What is claimed", header: []string{"", "value", "±", "is to be", ""}}
	for _, c := range r.Claims {
		t.add(c.Name, number(c.Value.Median), number(c.Value.half()), c.Is+" "+number(c.Limit), c.verdict())
	}
	return t
}

func (r *Results) tokenTable() *table {
	t := &table{title: "One initiator token, µs, by the service tickets in the cache",
		header: append(titles(ticketCounts, "tickets"), "/ C floor", "CPU", "CPU / C floor", "allocations", "bytes")}
	for _, who := range tokenMakers {
		cells := []string{who}
		for _, n := range ticketCounts {
			cells = append(cells, r.initiator(who, n, 1, 0).figure(wall).String())
		}
		row, floor := r.initiator(who, 1, 1, 0), r.initiator(cFloor, 1, 1, 0)
		cells = append(cells, number(ratio(row, floor, wall).Median), row.figure(cpu).String(), number(ratio(row, floor, cpu).Median))
		t.add(append(cells, row.memory()...)...)
	}
	return t
}

func (r *Results) tokenThreadTable() *table {
	return matrix("Initiator tokens per second, by threads of C and goroutines", titles(threadCounts, "threads"), tokenMakers, threadCounts,
		func(who string, n int) Figure { return r.initiator(who, 1, n, 0).figure(perSecond) })
}

func (r *Results) tokenSizeTable() *table {
	return matrix("One initiator token, µs, by what authorization data adds to the ticket", sizeTitles(), tokenMakers, sizes(),
		func(who string, n int) Figure { return r.initiator(who, 1, 1, n).figure(wall) })
}

func (r *Results) acceptorTable() *table {
	t := &table{title: "One token accepted, µs for each, by threads of C and goroutines",
		header: append(titles(threadCounts, "threads"), "CPU", "CPU / C acceptor", "allocations", "bytes")}
	for _, rcache := range replayCaches {
		for _, who := range tokenTakers {
			cells := []string{who + ", replay cache " + rcache}
			for _, n := range threadCounts {
				cells = append(cells, r.acceptor(who, rcache, n, 0).figure(wall).String())
			}
			row := r.acceptor(who, rcache, 1, 0)
			cells = append(cells, row.figure(cpu).String(), number(ratio(row, r.acceptor(cAcceptor, rcache, 1, 0), cpu).Median))
			t.add(append(cells, row.memory()...)...)
		}
	}
	return t
}

func (r *Results) acceptorSizeTable() *table {
	return matrix("One token accepted without a replay cache, µs, by what authorization data adds to the ticket", sizeTitles(), tokenTakers, sizes(),
		func(who string, n int) Figure { return r.acceptor(who, replayCaches[0], 1, n).figure(wall) })
}

func (r *Results) acceptorTicketTable() *table {
	t := &table{title: "One token accepted without a replay cache, µs, by whether its ticket was accepted before", header: []string{"", "it was", "new ticket", "CPU", "CPU / C acceptor"}}
	fresh := func(who string) *Row {
		return r.row(Subject{Measure: acceptor, Who: who, Threads: 1, RCache: replayCaches[0]})
	}
	for _, who := range tokenTakers {
		row := fresh(who)
		t.add(who, r.acceptor(who, replayCaches[0], 1, 0).figure(wall).String(), row.figure(wall).String(), row.figure(cpu).String(), number(ratio(row, fresh(cAcceptor), cpu).Median))
	}
	return t
}

func (r *Results) getTable() *table {
	t := &table{title: "One GET: CPU of the client, and time, µs", header: []string{"", "CPU, " + apache, "CPU, " + goServer,
		"time, " + apache, "time, " + goServer, "requests", "allocations", "bytes"}}
	for _, who := range httpClients {
		there, here := r.get(who, apache), r.get(who, goServer)
		t.add(append([]string{who, there.figure(cpu).String(), here.figure(cpu).String(), there.figure(wall).String(), here.figure(wall).String(),
			number(here.figure(requests).Median)}, here.memory()...)...)
	}
	return t
}

func (r *Results) getThreadTable() *table {
	return matrix("GET requests per second, client and server on the same CPUs, by goroutines", titles(threadCounts, "goroutines"), scaledClients, threadCounts,
		func(who string, n int) Figure {
			return r.row(Subject{Measure: httpGet, Who: who, Threads: n, Tickets: 1, Server: goServer}).figure(perSecond)
		})
}

func (r *Results) getSizeTable() *table {
	return matrix("One GET, CPU of the client, µs, by what authorization data adds to the ticket", sizeTitles(), scaledClients, sizes(),
		func(who string, n int) Figure {
			return r.row(Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: 1, Padding: n, Server: goServer}).figure(cpu)
		})
}

func (r *Results) getOriginTable() *table {
	title := fmt.Sprintf("One GET, CPU of the client, µs, by origins that take turns, with %d tickets in the cache", originTickets)
	return matrix(title, titles(originCounts, "origins"), scaledClients, originCounts,
		func(who string, n int) Figure {
			return r.row(Subject{Measure: httpGet, Who: who, Threads: 1, Tickets: originTickets, Origins: n, Server: goServer}).figure(cpu)
		})
}

func (r *Results) crowdTable() *table {
	row := r.crowd()
	t := &table{title: fmt.Sprintf("%d requests at once through one Transport", row.Threads),
		header: []string{"", "seconds", "failures", "OS threads so far", "most memory so far, MiB", "bytes per request"}}
	for i, s := range row.Samples {
		t.add(fmt.Sprintf("wave %d", i+1), number(s.Wall.Seconds()), fmt.Sprint(s.Failures), fmt.Sprint(s.Threads), fmt.Sprint(s.MaxRSS>>10), number(bytesOf(s)))
	}
	return t
}

func (r *Results) waitingTable() *table {
	t := &table{title: "One initiator token beside callers that a silent KDC keeps waiting, µs, median of single ones", header: []string{"", "time"}}
	for _, row := range r.Rows {
		if row.Measure == waiting {
			t.add(fmt.Sprintf("%s, %d callers", row.Who, row.Stuck), row.figure(wall).String())
		}
	}
	return t
}

// matrix has a row for each name and a column for each condition.
func matrix(title string, header, names []string, conditions []int, cell func(who string, n int) Figure) *table {
	t := &table{title: title, header: header}
	for _, who := range names {
		cells := []string{who}
		for _, n := range conditions {
			cells = append(cells, cell(who, n).String())
		}
		t.add(cells...)
	}
	return t
}

// memory is what a Go program allocates for one operation, and nothing for others.
func (r *Row) memory() []string {
	if r.Samples[0].Mallocs < uint64(r.Samples[0].N) {
		return []string{"–", "–"}
	}
	return []string{number(r.figure(mallocs).Median), number(r.figure(bytesOf).Median)}
}

func sizes() []int { return append([]int{0}, paddings...) }

func sizeTitles() []string {
	header := []string{""}
	for _, n := range sizes() {
		header = append(header, fmt.Sprintf("%d KiB", n>>10))
	}
	return header
}

// titles are for a table by counts: the first one says what is counted.
func titles(counts []int, what string) []string {
	header := []string{""}
	for i, n := range counts {
		if header = append(header, fmt.Sprint(n)); i == 0 {
			header[1] += " " + strings.TrimSuffix(what, "s")
		}
	}
	return header
}

func (f Figure) half() float64 { return (f.High - f.Low) / 2 }

func (f Figure) String() string { return number(f.Median) + " ±" + number(f.half()) }

// number has the digits that mean something.
func number(v float64) string {
	switch {
	case v == float64(int(v)):
		return fmt.Sprint(int(v))
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
