# `make` lists the targets. Both variables are for go test: make test PKG=./gssapi ARGS='-v -run Name'
ARGS ?=
PKG  ?= ./...
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Homebrew keeps MIT krb5 off the paths, because macOS has a Kerberos of its own.
ifeq ($(shell uname -s),Darwin)
  KRB5 := $(or $(HOMEBREW_PREFIX),$(if $(wildcard /opt/homebrew/bin/brew),/opt/homebrew,/usr/local))/opt/krb5
  export PATH := $(KRB5)/bin:$(KRB5)/sbin:$(PATH)
  export PKG_CONFIG_PATH := $(KRB5)/lib/pkgconfig:$(PKG_CONFIG_PATH)
endif

.PHONY: help demo test interop build race asan lint bench deps clean
.NOTPARALLEL:

help:   ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps build  ## a realm, a protected server, a ticket and an authenticated GET
	./nego demo

test: deps $(if $(wildcard /usr/bin/apt-get),interop)  ## go vet, then every test, against a throw-away MIT realm
	go vet $(PKG)
	go test $(PKG) $(ARGS)

interop: deps  ## the tests against Apache, Squid, curl and sssd-kcm of Debian
	@scripts/deps interop
	go test -tags interop -run '^TestInterop' $(PKG) $(ARGS)

build:  ## the command, as ./nego
	go build -o nego ./cmd/nego

race: deps  ## the tests under the race detector, in random order
	go test -race -shuffle=on $(PKG) $(ARGS)

# For the whole stack of a leak, through libkrb5, at a fifth of the speed: ASAN_OPTIONS=fast_unwind_on_malloc=0 make asan
asan: export LSAN_OPTIONS = suppressions=$(CURDIR)/scripts/lsan.supp:print_suppressions=0
asan: deps  ## the tests with the C code under the address and leak sanitizers
	go test -asan -ldflags='-s=0 -w=0' $(PKG) $(ARGS)

lint: deps  ## gofmt, go vet, staticcheck
	@files=$$(gofmt -l .) && { test -z "$$files" || { echo "not gofmt'ed:" $$files >&2; exit 1; }; }
	go vet $(PKG)
	go vet -tags interop $(PKG)
	go run $(STATICCHECK) $(PKG)
	go run $(STATICCHECK) -tags interop $(PKG)

bench: deps  ## the benchmarks
	go test -run '^$$' -bench . -benchmem $(PKG) $(ARGS)

deps:   ## install what is missing: C compiler, krb5 headers, KDC, kinit
	@scripts/deps

clean:  ## remove what the targets above made
	rm -rf nego dist
