package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/nego-sso/nego/krbtest"
	"github.com/spf13/cobra"
)

func newRealm() *cobra.Command {
	var users, services []string
	var keytab string
	cmd := &cobra.Command{
		Use:   "realm [flags] -- [command [argument...]]",
		Short: "Run a command inside a throw-away realm",
		Long: `Run a command inside a throw-away Kerberos realm, or a shell where none is given.

The realm, NEGO.TEST, is a real KDC of MIT krb5 on a loopback port. It needs no root and changes nothing
on this machine. The command finds it in its environment: KRB5_CONFIG, KRB5CCNAME with a ticket of the
first user, KRB5_KTNAME with the keys of the services, and KRB5_KDC_PROFILE, with which kadmin.local works.

A user has a random password that nobody knows, or the one of --user name=password, for programs that ask for one. What
stands on a command line others on this machine can see, so take none that is good anywhere else.

--keytab FILE is for programs that look for keys in a place of their own: a copy of the services' keys, which only you
can read. It must be a new file.

When the command ends, the realm is gone. The exit status is the command's: 128 + n after signal n, 126 or
127 if it cannot be run. SIGINT, SIGTERM, SIGHUP and SIGQUIT go on to the command.`,
		Example: `  nego realm -- go test ./...
  nego realm --user alice --service HTTP/web.nego.test -- sh -c 'kvno HTTP/web.nego.test; klist'
  nego realm --user alice=wonderland -- sh -c 'echo wonderland | kinit alice'`,
		RunE: func(cmd *cobra.Command, argv []string) (err error) {
			names, passwords := splitUsers(users)
			if err := checkNames(cmd, slices.Concat(names, services)); err != nil {
				return err
			}
			for name, password := range passwords {
				if password == "" {
					return usageError(cmd, fmt.Errorf("the password of the user %s is empty", name))
				}
			}
			if err := checkKeytab(keytab); err != nil {
				return err
			}
			child, err := program(argv) // first: a mistyped name needs no realm to be found out
			if err != nil {
				return err
			}
			random := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return passwords[name] != "" })
			return inRealm(&krbtest.Options{Users: random, Services: services}, func(r *krbtest.Realm) (*exec.Cmd, func() error, error) {
				if err := addUsers(cmd.Context(), r, names, passwords); err != nil {
					return nil, nil, err
				}
				if len(argv) == 0 && isTerminal(os.Stdin) {
					newOutput(os.Stderr).printf("realm %s, KDC on %s; it ends with this shell\n", r.Name, r.Addr)
				}
				if keytab == "" {
					return child, nil, nil
				}
				remove := func() error {
					if err := os.Remove(keytab); !errors.Is(err, fs.ErrNotExist) {
						return err // nil too
					}
					return nil // the command has removed it
				}
				return child, remove, copyKeytab(r.KeytabFile, keytab)
			})
		},
	}
	cmd.Flags().StringArrayVar(&users, "user", []string{"user"}, "a `name` for a user, or name=password; repeatable, the first one gets the ticket")
	cmd.Flags().StringArrayVar(&services, "service", []string{"HTTP/localhost"}, "a `principal` for a service; repeatable")
	cmd.Flags().StringVar(&keytab, "keytab", "", "a new `file` for the services' keys too; it is removed with the realm")
	cmd.Flags().SetInterspersed(false) // what follows the command belongs to the command
	return cmd
}

// splitUsers takes the passwords off the names, so that no message has them.
func splitUsers(users []string) (names []string, passwords map[string]string) {
	names, passwords = []string{}, make(map[string]string) // a list that is not nil: no user of krbtest's
	for _, user := range users {
		name, password, given := strings.Cut(user, "=")
		names = append(names, name)
		if given {
			passwords[name] = password
		}
	}
	return names, passwords
}

// addUsers creates those with passwords, and gets the first user's ticket if it is one of them.
func addUsers(ctx context.Context, r *krbtest.Realm, names []string, passwords map[string]string) error {
	for _, name := range names {
		if password := passwords[name]; password != "" {
			if err := r.AddUser(name, password); err != nil {
				return err
			}
		}
	}
	if len(names) > 0 && passwords[names[0]] != "" {
		return r.Kinit(ctx, names[0], "")
	}
	return nil
}

// realmName is what krbtest calls a realm.
const realmName = "NEGO.TEST"

func checkNames(cmd *cobra.Command, names []string) error {
	seen := make(map[string]bool)
	for _, name := range names {
		if name == "" {
			return usageError(cmd, errors.New("the name of a user or of a service is empty"))
		}
		short := strings.TrimSuffix(name, "@"+realmName)
		if seen[short] {
			return &failure{err: fmt.Errorf("the name %s is given twice", name), status: statusUsage,
				hints: []string{"name each user and each service once"}}
		}
		seen[short] = true
	}
	return nil
}

// program is the command to run: a shell where there is none.
func program(argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		argv = []string{os.Getenv("SHELL")}
		if argv[0] == "" {
			argv[0] = "sh"
		}
	}
	child := exec.Command(argv[0], argv[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	if child.Err != nil {
		return nil, cannotRun(argv[0], child.Err)
	}
	return child, nil
}

// inRealm makes a realm, runs in it the command that prepare returns, and removes the realm. After the
// command it calls what else prepare returns.
func inRealm(o *krbtest.Options, prepare func(*krbtest.Realm) (child *exec.Cmd, cleanUp func() error, err error)) (err error) {
	// Until the realm is gone no signal may end this process: first they end the start of the realm, then
	// they go to the command, and while the realm is removed they wait.
	received := make(chan os.Signal, 16)
	signal.Notify(received, handled()...)
	defer signal.Stop(received)
	ctx, stop := signal.NotifyContext(context.Background(), handled()...)
	defer stop()

	r, err := krbtest.New(ctx, o)
	if ctx.Err() != nil {
		interrupted := signalled(<-received)
		if err == nil {
			return also(interrupted, r.Close())
		}
		return interrupted
	}
	if err != nil {
		return err
	}
	defer func() { err = also(err, r.Close()) }()

	child, cleanUp, err := prepare(r)
	if err != nil {
		return err
	}
	if cleanUp != nil {
		defer func() { err = also(err, cleanUp()) }()
	}
	child.Env = append(os.Environ(), r.Env()...)
	if err := child.Start(); err != nil {
		return cannotRun(child.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case sig := <-received:
			if fromKeyboard(sig) && inForeground() {
				continue // the terminal has sent it to the command too, and twice means something else to many
			}
			_ = child.Process.Signal(sig) // fails if the command has ended, which ends this loop
		case err := <-ended:
			return childStatus(err)
		}
	}
}

// handled are the signals that end programs. One that this process was started to ignore, as nohup does,
// the command ignores too.
func handled() []os.Signal {
	signals := []os.Signal{syscall.SIGTERM}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signals = append(signals, sig)
		}
	}
	return signals
}

func fromKeyboard(sig os.Signal) bool { return sig == syscall.SIGINT || sig == syscall.SIGQUIT }

// copyKeytab never writes over a file: libkrb5 would go on using the first of two keys of one name, and
// a mistyped name could be the machine's own keytab.
func copyKeytab(from, to string) error {
	keys, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return keytabFailed(to, err)
	}
	_, err = f.Write(keys)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(keytabFailed(to, err), os.Remove(to))
	}
	return nil
}

// checkKeytab finds out early what copyKeytab would say.
func checkKeytab(file string) error {
	if file == "" {
		return nil
	}
	if _, err := os.Lstat(file); err == nil {
		return keytabFailed(file, fs.ErrExist)
	}
	return nil
}
