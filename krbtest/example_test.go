package krbtest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/nego-sso/nego/krbtest"
)

// In a test, Start does the same in one line, and closes the realm.
func ExampleNew() {
	ctx := context.Background()
	realm, err := krbtest.New(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()

	if err := realm.AddUser("alice", "secret"); err != nil {
		log.Fatal(err)
	}
	if err := realm.Kinit(ctx, "alice", realm.CCache); err != nil {
		log.Fatal(err)
	}

	// Any program that uses Kerberos: klist -s looks for a valid ticket.
	cmd := exec.Command("klist", "-s")
	cmd.Env = append(os.Environ(), realm.Env()...)
	fmt.Println(realm.Name, cmd.Run())
	// Output: NEGO.TEST <nil>
}
