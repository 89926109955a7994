package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nego-sso/nego/negotiate"
)

// serving is what `bench serve` writes when it is ready.
type serving struct {
	URL     string `json:"url"`
	Control string `json:"control"` // gives Counts, and is not counted
}

// Counts are what the server has seen.
type Counts struct {
	Requests    int64 `json:"requests"`
	Connections int64 `json:"connections"`
}

// serve is a server with this project's Authenticator, until its input ends.
func serve(in io.Reader, out io.Writer) error {
	var requests, connections atomic.Int64
	a := new(negotiate.Authenticator)
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") }
	mux.HandleFunc(outside, answer)
	mux.Handle(inside, a.Handler(http.HandlerFunc(answer)))
	mux.Handle(hold, a.Handler(new(gathering)))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			mux.ServeHTTP(w, r)
		}),
		ConnContext: a.ConnContext,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
	}
	control := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Counts{requests.Load(), connections.Load()})
	})}
	var urls [2]string
	failed := make(chan error, 2)
	for i, s := range []*http.Server{server, control} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		urls[i] = fmt.Sprintf("http://%s:%d", host, l.Addr().(*net.TCPAddr).Port)
		go func() { failed <- s.Serve(l) }()
	}
	if err := json.NewEncoder(out).Encode(serving{urls[0], urls[1]}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return errors.Join(err, server.Close(), control.Close())
	}
}

// A gathering answers requests when as many are waiting as each of them says, so that all are under way at once.
type gathering struct {
	mu      sync.Mutex
	waiting int
	all     chan struct{}
}

func (g *gathering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, "n: how many requests to wait for", http.StatusBadRequest)
		return
	}
	select {
	case <-g.join(n):
		_, _ = io.WriteString(w, "hello\n")
	case <-r.Context().Done():
	}
}

// join returns what is closed when n have joined.
func (g *gathering) join(n int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == 0 {
		g.all = make(chan struct{})
	}
	all := g.all
	if g.waiting++; g.waiting >= n {
		close(all)
		g.waiting = 0
	}
	return all
}
