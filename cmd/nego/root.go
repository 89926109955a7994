package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// run is the whole program; it returns the exit status.
func run(args []string) int {
	stdout := newOutput(os.Stdout)
	root := newRoot(stdout)
	root.SetArgs(args)
	err := root.Execute()
	if stdout.err != nil {
		err = also(err, cannotWrite(stdout.err))
	}
	return report(newOutput(os.Stderr), err)
}

func newRoot(stdout *output) *cobra.Command {
	cobra.EnableCommandSorting = false // below they stand in the order in which one meets them
	root := &cobra.Command{
		Use:   "nego",
		Short: "Single sign-on with this machine's Kerberos",
		Long: `Single sign-on with this machine's Kerberos: its library, its krb5.conf, its tickets.

New here? "nego demo" shows all of it, and needs neither root nor a realm of yours.`,
		Example: `  nego fetch https://intranet.example.com/    a GET, with your ticket if the server asks for it
  nego check https://intranet.example.com/    why that does not work
  nego creds                                  which ticket that would be
  nego realm -- make test                     tests in a realm of their own`,
		Args:    knownCommand,
		Version: version(),
		// An error is one line and its hints: report writes it, and the manual does not follow.
		SilenceErrors: true,
		SilenceUsage:  true,
		// Runnable, because only then does the library check Args.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("nego {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(newHelp())
	root.SetOut(stdout)
	root.AddCommand(newDemo(stdout), newFetch(), newCheck(stdout), newCreds(stdout), newToken(stdout), newProxy(), newServe(stdout), newRealm(), newDemoSteps(stdout), newMan())
	root.InitDefaultCompletionCmd()
	strictCompletion(root)
	return root
}

// strictCompletion has the library's command complain about a shell that it does not know.
func strictCompletion(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args = nil
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(cmd, fmt.Errorf("unknown shell %q", args[0]))
			}
			return cmd.Help()
		}
		for _, shell := range c.Commands() {
			shell.Args = noArguments
		}
	}
}

// newHelp replaces the library's, which takes any word for a command.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the manual of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), args[0])
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			if len(args) == 0 {
				for _, c := range cmd.Root().Commands() {
					if c.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// usageTemplate is the library's, without what does not apply here: `nego` alone does nothing.
const usageTemplate = `Usage:
{{if .HasAvailableSubCommands}}  {{.CommandPath}} COMMAND [flags] [arguments]

Commands:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{else}}  {{.UseLine}}{{end}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
"{{.CommandPath}} COMMAND --help" is the manual of a command.
{{end}}`

// knownCommand refuses what is no sub-command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

// noArguments refuses what the library would call a command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(cmd, fmt.Errorf("%q takes no arguments, and was given %q", cmd.CommandPath(), args[0]))
}

func version() string {
	return fmt.Sprintf("%s (%s, %s/%s)", release(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// stamp is the version that a package was given: -ldflags '-X main.stamp=1.2.3'.
var stamp string

// release is what the build recorded, so that no release can forget to change it.
func release() string {
	if stamp != "" {
		return stamp
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// userAgent is nego/VERSION, in which a server's log may have no parentheses.
func userAgent() string { return "nego/" + strings.Trim(release(), "()") }
