// Package cfloor calls MIT krb5's GSSAPI from C alone: what the library itself costs. Its loops, and their threads, are in
// C, and one crossing runs all of them.
package cfloor

// #cgo CFLAGS: -O2 -Wall
// #cgo LDFLAGS: -lpthread
// #cgo pkg-config: mit-krb5-gssapi mit-krb5
// #include <stdlib.h>
// #include "cfloor.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Kind is what a C program calls the library with.
type Kind C.enum_cf_kind

const (
	Default  Kind = C.CF_DEFAULT  // initiator, no credential: the library's default each time
	Acquired Kind = C.CF_ACQUIRED // initiator, a credential acquired once on the default cache
	Floor    Kind = C.CF_FLOOR    // initiator, a credential acquired once on a cache in memory, a krb5_context kept alive
	Acceptor Kind = C.CF_ACCEPTOR // acceptor, a credential acquired once on the default keytab, a krb5_context kept alive
	Inquirer Kind = C.CF_INQUIRER // the same, which asks for both names as nego does: of the context once it is complete
)

// A Program makes or accepts tokens with a number of C threads, of which each has a credential, a cache and a
// krb5_context of its own. It is for one goroutine at a time, and lives until the process ends.
type Program struct{ p *C.cf_program }

// Open makes a Program, from the default cache or keytab.
func Open(kind Kind, threads int) (Program, error) {
	var e C.cf_error
	p := C.cf_open(C.enum_cf_kind(kind), C.int(threads), &e)
	return Program{p}, failure(&e)
}

// Initiate makes n SPNEGO tokens for service@host.
func (p Program) Initiate(service string, n int) error {
	name := C.CString(service)
	defer C.free(unsafe.Pointer(name))
	var e C.cf_error
	C.cf_initiate(p.p, name, C.int(n), &e)
	return failure(&e)
}

// Tokens are what Accept takes: one after the other.
type Tokens struct {
	data    []byte
	lengths []C.size_t
}

// Add appends a token.
func (t *Tokens) Add(token []byte) {
	t.data = append(t.data, token...)
	t.lengths = append(t.lengths, C.size_t(len(token)))
}

// Accept accepts tokens. Each one must be new to the replay cache.
func (p Program) Accept(t *Tokens) error {
	if len(t.lengths) == 0 {
		return nil
	}
	var e C.cf_error
	C.cf_accept(p.p, unsafe.Pointer(&t.data[0]), &t.lengths[0], C.int(len(t.lengths)), &e)
	return failure(&e)
}

// Fill gets tickets for services, as in HTTP/localhost, into the default cache, which has a TGT: the first one's last, as the
// newest one, with padding bytes of authorization data in it.
func Fill(services []string, padding int) error {
	list := make([]*C.char, len(services))
	for i, s := range services {
		list[i] = C.CString(s)
		defer C.free(unsafe.Pointer(list[i]))
	}
	var e C.cf_error
	C.cf_fill(&list[0], C.int(len(list)), C.size_t(padding), &e)
	return failure(&e)
}

func failure(e *C.cf_error) error {
	if e.text[0] == 0 {
		return nil
	}
	return errors.New(C.GoString(&e.text[0]))
}
