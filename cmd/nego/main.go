// Command nego is single sign-on with the machine's own Kerberos: it fetches what is protected, shows
// the tickets, and makes a throw-away realm to try things in. `nego --help` is its manual.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
