package krbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AddUser creates a principal with a password, which [Realm.Kinit] knows from
// then on. A name without realm is of this realm. It takes about 10 ms, and
// fails if the principal exists.
func (r *Realm) AddUser(name, password string) error {
	if err := checkPrincipal(name); err != nil {
		return err
	}
	if password == "" || strings.ContainsFunc(password, isControl) {
		return fmt.Errorf("krbtest: add user %s: the password is empty or has control characters, which kadmin.local cannot read; use another one", name)
	}
	return r.change("add user "+name, func() {
		r.passwords[r.fullName(name)] = password
	}, addPrincipal(name, password))
}

// AddService creates a principal, such as HTTP/web.nego.test, with a random
// key, and adds the key to [Realm.KeytabFile]. A name without realm is of this
// realm. It takes about 10 ms, and fails if the principal exists.
func (r *Realm) AddService(spn string) error {
	if err := checkPrincipal(spn); err != nil {
		return err
	}
	return r.change("add service "+spn, func() {
		r.services[r.fullName(spn)] = true
	}, addPrincipal(spn, ""), export(r.KeytabFile, spn))
}

// AddToKeytab adds the keys of existing principals to a keytab file, which is
// created if need be, and does not change the keys: other keytabs and
// passwords stay valid. A file in [Realm.Dir] is removed by Close; another one
// belongs to the caller.
func (r *Realm) AddToKeytab(file string, principals ...string) error {
	if file == "" || strings.ContainsFunc(file, isControl) {
		return fmt.Errorf("krbtest: add keys to keytab %q: not a usable file name", file)
	}
	if len(principals) == 0 {
		return fmt.Errorf("krbtest: add keys to keytab %s: no principal is named", file)
	}
	var lines []string
	for _, name := range principals {
		if err := checkPrincipal(name); err != nil {
			return err
		}
		lines = append(lines, export(file, name))
	}
	return r.change("add keys to keytab "+file, func() {}, lines...)
}

// Kinit gets a ticket for a principal of the realm with the password given to
// AddUser, or the key from AddService, and puts it into a credential cache,
// whose former content is lost. The cache may be of any type that other
// processes can read (FILE:, DIR:, KEYRING:, KCM:); "" means [Realm.CCache]. A
// cache outside of [Realm.Dir] belongs to the caller. Kinit takes about 10 ms
// if the KDC runs, and ends with ctx at the latest.
func (r *Realm) Kinit(ctx context.Context, principal, ccache string) error {
	fail := func(err error) error { return fmt.Errorf("krbtest: kinit %s: %w", principal, err) }
	if err := checkPrincipal(principal); err != nil {
		return err
	}
	if ccache == "" {
		ccache = r.CCache
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return fail(errClosed)
	}
	password, isUser := r.passwords[r.fullName(principal)]
	isService := r.services[r.fullName(principal)]
	r.kinits.Add(1) // under the lock, so that Close has not begun to wait
	r.mu.Unlock()
	defer r.kinits.Done()

	args := []string{"-c", ccache}
	stdin := ""
	switch {
	case isUser:
		stdin = password + "\n"
	case isService:
		args = append(args, "-k", "-t", r.KeytabFile)
	default:
		return fail(errors.New("the realm knows no password or key of it; call AddUser or AddService first"))
	}
	if stderr, err := r.run(ctx, "kinit", stdin, append(args, principal)...); err != nil {
		return fail(withText(err, stderr))
	}
	return nil
}

