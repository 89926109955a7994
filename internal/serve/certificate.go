package serve

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate in files, which are read again when they have changed: those who renew them need not tell.
type Certificate struct {
	cert, key string
	told      func(error)

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  [2]stamp // of the files as they were read
	failed string   // what told was told
}

// stamp is what changes with a file.
type stamp struct {
	info os.FileInfo
	time time.Time
	size int64
}

// LoadCertificate reads a certificate, with those that it was signed with behind it, and its key, both PEM. Where they
// cannot be read later, the old one stays, and told is told, once for each error.
func LoadCertificate(cert, key string, told func(error)) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, told: told}
	return c, c.load()
}

// get returns the certificate for a handshake.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err == nil {
		c.failed = ""
	} else if text := err.Error(); text != c.failed {
		c.failed = text
		c.told(err)
	}
	return c.loaded, nil
}

// load reads the files if they are not those of before. One may be replaced before the other: then they do not fit, and
// the next handshake tries again.
func (c *Certificate) load() error {
	var now [2]stamp
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		now[i] = stamp{info, info.ModTime(), info.Size()}
	}
	if c.loaded != nil && now[0].same(c.stamp[0]) && now[1].same(c.stamp[1]) {
		return nil
	}
	loaded, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.loaded, c.stamp = &loaded, now
	return nil
}

func (s stamp) same(t stamp) bool {
	return os.SameFile(s.info, t.info) && s.time.Equal(t.time) && s.size == t.size
}
