# `make` lists the targets. Both variables are for go test: make test PKG=./gssapi ARGS='-v -run Name'
ARGS ?=
PKG  ?= ./...
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ACTIONLINT  := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# Homebrew keeps MIT krb5 off the paths, because macOS has a Kerberos of its own.
ifeq ($(shell uname -s),Darwin)
  KRB5 := $(or $(HOMEBREW_PREFIX),$(if $(wildcard /opt/homebrew/bin/brew),/opt/homebrew,/usr/local))/opt/krb5
  export PATH := $(KRB5)/bin:$(KRB5)/sbin:$(PATH)
  export PKG_CONFIG_PATH := $(KRB5)/lib/pkgconfig:$(PKG_CONFIG_PATH)
endif

# Debian's Heimdal goes beside MIT krb5; the tests then run with both.
HEIMDAL := $(shell pkg-config --exists heimdal-gssapi heimdal-krb5 2>/dev/null && echo heimdal)

.PHONY: help demo test interop heimdal docker-test build package package-test systemd-test reproducible race asan lint vulncheck fuzz soak bench bench-smoke deps clean
.NOTPARALLEL:

help:   ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps build  ## a tour of the command, in a realm of its own
	./nego demo

test: deps $(if $(wildcard /usr/bin/apt-get),interop) $(HEIMDAL)  ## go vet, then every test, against a throw-away MIT realm
	go vet $(PKG)
	go test $(PKG) $(ARGS)

interop: deps  ## the tests against the servers and clients of Debian: Apache, Squid, curl, Java, Chromium …
	@scripts/deps interop
	go test -tags interop -run '^TestInterop' $(PKG) $(ARGS)

docker-test:  ## realms, Apache, Squid and the tests in containers, by host name; docker/README.md has its settings
	@docker/test

heimdal: deps  ## the tests with Heimdal in place of MIT krb5, against the same realm
	@scripts/deps heimdal
	go vet -tags heimdal $(PKG)
	go test -tags heimdal $(PKG) $(ARGS)

build:  ## the command, as ./nego
	go build -o nego ./cmd/nego

reproducible:  ## the command, built twice in two directories, is the same to the last byte
	@scripts/reproducible

package: deps  ## dist/*.deb and dist/*.rpm, of this machine's architecture
	packaging/build

package-test: package  ## the packages installed into a bare Debian container, and used there
	packaging/test

systemd-test: package  ## the .deb in a Debian with systemd of its own, which starts the services; as root
	packaging/systemd-test

race: deps  ## the tests under the race detector, in random order
	go test -race -shuffle=on $(PKG) $(ARGS)

# For the whole stack of a leak, through libkrb5, at a fifth of the speed: ASAN_OPTIONS=fast_unwind_on_malloc=0 make asan
# Heimdal leaks in functions that have no names, under calls that would hide ours as well: it is looked at for addresses alone, by
# ASAN_OPTIONS=detect_leaks=0 make asan PKG=./gssapi ARGS='-tags heimdal'
asan: export LSAN_OPTIONS = suppressions=$(CURDIR)/scripts/lsan.supp:print_suppressions=0
asan: deps  ## the tests with the C code under the address and leak sanitizers
	go test -asan -ldflags='-s=0 -w=0' $(PKG) $(ARGS)

lint: deps  ## gofmt, go vet, staticcheck, actionlint
	@files=$$(gofmt -l .) && { test -z "$$files" || { echo "not gofmt'ed:" $$files >&2; exit 1; }; }
	go vet $(PKG)
	go vet -tags interop,docker $(PKG)
	go run $(STATICCHECK) $(PKG)
	go run $(STATICCHECK) -tags interop,docker $(PKG)
	cd bench && go vet ./... && go vet -tags interop ./... && go run $(STATICCHECK) -tags interop ./...
	go run $(ACTIONLINT) -shellcheck= -pyflakes=

vulncheck: deps  ## known vulnerabilities in what is called; it asks vuln.go.dev, or VULNDB, which scripts/vulndb makes
	go run $(GOVULNCHECK) $(if $(VULNDB),-db $(VULNDB)) $(PKG)

# With NTLM beside Kerberos: make fuzz PKG=./gssapi MECHS=/etc/gss/mech.d/mech.ntlmssp.conf
# With the address sanitizer, which the leaks of the library would end: ASAN_OPTIONS=detect_leaks=0 make fuzz SANITIZER=-asan
fuzz: export NEGO_FUZZ_MECHS = $(MECHS)
fuzz: deps  ## every fuzz test for ten seconds, or for ARGS=-fuzztime=1h
	@for pkg in $$(go list $(PKG)); do \
	  for name in $$(go test $(SANITIZER) -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    go test $(SANITIZER) -run '^$$' -fuzz "^$$name\$$" -fuzzminimizetime=1s $(or $(ARGS),-fuzztime=10s) $$pkg || exit; \
	  done; \
	done

soak: deps  ## what grows over a million handshakes (or HANDSHAKES), and who gets whose answer in a crowd of 10,000 requests
	NEGO_SOAK=$(or $(HANDSHAKES),1000000) go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./gssapi
	NEGO_CROWD=10000 go test -count=1 -v -race -run '^TestCrowd$$' ./negotiate

bench: deps  ## measured against C, gokrb5, curl and others, into bench/README.md; ARGS=-quick only looks whether it works
	@scripts/deps interop
	cd bench && go run -tags interop . $(ARGS)

bench-smoke: deps  ## everything that `make bench` measures, once
	@scripts/deps interop
	cd bench && go test -tags interop ./... $(ARGS)

deps:   ## install what is missing: C compiler, krb5 headers, KDC, kinit, curl, git
	@scripts/deps

clean:  ## remove what the targets above made
	rm -rf nego dist