// Kadmin runs one command of kadmin.local and returns what it prints, for what
// the other methods do not do:
//
//	realm.Kadmin("modify_principal", "+ok_to_auth_as_delegate", "HTTP/localhost")
//
// Each argument is one word; none needs quotes. Passwords are better given to
// AddUser, as others on the machine can see the arguments. Kinit does not learn
// of principals, passwords or keys that the command makes.
func (r *Realm) Kadmin(command string, args ...string) (output string, err error) {
	if command == "" || command[0] == '-' {
		return "", fmt.Errorf("krbtest: kadmin.local %q: not a command; help lists them", command)
	}
	r.op.Lock()
	defer r.op.Unlock()
	ctx, cancel := context.WithTimeout(r.closing, commandTimeout)
	defer cancel()
	var stderr string
	if err = r.open(); err == nil {
		output, stderr, err = r.output(ctx, "kadmin.local", "", slices.Concat([]string{"-r", r.Name, command}, args)...)
	}
	if err != nil {
		return output, fmt.Errorf("krbtest: kadmin.local %s: %w", command, withText(err, stderr))
	}
	return output, nil
}

// createDatabase creates the database with its first principals. It is called
// before anybody else has r.
func (r *Realm) createDatabase(ctx context.Context, users, services []string) error {
	// The stash file makes the master password needless from here on.
	master := randomPassword()
	if stderr, err := r.run(ctx, "kdb5_util", master+"\n"+master+"\n", "-r", r.Name, "create", "-s"); err != nil {
		return fmt.Errorf("krbtest: create the database of %s: %w", r.Name, withText(err, stderr))
	}
	lines := []string{addPrincipal(r.probe.principal, "")}
	for _, name := range users {
		password := randomPassword()
		r.passwords[r.fullName(name)] = password
		lines = append(lines, addPrincipal(name, password))
	}
	for _, name := range services {
		r.services[r.fullName(name)] = true
		lines = append(lines, addPrincipal(name, ""), export(r.KeytabFile, name))
	}
	if err := r.kadmin(ctx, lines...); err != nil {
		return fmt.Errorf("krbtest: add the first principals of %s: %w", r.Name, err)
	}
	return nil
}

// change runs kadmin.local with the lines as its input, and then done with mu
// locked.
func (r *Realm) change(what string, done func(), lines ...string) error {
	r.op.Lock()
	defer r.op.Unlock()
	ctx, cancel := context.WithTimeout(r.closing, commandTimeout)
	defer cancel()
	err := r.open()
	if err == nil {
		err = r.kadmin(ctx, lines...)
	}
	if err != nil {
		return fmt.Errorf("krbtest: %s: %w", what, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	done()
	return nil
}

// addPrincipal returns the command of kadmin.local that creates a principal,
// with a random key if the password is "". Without -clearpolicy there is a
// warning on stderr.
func addPrincipal(name, password string) string {
	if password == "" {
		return "add_principal -clearpolicy -randkey " + quote(name)
	}
	return "add_principal -clearpolicy -pw " + quote(password) + " " + quote(name)
}

// export returns the command of kadmin.local that adds a key to a keytab.
func export(file, name string) string {
	return "ktadd -q -norandkey -k " + quote(file) + " " + quote(name)
}

// quote quotes a word for kadmin.local: a double quote is doubled, and no other
// character is special.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// fullName returns a principal with its realm.
func (r *Realm) fullName(principal string) string {
	if strings.Contains(principal, "@") {
		return principal
	}
	return principal + "@" + r.Name
}

// checkPrincipal says what is wrong with the name of a principal. The rest is
// left to kadmin.local.
func checkPrincipal(name string) error {
	if name == "" || name[0] == '-' || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("krbtest: principal %q: empty, or begins with a hyphen, or has control characters; use another name", name)
	}
	return nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func isSpaceOrControl(c rune) bool { return c == ' ' || isControl(c) }

// kadmin feeds the lines to one kadmin.local.
func (r *Realm) kadmin(ctx context.Context, lines ...string) error {
	// On stdin, for lines have passwords, and a command line is for all to see.
	stderr, err := r.run(ctx, "kadmin.local", strings.Join(slices.Concat(lines, []string{"quit", ""}), "\n"), "-r", r.Name)
	// kadmin.local has the exit status 0 when a command from its input fails,
	// and writes nothing to stderr when none does.
	if err == nil && stderr != "" {
		err = errFailed
	}
	if err != nil {
		return withText(err, stderr)
	}
	return nil
}
