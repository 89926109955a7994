package negotiate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// threads counts those of the process, where the system tells.
func threads(t *testing.T) int {
	f, err := os.Open("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "Threads:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no number of threads")
	return 0
}

// A KDC accepts and never answers. A thousand requests end when their contexts do, and the first one after the KDC is back
// succeeds.
func TestPoint14SilentKDC(t *testing.T) {
	const workers, each, timeout = 50, 20, 200 * time.Millisecond
	host := newService(t)
	k := newKeeper(t)
	before := threads(t)
	back := silenceKDC(t)
	defer back()
	for name, tr := range map[string]*Transport{
		"never":  {},
		"always": {Preemptive: PreemptAlways},
		"strict": {Strict: true, Mutual: MutualRequired},
	} {
		n := each
		if name != "never" {
			n = 1
		}
		tr.Base = sendTo(k.Listener.Addr().String())
		client := &http.Client{Transport: tr}
		var mu sync.Mutex
		var took []time.Duration
		var most atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range n {
					ctx, cancel := context.WithTimeout(t.Context(), timeout)
					start := time.Now()
					resp, err := client.Do(newRequest(t, "GET", "http://"+host, nil).WithContext(ctx))
					d := time.Since(start)
					cancel()
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v, %v", resp, err)
					}
					mu.Lock()
					took = append(took, d)
					if n := int64(threads(t)); n > most.Load() {
						most.Store(n)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(took)
		median, p99, worst := took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
		t.Logf("%s: %d requests, median %v, 99%% %v, worst %v; %d threads, %d before", name, len(took), median, p99, worst, most.Load(), before)
		// Where the library is waited for, it takes a second before it only asks again.
		if median > time.Second || worst > 3*time.Second {
			t.Errorf("it took too long")
		}
		// The library may have 128 calls for initiators and as many looks into caches under way.
		if most.Load() > int64(before)+128+64 {
			t.Errorf("%d threads", most.Load())
		}
		tr.CloseIdleConnections()
	}
	back()
	tr := &Transport{Base: sendTo(k.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	start := time.Now()
	resp, err := (&http.Client{Transport: tr}).Do(newRequest(t, "GET", "http://"+host, nil))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "user@NEGO.TEST" {
		t.Errorf("%s, %q, %+v", resp.Status, b, OutcomeOf(resp))
	}
	t.Logf("it was back after %v", time.Since(start))
}

// A context that ends before, or at any time during, a request ends it; nothing hangs, and the Transport works on.
func TestPoint14CancelledAnywhere(t *testing.T) {
	k := newKeeper(t)
	for _, tr := range []*Transport{{}, {Preemptive: PreemptAlways}, {Mutual: MutualRequired, Preemptive: PreemptAlways}} {
		client := &http.Client{Transport: tr}
		get(t, client, k.URL+"/always")
		for i := range 200 {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("stop")
			timer := time.AfterFunc(time.Duration(i)*10*time.Microsecond, func() { cancel(stop) })
			req := newRequest(t, "POST", k.URL+"/always", strings.NewReader("text")).WithContext(ctx)
			resp, err := tr.RoundTrip(req)
			timer.Stop()
			switch {
			case err != nil && !errors.Is(err, stop):
				t.Errorf("%d: %v", i, err)
			case err == nil && resp.StatusCode != 200:
				t.Errorf("%d: %s, %+v", i, resp.Status, OutcomeOf(resp))
			}
			if err == nil {
				resp.Body.Close()
			}
			cancel(nil)
		}
		if resp, body := get(t, client, k.URL+"/always"); body != "user@NEGO.TEST" {
			t.Errorf("%s, %q, %+v", resp.Status, body, OutcomeOf(resp))
		}
		tr.CloseIdleConnections()
	}
}
