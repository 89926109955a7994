package main

import (
	"context"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/nego-sso/nego/bench/cfloor"
	"github.com/nego-sso/nego/gssapi"
)

// Who makes initiator tokens.
const (
	cDefault     = "C, default credential"
	cAcquired    = "C, acquired credential"
	cFloor       = "C floor"
	negoDefault  = "nego, default credential"
	negoContext  = "nego, whole context"
	negoAcquired = "nego, acquired credential"
	gokrb5       = "gokrb5"
)

// The service that all tokens are for.
const (
	host    = "localhost"
	service = "HTTP/" + host
)

var www = gssapi.Service("HTTP", host)

func openInitiator(s Subject) (Program, error) {
	switch s.Who {
	case cDefault:
		return initiateC(cfloor.Default, s)
	case cAcquired:
		return initiateC(cfloor.Acquired, s)
	case cFloor:
		return initiateC(cfloor.Floor, s)
	case negoDefault:
		return initiate(&asTransport, s), nil
	case negoContext:
		return initiate(nil, s), nil
	case negoAcquired:
		cred, err := gssapi.Acquire(context.Background(), nil)
		return initiate(&gssapi.Options{Credential: cred}, s), err
	case gokrb5:
		return initiateGokrb5(s)
	}
	return Program{}, fmt.Errorf("%q makes no tokens", s.Who)
}

func initiateC(kind cfloor.Kind, s Subject) (Program, error) {
	p, err := cfloor.Open(kind, s.Threads)
	return Program{run: func(n int) error { return p.Initiate("HTTP@"+host, n) }}, err
}

func initiate(o *gssapi.Options, s Subject) Program {
	return Program{run: func(n int) error {
		return share(n, s.Threads, func(int) error {
			_, err := token(o, www)
			return err
		})
	}}
}

// asTransport is what negotiate.Transport asks for.
var asTransport = gssapi.Options{AuthOnly: true}

// token makes one token of this project.
func token(o *gssapi.Options, target gssapi.Name) ([]byte, error) {
	c := gssapi.NewInitiator(target, o)
	defer c.Close()
	return c.Step(context.Background(), nil)
}

func initiateGokrb5(s Subject) (Program, error) {
	c, err := gokrb5Client()
	return Program{run: func(n int) error {
		return share(n, s.Threads, func(int) error {
			token, err := spnego.SPNEGOClient(c, service).InitSecContext()
			if err != nil {
				return err
			}
			_, err = token.Marshal()
			return err
		})
	}}, err
}

// gokrb5Client is one with the tickets of the default cache in its memory.
func gokrb5Client() (*client.Client, error) {
	c, err := config.Load(path("KRB5_CONFIG"))
	if err != nil {
		return nil, err
	}
	cache, err := credentials.LoadCCache(path("KRB5CCNAME"))
	if err != nil {
		return nil, err
	}
	return client.NewFromCCache(cache, c, client.DisablePAFXFAST(true))
}
