package gssapi

import "context"

// Config is what krb5.conf says, with all that it includes, about realms and about how names of hosts become names
// of services. It is for looking at: the library reads these files itself.
type Config struct {
	// Files are those that libkrb5 reads, as KRB5_CONFIG or the system choose them, the first one counting most.
	// What they include is not listed. One that is not there does not matter, where another is.
	Files []string

	DefaultRealm     string  // empty: none
	CanonicalizeHost string  // dns_canonicalize_hostname: DNS decides on a service's host. True, false or fallback, as it is written
	ReverseDNS       bool    // rdns: and so does the host's address; false with Heimdal, which has no such setting
	LookupKDC        bool    // dns_lookup_kdc: a realm that has no KDCs here may have them in DNS
	Realms           []Realm // that have a section
}

// Realm is a realm of a [Config].
type Realm struct {
	Name string
	KDCs []string // as they are written: host, host:port, tcp/host, https://host/path, /path/of/a/socket
}

// ReadConfig reads krb5.conf through libkrb5 (krb5_get_profile). The settings are those of [libdefaults] alone. It talks
// to no KDC. Where a file is malformed or cannot be read, the error names it, and the Config has the Files.
func ReadConfig(ctx context.Context) (*Config, error) {
	r, err := caches.run(ctx, func() result { return explained(krb5Config()) }, nil)
	u := unpack{r.out}
	c := &Config{Files: u.strings()}
	if err := r.err("read krb5.conf", "", err); err != nil {
		return c, err
	}
	c.DefaultRealm = u.string()
	c.CanonicalizeHost = u.string()
	c.ReverseDNS = u.u32() != 0
	c.LookupKDC = u.u32() != 0
	for len(u.b) > 0 {
		c.Realms = append(c.Realms, Realm{Name: u.string(), KDCs: u.strings()})
	}
	return c, nil
}

// strings reads a list behind its length.
func (u *unpack) strings() []string {
	var l []string
	for n := u.u32(); n > 0 && len(u.b) > 0; n-- {
		l = append(l, u.string())
	}
	return l
}
