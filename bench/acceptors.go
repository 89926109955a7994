package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nego-sso/nego/bench/cfloor"
	"github.com/nego-sso/nego/gssapi"
)

// Who accepts tokens.
const (
	cAcceptor    = "C acceptor"
	cInquirer    = "C acceptor, both names"
	cCalled      = "C acceptor, both names, called from Go"
	negoAcceptor = "nego acceptor"
)

func openAcceptor(s Subject) (Program, error) {
	maker, err := startSelf("tokens", nil, "tokens", strconv.Itoa(s.Tickets))
	if err != nil {
		return Program{}, err
	}
	switch s.Who {
	case cAcceptor:
		return acceptC(s, cfloor.Acceptor, maker)
	case cInquirer:
		return acceptC(s, cfloor.Inquirer, maker)
	case cCalled:
		return acceptCalling(s, maker)
	case negoAcceptor:
		return accept(s, maker)
	}
	return Program{}, fmt.Errorf("%q accepts no tokens", s.Who)
}

func acceptC(s Subject, kind cfloor.Kind, maker *process) (Program, error) {
	p, err := cfloor.Open(kind, s.Threads)
	var tokens cfloor.Tokens
	return Program{
		prepare: func(n int) error {
			fresh, err := freshTokens(maker, n)
			tokens = cfloor.Tokens{}
			for _, t := range fresh {
				tokens.Add(t)
			}
			return err
		},
		run: func(int) error { return p.Accept(&tokens) },
	}, err
}

// acceptCalling has goroutines call C for each token, with a credential for each goroutine.
func acceptCalling(s Subject, maker *process) (Program, error) {
	var tokens []cfloor.Tokens
	all := make([]cfloor.Program, s.Threads)
	for i := range all {
		var err error
		if all[i], err = cfloor.Open(cfloor.Inquirer, 1); err != nil {
			return Program{}, err
		}
	}
	return Program{
		prepare: func(n int) error {
			fresh, err := freshTokens(maker, n)
			tokens = make([]cfloor.Tokens, len(fresh))
			for i, t := range fresh {
				tokens[i].Add(t)
			}
			return err
		},
		run: func(n int) error {
			return share(n, s.Threads, func(i int) error { return all[i%s.Threads].Accept(&tokens[i]) })
		},
	}, nil
}

func accept(s Subject, maker *process) (Program, error) {
	ctx := context.Background()
	keys, err := gssapi.Acquire(ctx, &gssapi.CredentialOptions{Usage: gssapi.Accept})
	var tokens [][]byte
	return Program{
		prepare: func(n int) (err error) {
			tokens, err = freshTokens(maker, n)
			return err
		},
		run: func(n int) error {
			return share(n, s.Threads, func(i int) error {
				c := gssapi.NewAcceptor(&gssapi.Options{Credential: keys})
				defer c.Close()
				if _, err := c.Step(ctx, tokens[i]); err != nil {
					return err
				}
				if c.Info().Initiator.IsZero() {
					return errors.New("accepted, and nobody has sent it")
				}
				return nil
			})
		},
	}, err
}

// freshTokens has another process make n tokens, as a server makes none: what the library keeps for an initiator would help
// it. And it empties the default replay cache, whose file never shrinks and gets slower with what it holds.
func freshTokens(maker *process, n int) (tokens [][]byte, err error) {
	file := filepath.Join(os.Getenv("KRB5RCACHEDIR"), "krb5_"+strconv.Itoa(os.Geteuid())+".rcache2")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := fmt.Fprintln(maker.stdin, n); err != nil {
		return nil, maker.failed(err)
	}
	return tokens, maker.read(&tokens)
}

// makeTokens is that other process.
func makeTokens(tickets string, in io.Reader, out io.Writer) error {
	next := func() ([]byte, error) { return token(&asTransport, www) }
	if tickets == "0" {
		next = newTicket
	}
	enc := json.NewEncoder(out)
	for {
		var n int
		if _, err := fmt.Fscan(in, &n); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		tokens := make([][]byte, n)
		for i := range tokens {
			var err error
			if tokens[i], err = next(); err != nil {
				return err
			}
		}
		if err := enc.Encode(tokens); err != nil {
			return err
		}
	}
}

// newTicket is a token with a ticket that the KDC has made for it: a copy of the cache gets that.
func newTicket() ([]byte, error) {
	cache, err := os.ReadFile(path("KRB5CCNAME"))
	if err != nil {
		return nil, err
	}
	dup := path("KRB5CCNAME") + ".copy"
	if err := os.WriteFile(dup, cache, 0o600); err != nil {
		return nil, err
	}
	cred, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{Store: gssapi.Store{CCache: "FILE:" + dup}})
	if err != nil {
		return nil, err
	}
	defer cred.Close()
	return token(&gssapi.Options{Credential: cred, AuthOnly: true}, www)
}
