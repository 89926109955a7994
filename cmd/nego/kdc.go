package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// realmKDCs are the KDCs of a realm, as far as they can be found from outside of libkrb5, and what became of asking them.
type realmKDCs struct {
	realm string
	from  string // krb5.conf or DNS
	kdcs  []*kdc // empty: none was found
}

// kdc is one KDC.
type kdc struct {
	text  string   // as krb5.conf has it
	addr  string   // host and port; empty: it cannot be asked from here
	over  []string // tcp, udp
	heard []string // those over which it answered
	took  time.Duration
	skew  time.Duration // its clock less this one's; meaningful if clock
	clock bool
	code  int
	err   error // why there is no answer
}

const (
	// kdcPatience is how long a KDC has for an answer.
	kdcPatience = 5 * time.Second

	// kdcSlow is how long libkrb5 waits over UDP, before it asks another KDC and then again.
	kdcSlow = time.Second
)

// locate finds the KDCs of a realm where libkrb5 finds them: in krb5.conf, else in DNS (RFC 4120 section 7.2.3.2). It
// also has plug-ins and URI records, which are not seen from here.
func locate(ctx context.Context, dns *net.Resolver, config *gssapi.Config, realm string) realmKDCs {
	r := realmKDCs{realm: realm, from: "krb5.conf"}
	i := slices.IndexFunc(config.Realms, func(c gssapi.Realm) bool { return c.Name == realm })
	if i >= 0 {
		for _, text := range config.Realms[i].KDCs {
			r.kdcs = append(r.kdcs, parseKDC(text))
		}
	}
	if len(r.kdcs) > 0 || !config.LookupKDC {
		return r
	}
	r.from = "DNS"
	for _, network := range []string{"udp", "tcp"} {
		_, records, _ := dns.LookupSRV(ctx, "kerberos", network, realm+".") // none is the same as no answer
		for _, srv := range records {
			addr := net.JoinHostPort(strings.TrimSuffix(srv.Target, "."), fmt.Sprint(srv.Port))
			i := slices.IndexFunc(r.kdcs, func(k *kdc) bool { return k.addr == addr })
			if i < 0 {
				i = len(r.kdcs)
				r.kdcs = append(r.kdcs, &kdc{text: addr, addr: addr})
			}
			r.kdcs[i].over = append(r.kdcs[i].over, network)
		}
	}
	return r
}

// parseKDC reads what stands behind "kdc =": [tcp/|udp/]host[:port], with an IPv6 address in brackets if it has a port.
func parseKDC(text string) *kdc {
	k := &kdc{text: text, over: []string{"tcp", "udp"}}
	host := text
	for _, network := range k.over {
		if rest, ok := strings.CutPrefix(text, network+"/"); ok {
			host, k.over = rest, []string{network}
		}
	}
	if strings.Contains(host, "/") {
		k.over, k.err = nil, errors.New("not asked: it is reached in another way than over UDP and TCP")
		return k
	}
	port := "88"
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	k.addr = net.JoinHostPort(strings.Trim(host, "[]"), port)
	return k
}

// askAll asks all KDCs at the same time, as their realm's clients do.
func (r *realmKDCs) askAll(ctx context.Context, client string) {
	var all sync.WaitGroup
	for _, k := range r.kdcs {
		all.Go(func() { k.probe(ctx, client, r.realm) })
	}
	all.Wait()
}

func (k *kdc) probe(ctx context.Context, client, realm string) {
	if len(k.over) == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, kdcPatience, errSlow(kdcPatience))
	defer cancel()
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	for _, network := range k.over {
		all.Go(func() {
			start := time.Now()
			a, err := ask(ctx, network, k.addr, asRequest(client, "krbtgt/"+realm, realm))
			took := time.Since(start)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			if len(k.heard) == 0 || took < k.took {
				k.took = took
			}
			k.heard, k.code = append(k.heard, network), a.code
			if !a.time.IsZero() {
				k.clock, k.skew = true, off(a.time, start.Truncate(time.Second), start.Add(took)) // many tell whole seconds
			}
		})
	}
	all.Wait()
	slices.Sort(k.heard)
	if len(k.heard) == 0 {
		k.err = errs[0]
	}
}

// off is how far a time is from the span in which it was told.
func off(told, asked, answered time.Time) time.Duration {
	switch {
	case told.Before(asked):
		return told.Sub(asked)
	case told.After(answered):
		return told.Sub(answered)
	}
	return 0
}

// ask sends a request to a KDC and reads the answer, RFC 4120 section 7.2. Over UDP it asks again each second.
func ask(ctx context.Context, network, addr string, request []byte) (kdcAnswer, error) {
	b, err := exchangeWithKDC(ctx, network, addr, request)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = errors.New("it closes the connection without an answer")
		default:
			if op, ok := errors.AsType[*net.OpError](err); ok {
				err = op.Err // the address is known
			}
		}
		return kdcAnswer{}, err
	}
	return readAnswer(b)
}

func exchangeWithKDC(ctx context.Context, network, addr string, request []byte) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	answer := make([]byte, 64<<10)
	if network == "tcp" {
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, answer[:4]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(answer)
		if n > uint32(len(answer)) {
			return nil, errNoKDC
		}
		_, err = io.ReadFull(conn, answer[:n])
		return answer[:n], err
	}
	again := time.NewTicker(kdcSlow)
	defer again.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			_, _ = conn.Write(request) // that nobody is there is seen when reading
			select {
			case <-again.C:
			case <-done:
				return
			}
		}
	}()
	n, err := conn.Read(answer)
	return answer[:n], err
}

