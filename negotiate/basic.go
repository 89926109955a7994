package negotiate

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

const (
	basicChallenge = `Basic realm="Kerberos", charset="UTF-8"`

	passwordTime  = 5 * time.Minute  // how long a password that was right is taken without asking the KDC
	passwordTries = 5                // wrong passwords for one principal that the KDC is asked about at once,
	tryTime       = 30 * time.Second // and how long until one more
	maxPrincipals = 1 << 16          // that the tries are counted for
	looksToForget = 32               // of those
	maxPasswords  = 1 << 12          // that are remembered
	maxUserName   = 256
	askingAtOnce  = 32  // of the calls into the library, for all principals
	askingLater   = 256 // that wait for one of them
	keysTried     = 3
)

// passwords are what an Authenticator with Basic knows of passwords. None is kept: it is found again by a digest that is
// keyed with a secret of this process.
type passwords struct {
	mu     sync.Mutex
	secret []byte
	judged map[[sha256.Size]byte]*judgement
	busy   map[string]time.Time // by principal: when all its tries are there again
	asking chan struct{}
	later  atomic.Int64
}

// judgement is what the KDC says of one user and password. It is there before the answer is, so that those who come with
// the same one meanwhile wait for it.
type judgement struct {
	done  chan struct{}
	id    *Identity // nil: no
	err   error
	gone  bool // the client that it was asked for had gone before there was one
	until time.Time
}

// basicAuth returns the user and password of a request, where it is to be authenticated by them.
func (a *Authenticator) basicAuth(r *http.Request) (user, password string, ok bool) {
	if !a.Basic || len(r.Header[replyHeader]) != 1 {
		return "", "", false
	}
	return r.BasicAuth()
}

// offersBasic reports whether the answer to a request may ask for a password.
func (a *Authenticator) offersBasic(r *http.Request) bool {
	return a.Basic && r.TLS != nil && a.ChannelBinding != BindRequired
}

// acceptPassword returns who the user of a password is.
func (a *Authenticator) acceptPassword(w http.ResponseWriter, r *http.Request, user, password string) (*Identity, error) {
	ctx := r.Context()
	switch {
	case r.TLS == nil:
		return nil, errors.New("a password came without TLS")
	case a.ChannelBinding == BindRequired:
		return nil, fmt.Errorf("%w: a password is bound to nothing", ErrBinding)
	case user == "" || password == "" || len(user) > maxUserName:
		return nil, errors.New("a password came without a user, or a user without a password")
	}
	name, err := gssapi.User(user).Canonical(ctx, gssapi.KRB5)
	if err != nil {
		return nil, err
	}
	p := &a.passwords
	for {
		v, wait, mine := p.look(name.String(), password)
		switch {
		case wait > 0:
			w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
			return nil, ErrTries
		case mine:
			a.try(r, name, password, v)
		}
		select {
		case <-v.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		switch {
		case v.id != nil:
			return &Identity{Info: v.id.Info, LocalName: v.id.LocalName, Attributes: copyAttributes(v.id.Attributes), By: ByPassword}, nil
		case mine || !v.gone:
			return nil, v.err
		}
	}
}

// try has the KDC give the judgement on a password. Somebody may wait for it, so there is one even if a Trace panics.
func (a *Authenticator) try(r *http.Request, user gssapi.Name, password string, v *judgement) {
	err, gone := errors.New("the check of the password did not end"), true
	var id *Identity
	defer func() { a.passwords.judge(user.String(), v, id, err, gone) }()
	id, err = a.askKDC(r.Context(), r, user, password)
	gone = r.Context().Err() != nil
}

// look finds the judgement on a password. Where there is none, it is the caller's to give, with judge, unless it has to wait
// for another try.
func (p *passwords) look(who, password string) (v *judgement, wait time.Duration, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.judged == nil {
		p.secret = make([]byte, sha256.Size)
		rand.Read(p.secret) // never fails
		p.judged, p.busy = map[[sha256.Size]byte]*judgement{}, map[string]time.Time{}
		p.asking = make(chan struct{}, askingAtOnce)
	}
	now, key := time.Now(), p.digest(who, password)
	if v := p.judged[key]; v != nil && (v.until.IsZero() || v.until.After(now)) {
		return v, 0, false
	}
	if wait := p.take(who, now); wait > 0 {
		return nil, wait, false
	}
	p.prune(now)
	v = &judgement{done: make(chan struct{})}
	p.judged[key] = v
	return v, 0, true
}

func (p *passwords) digest(who, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.secret)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(who))))
	h.Write([]byte(who))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}

