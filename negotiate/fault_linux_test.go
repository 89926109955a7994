package negotiate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lockOpenFile is F_OFD_SETLK, which libkrb5 takes caches with, where it can: it also keeps this process from its own files.
const lockOpenFile = 37

// Somebody holds the lock of the ticket cache, and the KDC's clients wait for it. A request waits no longer than its context,
// and the next one is fine when the lock is free.
func TestLockedCache(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	u.prepare(t)
	u.become(t, u.alice)
	s := protect(t, new(Authenticator))
	tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	host := freshHost(t) // before the lock: kadmin.local looks into the cache as well
	f, err := os.OpenFile(u.cache, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), lockOpenFile, &lock); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if resp, body, err := within(t, tr, 300*time.Millisecond, "http://"+host); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %q, %v", resp, body, err)
		}
	}
	f.Close() // and with it the lock
	if resp, body, err := within(t, tr, 20*time.Second, "http://"+host); err != nil || body != u.alice {
		t.Errorf("without the lock: %v, %q, %v", resp, body, err)
	}
}

// The disk is full when a ticket is to be written: a file may not grow, or by a part of a ticket. The request has its ticket all the
// same. Where the library then writes behind that part the cache is damaged, which the reason says; kinit makes it good again.
func TestFullDisk(t *testing.T) {
	u, child := inChildOfUsers(t)
	if !child {
		return
	}
	os.Setenv("KRB5RCACHENAME", "none:") // the server's files are not meant, and nobody has read it yet
	u.prepare(t)
	signal.Ignore(syscall.SIGXFSZ) // which is what tells whoever writes, beside the error
	s := protect(t, new(Authenticator))
	tr := &Transport{Base: sendTo(s.Listener.Addr().String())}
	defer tr.CloseIdleConnections()
	for _, room := range []int64{0, 10, 300} {
		u.become(t, u.alice)
		host := freshHost(t)
		i, err := os.Stat(u.cache)
		if err != nil {
			t.Fatal(err)
		}
		free := limitFiles(t, uint64(i.Size()+room))
		resp, body, err := within(t, tr, 20*time.Second, "http://"+host)
		free()
		if err != nil || body != u.alice {
			t.Errorf("room for %d bytes: %v, %q, %v", room, resp, body, err)
		}
		for range 2 {
			resp, body, err := within(t, tr, 20*time.Second, "http://"+freshHost(t))
			if err != nil {
				t.Fatal(err)
			}
			why := fmt.Sprint(OutcomeOf(resp).Err)
			if body != u.alice && !(room > 0 && strings.Contains(why, u.cache) && strings.Contains(why, "run kinit")) {
				t.Errorf("room again after %d bytes: %s, %q, %s", room, resp.Status, body, why)
			}
		}
		u.kinit(t, u.bob)
		if resp, body, err := within(t, tr, 20*time.Second, "http://"+host); err != nil || body != u.bob {
			t.Errorf("after kinit: %v, %q, %v", resp, body, err)
		}
	}
}

// limitFiles keeps files from growing beyond a size, until free.
func limitFiles(t *testing.T, size uint64) (free func()) {
	t.Helper()
	var old syscall.Rlimit
	const fsize = 1 // RLIMIT_FSIZE
	if err := syscall.Getrlimit(fsize, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(fsize, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(fsize, &old); err != nil {
			t.Fatal(err)
		}
	}
}
