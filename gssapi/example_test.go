package gssapi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/nego-sso/nego/gssapi"
)

// Both sides of a context, and a message that only the other one can read. Between two programs the tokens go over the wire.
func ExampleSecContext_Step() {
	ctx := context.Background()
	client := gssapi.NewInitiator(gssapi.Service("HTTP", "localhost"), &gssapi.Options{Flags: gssapi.FlagMutual | gssapi.FlagConfidential})
	defer client.Close()
	server := gssapi.NewAcceptor(nil) // any key of the default keytab
	defer server.Close()

	var token []byte
	for !client.Established() || !server.Established() {
		var err error
		if token, err = client.Step(ctx, token); err != nil {
			log.Fatal(err)
		}
		if server.Established() {
			break
		}
		if token, err = server.Step(ctx, token); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Info().Initiator, "came by Kerberos:", server.Info().Mech == gssapi.KRB5)

	sealed, err := client.Wrap([]byte("a secret"), true)
	if err != nil {
		log.Fatal(err)
	}
	text, how, err := server.Unwrap(sealed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, confidential: %v\n", text, how.Confidential)
	// Output:
	// user@NEGO.TEST came by Kerberos: true
	// a secret, confidential: true
}

// A ticket cache that is named, and not the default one.
func ExampleAcquire() {
	cred, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{
		Store: gssapi.Store{CCache: os.Getenv("KRB5CCNAME")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cred.Close()
	info, err := cred.Info()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Name)
	// Output: user@NEGO.TEST
}

// The keys of a service.
func ExampleAcquire_acceptor() {
	cred, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{
		Name:  gssapi.Service("HTTP", ""), // on whatever host
		Usage: gssapi.Accept,
		Store: gssapi.Store{Keytab: os.Getenv("KRB5_KTNAME")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cred.Close()
	server := gssapi.NewAcceptor(&gssapi.Options{Credential: cred})
	defer server.Close()
	client := gssapi.NewInitiator(gssapi.Service("HTTP", "localhost"), nil)
	defer client.Close()
	token, err := client.Step(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := server.Step(context.Background(), token); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Info().Initiator)
	// Output: user@NEGO.TEST
}

// What kind of failure it is, and what a user can do.
func ExampleError() {
	_, err := gssapi.Acquire(context.Background(), &gssapi.CredentialOptions{
		Store: gssapi.Store{CCache: "FILE:/run/nego/cache"},
	})
	fmt.Println("no ticket:", errors.Is(err, gssapi.ErrNoCred))
	if e, ok := errors.AsType[*gssapi.Error](err); ok {
		fmt.Println(e.Hint)
	}
	// Output:
	// no ticket: true
	// run kinit -c FILE:/run/nego/cache
}
