package krbtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) != "" {
		helper()
		return
	}
	os.Exit(m.Run())
}

// helperVar tells the test binary to be the helper process, and which.
const helperVar = "KRBTEST_HELPER"

// helper starts a realm, tells about it, and does nothing until its input ends.
func helper() {
	r, err := New(context.Background(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(helperVar) == "stopped" {
		if err := r.StopKDC(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%s\t%s\n", r.Dir, r.Addr)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := r.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
