package krbtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// startTimeout bounds Start, whose caller gives no deadline. A realm needs
	// about 100 ms; the rest is for machines that are busy with other tests.
	startTimeout = time.Minute

	// commandTimeout bounds methods that take no context.
	commandTimeout = 30 * time.Second

	// maxPorts is how many ports are tried before a realm fails to start.
	maxPorts = 5
)

// errClosed is the cause in errors of a realm which has been closed.
var errClosed = errors.New("the realm is closed")

// Options are the choices of a new realm. A nil *Options and the zero value
// are the same, and ready to use.
type Options struct {
	// Realm is the name of the realm; "" means NEGO.TEST.
	Realm string

	// Users are created with random passwords, which [Realm.Kinit] knows, and
	// the first one gets a ticket in [Realm.CCache]. Nil means "user". An empty
	// slice that is not nil means no user, and no ticket.
	Users []string

	// Services are created with random keys, which are put into
	// [Realm.KeytabFile]. Nil means "HTTP/localhost". An empty slice that is
	// not nil means no service, and no keytab.
	Services []string

	// ExtraConfig is text in the format of krb5.conf(5), with its [section]
	// headers. It stands before the realm's own configuration, and the first
	// value of a setting is the one which counts, so that it can change every
	// setting and add every section:
	//
	//	"[libdefaults]\n ticket_lifetime = 10m\n"
	//
	// Only the names of caches and keytabs are better changed in the
	// environment, where [Realm.Env] sets them.
	ExtraConfig string
}

// A Realm is a running Kerberos realm. The fields are set by [New] and are not
// to be changed. The methods may be called from several goroutines at once.
// A realm must be closed; it owns all files in Dir.
type Realm struct {
	Name       string // name of the realm, such as NEGO.TEST
	Dir        string // directory of all files, among them kdc.log, the log of the KDC
	Addr       string // address of the KDC, UDP and TCP, such as 127.0.0.1:40123
	Config     string // path of the krb5.conf of the realm
	KeytabFile string // path of the keytab with the keys of all services
	CCache     string // name, with its type, of the default credential cache

	programs programs
	env      []string // environment of our own commands
	probe    probe    // proves that a KDC is the one of this realm
	extra    string   // Options.ExtraConfig

	// closing ends when Close begins. It is not the context of a call: commands
	// that run on behalf of any caller must end before Dir can be removed.
	closing context.Context
	cancel  context.CancelFunc
	kinits  sync.WaitGroup

	// op is held while the database is changed, the KDC started or stopped, or
	// the realm closed.
	op      sync.Mutex
	port    *reservation
	kdc     *watchdog // nil when stopped
	janitor *watchdog // removes Dir if this process is killed

	// mu is held for a moment only, so that Kinit, which needs nothing else,
	// waits for no other command. It may be locked while op is held.
	mu        sync.Mutex
	closed    bool
	passwords map[string]string // of users, by full principal name
	services  map[string]bool   // principals whose key is in KeytabFile, by full name
}

// hooks are what tests of this package replace.
type hooks struct {
	path    string   // list of directories to search, in the syntax of $PATH
	dirs    []string // further directories to search
	reserve func() (*reservation, error)
}

