package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	gospnego "github.com/dpotapov/go-spnego"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/nego-sso/nego/negotiate"
)

// Who makes GET requests. Those that are not Go programs are in foreign.go.
const (
	plain           = "net/http, nobody authenticated"
	negoPreemptive  = "nego, PreemptAlways"
	negoRemember    = "nego, PreemptRemember"
	negoChallenge   = "nego, on challenge"
	gokrbPreemptive = "gokrb5, preemptive"
	gokrbChallenge  = "gokrb5, on challenge"
	goSpnego        = "go-spnego"
)

// Paths of the servers: one for users, one for all, and one for users that answers when n requests wait for it.
const (
	inside  = "/in"
	outside = "/out"
	hold    = "/hold"
)

type doer func(*http.Request) (*http.Response, error)

func openClient(s Subject, server string) (Program, error) {
	u, err := url.Parse(server)
	if err != nil {
		return Program{}, err
	}
	base := baseTransport(u.Host, s.Threads)
	var do doer
	target := inside
	switch s.Who {
	case plain:
		do, target = base.RoundTrip, outside
	case negoPreemptive:
		do = (&negotiate.Transport{Base: base, Preemptive: negotiate.PreemptAlways}).RoundTrip
	case negoRemember:
		do = (&negotiate.Transport{Base: base, Preemptive: negotiate.PreemptRemember}).RoundTrip
	case negoChallenge:
		do = (&negotiate.Transport{Base: base}).RoundTrip
	case gokrbPreemptive:
		c, err := gokrb5Client()
		if err != nil {
			return Program{}, err
		}
		do = func(r *http.Request) (*http.Response, error) {
			if err := spnego.SetSPNEGOHeader(c, r, "HTTP/"+r.URL.Hostname()); err != nil {
				return nil, err
			}
			return base.RoundTrip(r)
		}
	case gokrbChallenge:
		c, err := gokrb5Client()
		if err != nil {
			return Program{}, err
		}
		do = spnego.NewClient(c, &http.Client{Transport: base}, service).Do
	case goSpnego:
		t := new(gospnego.Transport)
		t.MaxIdleConnsPerHost = s.Threads
		do = t.RoundTrip
	default:
		return Program{}, fmt.Errorf("%q makes no requests", s.Who)
	}
	urls := []string{server + target}
	for i := 1; i < s.Origins; i++ {
		u.Host = net.JoinHostPort(hostName(i), u.Port())
		urls = append(urls, u.String()+target)
	}
	return Program{run: func(n int) error {
		return share(n, s.Threads, func(i int) error {
			return get(context.Background(), do, urls[i%len(urls)])
		})
	}}, nil
}

// baseTransport keeps as many connections as there are goroutines, and goes to the one server whatever the host.
func baseTransport(server string, goroutines int) *http.Transport {
	var d net.Dialer
	return &http.Transport{
		MaxIdleConnsPerHost: goroutines,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, server)
		},
	}
}

// get makes one GET and reads its answer.
func get(ctx context.Context, do doer, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s (%v)", url, resp.Status, negotiate.OutcomeOf(resp).Err)
	}
	return nil
}