// take takes one of a principal's tries, or says how long it is until there is one. It is given back if the password is
// right: not if the client goes away, or it could go on for ever that way. Some KDCs, such as Active Directory, do not
// tell names apart that differ in case, so all of these are one principal here.
func (p *passwords) take(who string, now time.Time) (wait time.Duration) {
	who = strings.ToLower(who)
	t, known := p.busy[who]
	if !known && len(p.busy) >= maxPrincipals {
		p.forget()
	}
	if t.Before(now) {
		t = now
	}
	if wait := t.Sub(now) - (passwordTries-1)*tryTime; wait > 0 {
		return wait
	}
	p.busy[who] = t.Add(tryTime)
	return 0
}

// forget makes room for a principal. It looks at a few only, and forgets the one whose tries are back first: a client that
// makes principals up pushes out those rather than the ones that are under attack.
func (p *passwords) forget() {
	var first string
	seen := 0
	for who, t := range p.busy {
		if seen == 0 || t.Before(p.busy[first]) {
			first = who
		}
		if seen++; seen == looksToForget {
			break
		}
	}
	delete(p.busy, first)
}

// prune makes room for a judgement.
func (p *passwords) prune(now time.Time) {
	if len(p.judged) < maxPasswords {
		return
	}
	for k, v := range p.judged {
		if !v.until.IsZero() && !v.until.After(now) {
			delete(p.judged, k)
		}
	}
	for k := range p.judged {
		if len(p.judged) < maxPasswords {
			break
		}
		delete(p.judged, k) // whoever waits for it still has it
	}
}

// judge gives the judgement. One against a password is not kept: the KDC may be told another.
func (p *passwords) judge(who string, v *judgement, id *Identity, err error, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v.id, v.err, v.gone, v.until = id, err, gone, time.Now()
	if err == nil {
		who = strings.ToLower(who)
		if t, known := p.busy[who]; known {
			p.busy[who] = t.Add(-tryTime)
		}
		v.until = v.until.Add(passwordTime)
		if e := id.Expires; !e.IsZero() && e.Before(v.until) {
			v.until = e
		}
	}
	close(v.done)
}

// askKDC has the KDC check a password, and a key of the keytab check the KDC: it gets a ticket for the password, with
// that one for this service, and accepts it like a client's. If the client goes away the library goes on, and others ask
// in its place only when it is done: a silent KDC gets no more of its slots than askingAtOnce.
func (a *Authenticator) askKDC(ctx context.Context, r *http.Request, user gssapi.Name, password string) (*Identity, error) {
	acceptor, err := a.credential(ctx)
	if err != nil {
		return nil, err
	}
	services, err := servicesOf(ctx, acceptor, r.Host, realmOf(user))
	if err != nil {
		return nil, err
	}
	if err := a.passwords.queue(ctx); err != nil {
		return nil, err
	}
	calls := make(chan GSSInfo, 1+2*keysTried) // for the Trace, which is called here
	var found *Identity
	var failed error
	go func() {
		defer func() {
			close(calls)
			<-a.passwords.asking
		}()
		found, failed = a.check(ctx, &Trace{GSS: func(_ context.Context, i GSSInfo) { calls <- i }}, acceptor, services, user, password)
	}()
	for {
		select {
		case i, more := <-calls:
			if !more && ctx.Err() == nil {
				return found, failed
			}
			if more {
				a.Trace.gss(ctx, i)
				continue
			}
		case <-ctx.Done():
		}
		return nil, context.Cause(ctx)
	}
}

