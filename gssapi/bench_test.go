package gssapi

import (
	"context"
	"path/filepath"
	"testing"
)

// Each initiator benchmark makes one token with a service ticket that is in the cache already. What the
// parts cost in C is in the benchmarks' own module, bench.
func BenchmarkStepInitiator(b *testing.B) {
	ctx := context.Background()
	cc := "FILE:" + filepath.Join(b.TempDir(), "cc")
	if err := realm.Kinit(ctx, "alice", cc); err != nil {
		b.Fatal(err)
	}
	file, err := Acquire(ctx, &CredentialOptions{Store: Store{CCache: cc}})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	_, a := pair(b, &Options{Credential: file, Flags: FlagDelegate}, nil)
	memory := a.Delegated()
	defer memory.Close()
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, bc := range []struct {
		name string
		ctx  context.Context
		o    Options
	}{
		{"default", ctx, Options{}},
		{"default,cancellable", cancellable, Options{}},
		{"default,auth only", ctx, Options{AuthOnly: true}},
		{"file", ctx, Options{Credential: file}},
		{"memory", ctx, Options{Credential: memory}},
		{"memory,krb5", ctx, Options{Credential: memory, Mech: KRB5}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := NewInitiator(www, &bc.o)
				if _, err := c.Step(bc.ctx, nil); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

// Each acceptor benchmark accepts one fresh token, whose making is not timed.
func BenchmarkStepAcceptor(b *testing.B) {
	ctx := context.Background()
	for _, rcache := range []string{"none:", "file2:" + filepath.Join(b.TempDir(), "rcache")} {
		keys, err := Acquire(ctx, &CredentialOptions{Usage: Accept, Store: Store{Keytab: realm.KeytabFile, RCache: rcache}})
		if err != nil {
			b.Fatal(err)
		}
		defer keys.Close()
		b.Run("rcache="+rcache[:5], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				i := NewInitiator(www, nil)
				token, err := i.Step(ctx, nil)
				i.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				a := NewAcceptor(&Options{Credential: keys})
				if _, err := a.Step(ctx, token); err != nil || !a.Established() {
					b.Fatal(err)
				}
				a.Close()
			}
		})
	}
}
