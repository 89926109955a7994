package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The man pages are what --help says, in another form. The library's own generator takes that text for Markdown, which
// it is not, and brings two modules for it.

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages into DIR",
		Hidden: true, // a package has them already
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := manDate()
			if err != nil {
				return err
			}
			for _, c := range manCommands(cmd.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], manName(c)+".1"), manPage(c, date), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// manCommands are those that have a page.
func manCommands(root *cobra.Command) []*cobra.Command {
	pages := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			pages = append(pages, c)
		}
	}
	return pages
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manDate is today, or the day that a reproducible build is to have.
func manDate() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now(), nil
	}
	n, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, and no number of seconds", epoch)
	}
	return time.Unix(n, 0), nil
}

// manEntry is a line of the sections ENVIRONMENT and FILES.
type manEntry struct {
	name, text string
	commands   string // whose pages it is on, beside the first; empty: all that use tickets
}

const (
	ticketCommands  = "fetch check creds token proxy"
	requestCommands = "fetch check"
)

var manEnvironment = []manEntry{
	{"KRB5CCNAME", "The ticket cache, as in FILE:/tmp/krb5cc_1000, KCM: or KEYRING:persistent:1000.", ""},
	{"KRB5_CONFIG", "Files to read in the place of /etc/krb5.conf, separated by colons.", ""},
	{"KRB5_CLIENT_KTNAME", "The keytab that a ticket comes from where the cache has none.", ""},
	{"KRB5_KTNAME", "The keytab with the keys of services.", "serve"},
	{"CREDENTIALS_DIRECTORY", "The directory of a service's credentials, which systemd sets. The mode of a secret there may have bits of the group.", "proxy serve"},
	{"KRB5_TRACE", "A file to which the library writes what it does, such as /dev/stderr.", ""},
	{"http_proxy, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY", "The proxy for URLs of that scheme, or of each, where -x names none.", requestCommands},
	{"no_proxy, NO_PROXY", "Hosts, domains and networks that no proxy is used for, separated by commas; * is all of them.", requestCommands},
	{"SHELL", "The shell that is run where no command is given.", "realm"},
	{"NO_COLOR", "No colours on a terminal, if this is not empty. TERM=dumb is another way to say so.", ticketCommands + " demo realm"},
}

var manFiles = []manEntry{
	{"/etc/krb5.conf", "The configuration of Kerberos: realms, KDCs, where the cache is. Its manual is krb5.conf(5).", ""},
	{"/etc/krb5.keytab", "The keys of services, unless KRB5_KTNAME or krb5.conf names another file.", "serve"},
	{"/etc/gss/mech.d/*.conf", "Further mechanisms, such as NTLM.", ""},
	{"~/.config/nego/proxy", "NEGO_PROXY_OPTIONS for \"systemctl --user start nego-proxy\", and variables such as KRB5CCNAME.", "proxy"},
	{"/etc/nego/serve", "NEGO_SERVE_OPTIONS for \"systemctl start nego-serve\".", "serve"},
	{"/etc/nego/http.keytab", "The keytab of that service.", "serve"},
}

// manEntriesOf keeps those of a command's page; the first page has all that some command has.
func manEntriesOf(c *cobra.Command, all []manEntry) (entries []manEntry) {
	for _, e := range all {
		for _, name := range strings.Fields(cmp.Or(e.commands, ticketCommands+" serve")) {
			if name == c.Name() || !c.HasParent() && hasCommand(c, name) {
				entries = append(entries, e)
				break
			}
		}
	}
	return entries
}

func hasCommand(root *cobra.Command, name string) bool {
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
}

// manPage is a page in the macros of man(7).
func manPage(c *cobra.Command, date time.Time) []byte {
	var p manWriter
	p.title(strings.ToUpper(manName(c)), date.UTC().Format(time.DateOnly), "nego "+release())
	p.macro("SH", "NAME")
	p.line(manName(c) + ` \- ` + manEscape(c.Short))
	p.macro("SH", "SYNOPSIS")
	synopsis := c.UseLine()
	if !c.HasParent() {
		synopsis = "nego COMMAND [flags] [arguments]"
	}
	p.line(manBold(synopsis))
	about, status := manSplit(c.Long)
	p.macro("SH", "DESCRIPTION")
	p.text(about)
	p.commands(c)
	p.macro("SH", "OPTIONS")
	p.flags(c)
	p.macro("SH", "EXIT STATUS")
	p.text(cmp.Or(status, "The exit status is 0 where all went well, else one of those that the pages of the commands have: "+
		"curl's, as nego-fetch(1) lists them."))
	p.entries("ENVIRONMENT", manEntriesOf(c, manEnvironment))
	p.entries("FILES", manEntriesOf(c, manFiles))
	if c.HasExample() {
		p.macro("SH", "EXAMPLES")
		p.example(strings.Split(c.Example, "\n"))
	}
	p.seeAlso(c)
	return p.Bytes()
}

// statusSentence finds the sentence that begins what a text says about it.
var statusSentence = regexp.MustCompile(`(?:^|[.\n]\s+)((?:Exit status, |The exit status is )(?s:.*))$`)

// manSplit takes what is said about the exit status out of a text.
func manSplit(long string) (about, status string) {
	var rest []string
	for paragraph := range strings.SplitSeq(long, "\n\n") {
		if m := statusSentence.FindStringSubmatchIndex(paragraph); m != nil {
			status = paragraph[m[2]:]
			paragraph = strings.TrimSpace(paragraph[:m[2]])
		}
		if paragraph != "" {
			rest = append(rest, paragraph)
		}
	}
	return strings.Join(rest, "\n\n"), status
}

// commands are the sub-commands: of nego, which have pages of their own, or of another, which have not.
func (p *manWriter) commands(c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	p.macro("SH", "COMMANDS")
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if c.HasParent() {
			p.macro("SS", sub.CommandPath())
			p.text(sub.Short + ".\n\n" + sub.Long)
			p.flags(sub)
			continue
		}
		p.macro("TP")
		p.line(manBold(sub.Name()))
		p.line(manEscape(sub.Short) + ".")
	}
}

func (p *manWriter) flags(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		tag := manBold("--" + f.Name)
		if f.Shorthand != "" {
			tag = manBold("-"+f.Shorthand) + ", " + tag
		}
		if value != "" {
			tag += ` \fI` + manEscape(value) + `\fR`
		}
		p.macro("TP")
		p.line(tag)
		p.line(manEscape(usage + manDefault(f)))
	})
}

// manDefault says what a flag is if it is not given, where --help says it too.
func manDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "false", "[]":
		return ""
	}
	return " (default " + strings.Trim(f.DefValue, "[]") + ")"
}

func (p *manWriter) entries(heading string, entries []manEntry) {
	if len(entries) == 0 {
		return
	}
	p.macro("SH", heading)
	for _, e := range entries {
		p.macro("TP")
		p.line(manBold(e.name))
		p.line(manEscape(e.text))
	}
}

func (p *manWriter) seeAlso(c *cobra.Command) {
	p.macro("SH", "SEE ALSO")
	for _, other := range manCommands(c.Root()) {
		if other != c {
			p.line(manBold(manName(other)) + "(1),")
		}
	}
	for _, name := range []string{"curl(1),", "kinit(1),", "klist(1),", "krb5.conf(5),", "kerberos(7)"} {
		word, section, _ := strings.Cut(name, "(")
		p.line(manBold(word) + "(" + section)
	}
}