// queue waits for a place among those who ask. Where too many wait already, it is better to say so at once.
func (p *passwords) queue(ctx context.Context) error {
	defer p.later.Add(-1)
	if p.later.Add(1) > askingLater {
		return errors.New("too many others wait for the KDC to check their passwords")
	}
	select {
	case p.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// check makes the calls of askKDC. They do not end with ctx, but there are no more of them then.
func (a *Authenticator) check(ctx context.Context, t *Trace, acceptor *gssapi.Credential, services []gssapi.Name, user gssapi.Name, password string) (*Identity, error) {
	call := context.WithoutCancel(ctx)
	start := time.Now()
	cred, err := gssapi.Acquire(call, &gssapi.CredentialOptions{Name: user, Mechs: []gssapi.OID{gssapi.KRB5}, Store: gssapi.Store{Password: password}})
	t.gss(call, GSSInfo{Op: "acquire", Info: gssapi.Info{Initiator: user, Initiated: true}, Duration: time.Since(start), Err: err})
	if err != nil {
		return nil, err
	}
	defer cred.Close()
	for _, service := range services {
		var id *Identity
		if id, err = a.verify(call, t, cred, acceptor, service); err == nil || ctx.Err() != nil {
			return id, err
		}
	}
	return nil, err
}

// verify authenticates the owner of a credential to a service whose key the acceptor has.
func (a *Authenticator) verify(ctx context.Context, t *Trace, cred, acceptor *gssapi.Credential, service gssapi.Name) (*Identity, error) {
	client := gssapi.NewInitiator(service, &gssapi.Options{Credential: cred, Mech: gssapi.KRB5})
	defer client.Close()
	token, err := step(ctx, t, client, "verify", nil)
	if err != nil {
		return nil, err
	}
	server := gssapi.NewAcceptor(&gssapi.Options{Credential: acceptor})
	defer server.Close()
	if _, err = step(ctx, t, server, "accept", token); err != nil {
		return nil, err
	}
	if !server.Established() {
		return nil, ErrLegs
	}
	return a.identify(ctx, server)
}

// servicesOf lists a few services that an acceptor has keys of, those first that clients of this host would name. Users of
// realms that the machine has no part in are turned away: else every client could have it ask KDCs of its choice.
func servicesOf(ctx context.Context, acceptor *gssapi.Credential, host, realm string) ([]gssapi.Name, error) {
	keys, err := acceptor.Keys(ctx)
	if err != nil {
		return nil, err
	}
	here, err := gssapi.User("user").Canonical(ctx, gssapi.KRB5)
	if err != nil {
		return nil, err
	}
	var services []gssapi.Name
	known := realm == realmOf(here)
	for _, k := range keys {
		known = known || realm == realmOf(k.Principal)
		if !slices.Contains(services, k.Principal) {
			services = append(services, k.Principal)
		}
	}
	if !known && !configured(ctx, realm) {
		return nil, fmt.Errorf("the realm %s is neither the keytab's nor one of krb5.conf: its users can only come with a ticket", realm)
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	rank := func(n gssapi.Name) int {
		service, _, _ := strings.Cut(n.String(), "@")
		_, at, _ := strings.Cut(service, "/")
		switch {
		case strings.EqualFold(at, host):
			return 0
		case realmOf(n) == realm:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(services, func(a, b gssapi.Name) int { return cmp.Compare(rank(a), rank(b)) })
	return services[:min(len(services), keysTried)], nil
}

// configured reports whether krb5.conf has a section for a realm. One that cannot be read has none.
func configured(ctx context.Context, realm string) bool {
	config, err := gssapi.ReadConfig(ctx)
	return err == nil && slices.ContainsFunc(config.Realms, func(r gssapi.Realm) bool { return r.Name == realm })
}

// realmOf returns the realm of a principal, and "" where an at sign is part of it.
func realmOf(principal gssapi.Name) string {
	s := principal.String()
	i := strings.LastIndexByte(s, '@')
	if i < 0 || strings.HasSuffix(s[:i], `\`) {
		return ""
	}
	return s[i+1:]
}
