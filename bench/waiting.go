package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// openWaiting times tokens one by one, while other callers of the same default credential wait for a KDC that says nothing.
func openWaiting(s Subject) (Program, error) {
	if _, err := token(&asTransport, www); err != nil {
		return Program{}, err
	}
	for i := range s.Stuck {
		go func() {
			for { // the library gives up after half a minute
				_, _ = token(&asTransport, gssapi.Service("HTTP", fmt.Sprintf("stuck%d.nego.test", i)))
			}
		}()
	}
	var times []time.Duration
	return Program{
		run: func(n int) error {
			times = times[:0]
			for range n {
				start := time.Now()
				if _, err := token(&asTransport, www); err != nil {
					return err
				}
				times = append(times, time.Since(start))
			}
			return nil
		},
		add: func(s *Sample) {
			slices.Sort(times)
			s.Median = times[len(times)/2]
		},
	}, nil
}
