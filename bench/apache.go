//go:build interop

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/nego-sso/nego/internal/peers"
)

// startApache starts Apache with mod_auth_gssapi, which asks for a token with each request.
func startApache(env []string) (url string, stop func() error, err error) {
	b := &borrower{ctx: context.Background()}
	defer func() {
		if r := recover(); r != nil {
			if r != error(b.err) {
				panic(r)
			}
			b.release()
			err = b.err
		}
	}()
	s := peers.Apache(b, peers.ApacheOptions{
		Env:    env,
		Config: peers.Location(inside, peers.AuthKrb5),
		Backend: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello\n")
		}),
	})
	return s.URL, b.release, nil
}

// A borrower is the test that package peers starts servers for.
type borrower struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	err      error
}

func (b *borrower) Helper()                  {}
func (b *borrower) Context() context.Context { return b.ctx }
func (b *borrower) Cleanup(f func())         { b.cleanups = append(b.cleanups, f) }
func (b *borrower) Failed() bool             { return b.err != nil }
func (b *borrower) Error(args ...any)        { b.err = fmt.Errorf("%s", fmt.Sprint(args...)) }

func (b *borrower) Logf(format string, args ...any) {
	b.err = fmt.Errorf("%w\n%s", b.err, fmt.Sprintf(format, args...))
}

func (b *borrower) Fatal(args ...any) {
	b.Error(args...)
	panic(b.err)
}

func (b *borrower) Fatalf(format string, args ...any) { b.Fatal(fmt.Sprintf(format, args...)) }

// release stops the servers.
func (b *borrower) release() error {
	for _, f := range slices.Backward(b.cleanups) {
		f()
	}
	b.cleanups = nil
	return b.err
}
