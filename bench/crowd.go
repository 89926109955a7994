package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/negotiate"
)

const crowdPatience = 2 * time.Minute // after which what has no answer has failed

// openCrowd has n requests under way at once through one Transport: the server answers none of them before all are there.
func openCrowd(_ Subject, server string) (Program, error) {
	u, err := url.Parse(server)
	if err != nil {
		return Program{}, err
	}
	var t *negotiate.Transport
	var failures atomic.Int64
	var first error
	return Program{
		run: func(n int) error {
			if t == nil {
				t = &negotiate.Transport{Base: &http.Transport{MaxIdleConnsPerHost: n}}
			}
			ctx, cancel := context.WithTimeoutCause(context.Background(), crowdPatience, errors.New("no answer in time"))
			defer cancel()
			u.Path, u.RawQuery = hold, fmt.Sprintf("n=%d", n)
			failed := make(chan error, n)
			failures.Store(0)
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					if err := get(ctx, t.RoundTrip, u.String()); err != nil {
						failures.Add(1)
						failed <- err
						cancel() // the others would wait for this one
					}
				})
			}
			all.Wait()
			close(failed)
			first = <-failed
			return nil
		},
		add: func(s *Sample) {
			if s.Failures = int(failures.Load()); first != nil {
				s.Failure = first.Error()
			}
		},
	}, nil
}