// unknown asks the KDCs of a realm for a service, and reports whether one has said that it does not know it.
func (r *realmKDCs) unknown(ctx context.Context, service string) bool {
	for _, k := range r.kdcs {
		for _, network := range k.heard {
			// The realm's own principal is there in each, so that what is not there is the service.
			a, err := ask(ctx, network, k.addr, asRequest("krbtgt/"+r.realm, service, r.realm))
			if err == nil {
				return a.code == krbServiceUnknown
			}
		}
	}
	return false
}

// answers reports whether a KDC is there, or may be, as far as one can see.
func (r *realmKDCs) answers() bool {
	return len(r.kdcs) == 0 || slices.ContainsFunc(r.kdcs, func(k *kdc) bool { return len(k.heard) > 0 || k.addr == "" })
}

// findKDCs asks the KDCs of the user's realm and of the service's.
func (c *checker) findKDCs(ctx context.Context) finding {
	if c.config == nil {
		return skipped("which KDCs there are is in krb5.conf: see there")
	}
	_, users := cutRealm(c.initiator)
	if users == "" && c.cache != nil {
		_, users = cutRealm(c.cache.Principal)
	}
	_, services := cutRealm(c.principal)
	var realms []string
	for _, realm := range []string{users, services} {
		if realm != "" && !slices.Contains(realms, realm) {
			realms = append(realms, realm)
		}
	}
	if len(realms) == 0 && c.config.DefaultRealm != "" {
		realms = []string{c.config.DefaultRealm}
	}
	if len(realms) == 0 {
		return skipped("there is no realm to look for: neither a ticket nor krb5.conf names one")
	}
	f := found("")
	var texts []string
	facts := []map[string]any{}
	for _, realm := range realms {
		r := locate(ctx, net.DefaultResolver, c.config, realm)
		client := "krbtgt/" + realm
		if name, of := cutRealm(c.initiator); of == realm {
			client = name
		}
		r.askAll(ctx, client)
		c.kdcs = append(c.kdcs, r)
		text := ""
		text, f = r.describe(f, c.initiator)
		texts = append(texts, realm+": "+text)
		for _, k := range r.kdcs {
			facts = append(facts, k.facts(r))
		}
	}
	f.Found = clean(strings.Join(texts, "; "))
	if users != "" && services != "" && users != services {
		f = f.hint(fmt.Sprintf("your ticket is of %s and the service of %s: the two realms have to trust each other; "+
			"if the service is not there, correct [domain_realm] in krb5.conf", users, services))
	}
	return f.fact("kdcs", facts)
}

func (r *realmKDCs) describe(f finding, initiator string) (string, finding) {
	if len(r.kdcs) == 0 {
		where := "krb5.conf names none, and dns_lookup_kdc is off"
		if r.from == "DNS" {
			where = "neither krb5.conf nor SRV records in DNS name one"
		}
		return "no KDC is found: " + where, f.warn(fmt.Sprintf(
			"unless a plug-in of libkrb5 knows the KDCs, set kdc = HOST for %s in [realms] of krb5.conf, or correct the name of the realm", r.realm))
	}
	var texts []string
	for _, k := range r.kdcs {
		switch {
		case len(k.heard) == 0 && k.addr == "":
			texts = append(texts, k.text+" is "+k.err.Error())
			continue
		case len(k.heard) == 0:
			texts = append(texts, fmt.Sprintf("%s does not answer: %v", k.text, k.err))
			if r.answers() {
				f = f.warn("each time that it is asked costs seconds: correct or remove " + k.text + " in " + r.from)
			}
			continue
		}
		texts = append(texts, fmt.Sprintf("%s answers after %s over %s", k.text, short(k.took), strings.Join(k.heard, " and ")))
		if k.took >= kdcSlow {
			f = f.warn(fmt.Sprintf("the KDC is slow, which makes single sign-on slow: libkrb5 asks again after %v; look at the KDC's load and at the network", kdcSlow))
		}
		switch {
		case k.code == krbWrongRealm:
			f = f.fail("that KDC serves another realm: correct kdc for " + r.realm + " in [realms] of krb5.conf")
		case k.code == krbClientUnknown && strings.HasSuffix(initiator, "@"+r.realm):
			f = f.warn("that KDC does not know " + initiator + ": it serves another realm, or the user is gone; see kdc in [realms] of krb5.conf")
		case k.code == krbClientUnknown:
			f = f.warn("that KDC does not know the realm " + r.realm + ": see kdc in [realms] of krb5.conf")
		}
	}
	if !r.answers() {
		f = f.fail("check that this machine is in the network of that KDC (VPN), that the KDC runs, that its address (from " + r.from + ") is right, and that no firewall is between")
	}
	return strings.Join(texts, ", "), f
}

func (k *kdc) facts(r realmKDCs) map[string]any {
	m := map[string]any{"realm": r.realm, "kdc": k.text, "from": r.from, "over": append([]string{}, k.heard...)}
	if k.err != nil {
		m["error"] = k.err.Error()
	}
	if len(k.heard) > 0 {
		m["milliseconds"] = k.took.Milliseconds()
	}
	if k.clock {
		m["clock_seconds"] = int(k.skew.Round(time.Second) / time.Second)
	}
	return m
}

// short writes a time that somebody has waited.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// isAddress reports whether a host is an IP address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
