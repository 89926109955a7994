package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nego-sso/nego/bench/cfloor"
	"github.com/nego-sso/nego/krbtest"
)

// The servers that GET requests go to, and those clients of them that are no Go programs.
const (
	apache     = "Apache"
	goServer   = "Go server"
	curlClient = "curl"
	python     = "requests-kerberos"
)

//go:embed client.py
var pythonClient string

// A stage is what the subjects run against: a realm, ticket caches and servers.
type stage struct {
	realm   *krbtest.Realm
	caches  map[[2]int]string // by tickets and padding
	urls    map[string]string
	control string // of the Go server
	keytab  string // of a service that has one name, as most have
	closers []func() error
}

func newStage(ctx context.Context) (*stage, error) {
	realm, err := krbtest.New(ctx, &krbtest.Options{Services: services(hosts)})
	if err != nil {
		return nil, err
	}
	st := &stage{realm: realm, caches: map[[2]int]string{}, urls: map[string]string{}, keytab: filepath.Join(realm.Dir, "acceptor.keytab")}
	st.closers = append(st.closers, realm.Close)
	if err := realm.AddToKeytab(st.keytab, service); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

// serve starts the servers.
func (st *stage) serve() error {
	url, stop, err := startApache(st.realm.Env())
	if err != nil {
		return err
	}
	st.closers = append(st.closers, stop)
	st.urls[apache] = url
	p, err := startSelf(goServer, append(st.realm.Env(), "KRB5RCACHENAME=none:"), "serve")
	if err != nil {
		return err
	}
	st.closers = append(st.closers, p.close)
	var s serving
	if err := p.read(&s); err != nil {
		return err
	}
	st.urls[goServer], st.control = s.URL, s.Control
	return nil
}

func (st *stage) close() error {
	var errs []error
	for i := range st.closers {
		errs = append(errs, st.closers[len(st.closers)-1-i]())
	}
	return errors.Join(errs...)
}

// services are n of the realm. Those of other hosts come again where there are not so many: it takes long to create
// them, and a search through a cache takes as long.
func services(n int) []string {
	all := []string{service}
	for i := range n - 1 {
		all = append(all, "HTTP/"+hostName(1+i%(hosts-1)))
	}
	return all
}

func hostName(i int) string { return fmt.Sprintf("h%03d.nego.test", i) }

// cache returns a cache with so many service tickets, of which that for service has so much authorization data.
func (st *stage) cache(ctx context.Context, tickets, padding int) (string, error) {
	key := [2]int{tickets, padding}
	if name := st.caches[key]; name != "" {
		return name, nil
	}
	name := "FILE:" + filepath.Join(st.realm.Dir, fmt.Sprintf("tickets-%d-%d", tickets, padding))
	if err := st.realm.Kinit(ctx, "user", name); err != nil {
		return "", err
	}
	if tickets == 0 {
		st.caches[key] = name
		return name, nil
	}
	p, err := startSelf("fill "+name, append(st.realm.Env(), "KRB5CCNAME="+name), "fill", strconv.Itoa(tickets), strconv.Itoa(padding))
	if err != nil {
		return "", err
	}
	st.caches[key] = name
	return name, p.close()
}

// fill is the other side of cache, in the environment of that cache.
func fill(tickets, padding string) error {
	n, err := strconv.Atoi(tickets)
	if err != nil {
		return err
	}
	pad, err := strconv.Atoi(padding)
	if err != nil {
		return err
	}
	if err := cfloor.Fill(services(n), pad); err != nil {
		return err
	}
	t, err := token(&asTransport, www)
	if err == nil && len(t) < pad {
		err = fmt.Errorf("a token of %d bytes, although the ticket is to have %d more than usual", len(t), pad)
	}
	return err
}

// open starts the runners of rows.
func (st *stage) open(ctx context.Context, rows []*Row) error {
	for _, r := range rows {
		env, err := st.env(ctx, r.Subject)
		if err != nil {
			return err
		}
		if r.runner, err = st.runner(r.Subject, env); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

func (st *stage) runner(s Subject, env []string) (runner, error) {
	url := st.urls[s.Server]
	var r runner
	var err error
	switch s.Who {
	case curlClient:
		r = curl{env, url + inside}
	case python:
		r, err = start(python, env, "/usr/bin/python3", "-Ic", pythonClient, url+inside)
	default:
		var subject []byte
		if subject, err = json.Marshal(s); err == nil {
			r, err = startSelf(s.String(), env, "worker", string(subject), url)
		}
	}
	if s.Server == goServer && err == nil {
		r = counted{r, st.control}
	}
	return r, err
}

// env is the environment of a subject: the realm, its own ticket cache and replay cache, and nothing of the user's.
func (st *stage) env(ctx context.Context, s Subject) ([]string, error) {
	cache, err := st.cache(ctx, s.Tickets, s.Padding)
	if err != nil {
		return nil, err
	}
	replay, err := os.MkdirTemp(st.realm.Dir, "rcache-")
	if err != nil {
		return nil, err
	}
	env := append(st.realm.Env(), "KRB5CCNAME="+cache, "KRB5RCACHEDIR="+replay, "HOME="+st.realm.Dir, "NO_PROXY=*", "no_proxy=*")
	if s.RCache != "" {
		env = append(env, "KRB5RCACHENAME="+s.RCache+":", "KRB5_KTNAME="+st.keytab)
	}
	return env, nil
}

func closeAll(rows []*Row) error {
	var errs []error
	for _, r := range rows {
		if r.runner != nil {
			errs = append(errs, r.runner.close())
		}
	}
	return errors.Join(errs...)
}

// counted adds what the server has seen of a run.
type counted struct {
	runner
	control string
}

func (c counted) run(n int) (Sample, error) {
	before, err := c.counts()
	if err != nil {
		return Sample{}, err
	}
	s, err := c.runner.run(n)
	if err != nil {
		return s, err
	}
	after, err := c.counts()
	s.Requests, s.Connections = int(after.Requests-before.Requests), int(after.Connections-before.Connections)
	return s, err
}

func (c counted) counts() (counts Counts, err error) {
	resp, err := http.Get(c.control)
	if err != nil {
		return counts, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return counts, err
	}
	return counts, json.Unmarshal(body, &counts)
}