// Start starts a realm for a test and closes it when the test and all its
// subtests have ended. It fails the test if the realm cannot be started, also
// if Kerberos is not installed: it never skips. If the test has failed, the
// end of the KDC's log is added to the log of the test.
func Start(tb testing.TB, o *Options) *Realm {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	r, err := New(ctx, o)
	if err != nil {
		tb.Fatal(err)
	}
	logStart := size(r.logFile()) // what the start has logged helps nobody later
	tb.Cleanup(func() {
		if text := tail(r.logFile(), logStart); tb.Failed() && text != "" {
			tb.Logf("krbtest: end of %s:\n%s", r.logFile(), text)
		}
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// New starts a realm, which the caller must close. It returns when the KDC has
// answered over UDP and TCP. If it fails, or ctx ends before the realm is
// ready, nothing is left behind. After New has returned, ctx has no effect.
func New(ctx context.Context, o *Options) (*Realm, error) {
	return newRealm(ctx, o, hooks{
		path:    os.Getenv("PATH"),
		dirs:    programDirs(),
		reserve: reserve,
	})
}

func newRealm(ctx context.Context, o *Options, h hooks) (_ *Realm, err error) {
	if err := supported(); err != nil {
		return nil, err
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	progs, err := findPrograms(h.path, h.dirs)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("krbtest: start of realm %s: %w", opts.Realm, err)
	}
	// Named here, and not by os.MkdirTemp, for the sake of the janitor.
	dir, err := filepath.Abs(filepath.Join(os.TempDir(), "krbtest-"+strings.ToLower(rand.Text()[:12])))
	if err != nil {
		return nil, fmt.Errorf("krbtest: name a directory for the realm: %w", err)
	}
	if strings.Contains(dir, ":") {
		return nil, fmt.Errorf("krbtest: name a directory for the realm: a colon in %s would end its name in lists of files; set TMPDIR to another", dir)
	}
	r := &Realm{
		Name:       opts.Realm,
		Dir:        dir,
		Config:     filepath.Join(dir, "krb5.conf"),
		KeytabFile: filepath.Join(dir, "krb5.keytab"),
		CCache:     "FILE:" + filepath.Join(dir, "ccache"),
		programs:   progs,
		probe:      newProbe(opts.Realm),
		extra:      opts.ExtraConfig,
		passwords:  map[string]string{},
		services:   map[string]bool{},
	}
	r.env = commandEnv(os.Environ(), r.Env())
	r.closing, r.cancel = context.WithCancel(context.Background())

	// The janitor comes first: Dir does not outlive this process even if it is
	// killed right after Mkdir.
	if r.janitor, err = startWatchdog(dir, r.logFile(), r.env); err != nil {
		r.cancel()
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.cancel()
		r.janitor.end() // without removing anything, for the directory is not ours
		return nil, fmt.Errorf("krbtest: create a directory for the realm: %w", err)
	}
	defer func() {
		if err != nil {
			if errClose := r.Close(); errClose != nil {
				err = errors.Join(err, errClose)
			}
		}
	}()

	if err := r.usePort(h.reserve); err != nil {
		return nil, err
	}
	if err := r.createDatabase(ctx, opts.Users, opts.Services); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		err = r.startKDC(ctx)
		if err == nil {
			break
		}
		// Another KDC on the port, or a KDC that did not get the port. Any
		// other reason why a KDC ends comes back with the next port, at the
		// cost of a few milliseconds each.
		if try == maxPorts || !(errors.Is(err, errForeign) || errors.Is(err, errEnded)) {
			return nil, err
		}
		if err := r.usePort(h.reserve); err != nil {
			return nil, err
		}
	}
	if len(opts.Users) > 0 {
		if err := r.Kinit(ctx, opts.Users[0], r.CCache); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// withDefaults returns the options with defaults filled in, or says what is
// wrong with them.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Realm == "" {
		opts.Realm = "NEGO.TEST"
	}
	if opts.Users == nil {
		opts.Users = []string{"user"}
	}
	if opts.Services == nil {
		opts.Services = []string{"HTTP/localhost"}
	}
	// The name is written into configuration files, where these have a meaning.
	if strings.ContainsAny(opts.Realm, "{}[]=\"'#;:/@\\*%") || strings.ContainsFunc(opts.Realm, isSpaceOrControl) {
		return opts, fmt.Errorf("krbtest: realm name %q: has a character which krb5.conf cannot hold; use letters, digits, dots", opts.Realm)
	}
	for _, names := range [][]string{opts.Users, opts.Services} {
		for _, name := range names {
			if err := checkPrincipal(name); err != nil {
				return opts, err
			}
		}
	}
	return opts, nil
}

// Env returns the variables that make Kerberos programs and libraries use this
// realm and nothing of the machine. It is to be appended to the environment of
// a child process:
//
//	cmd.Env = append(os.Environ(), realm.Env()...)
func (r *Realm) Env() []string {
	return []string{
		"KRB5_CONFIG=" + r.Config,
		"KRB5_KDC_PROFILE=" + r.kdcConfig(),
		"KRB5CCNAME=" + r.CCache,
		"KRB5_KTNAME=" + r.KeytabFile,
		"KRB5_CLIENT_KTNAME=" + r.clientKeytab(),
		// Also in krb5.conf, but a value inherited from the caller would win.
		"KRB5RCACHENAME=file2:" + r.replayCache(),
		// MIT's mechglue reads this file instead of /etc/gss/mech and
		// /etc/gss/mech.d/*.conf (g_initialize.c; seen with strace in 1.20.1),
		// so that an empty one leaves the built-in mechanisms only, whatever
		// plug-ins (gss-ntlmssp, gssproxy) the machine has.
		"GSS_MECH_CONFIG=" + r.mechConfig(),
	}
}

// Close stops the KDC and removes Dir with everything in it. It ends commands
// of the realm which still run. Calling it again does nothing and returns nil.
// The error says, among others, that the KDC had crashed before.
func (r *Realm) Close() error {
	r.cancel()
	r.op.Lock()
	defer r.op.Unlock()
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if again {
		return nil
	}
	r.kinits.Wait() // closing has ended them
	errStop := r.stopKDC()
	if r.port != nil {
		r.port.close()
	}
	err := os.RemoveAll(r.Dir)
	if err != nil {
		err = fmt.Errorf("krbtest: remove %s: %w", r.Dir, err)
	}
	r.janitor.end() // last, so that Dir is removed even if this process is killed now
	return errors.Join(errStop, err)
}

// open returns an error if the realm is closed.
func (r *Realm) open() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	return nil
}

// randomPassword returns a password that nobody can guess.
func randomPassword() string { return rand.Text() }
