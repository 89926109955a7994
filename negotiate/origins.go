package negotiate

import (
	"container/list"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// How much is remembered about origins, and for how long.
const (
	maxOrigins = 1000
	originLife = 10 * time.Minute
)

// origins is what a Transport has learned about servers, the least recently used forgotten first.
type origins struct {
	mu     sync.Mutex
	byKey  map[string]*list.Element // of *origin
	recent list.List
}

// origin is one server. The zero value is one that nothing is known of.
type origin struct {
	key   string
	asked time.Time   // when it last asked for Negotiate; zero: it does not
	http1 bool        // it does not want HTTP/2
	lanes bool        // its mechanism needs more legs than one
	deaf  bool        // it does not answer Expect: 100-continue
	user  gssapi.Name // of the default credential, when it was last talked to
}

// originKey is scheme, host and port, as far as they tell servers apart.
func originKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = defaultPort(u)
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func defaultPort(u *url.URL) string {
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// get returns what is known. A question of long ago counts no longer.
func (m *origins) get(key string) origin {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[key]
	if e == nil {
		return origin{}
	}
	m.recent.MoveToFront(e)
	o := *e.Value.(*origin)
	if time.Since(o.asked) > originLife {
		o.asked = time.Time{}
	}
	return o
}

// learn changes what is known.
func (m *origins) learn(key string, change func(*origin)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[key]
	if e == nil {
		if m.byKey == nil {
			m.byKey = make(map[string]*list.Element)
		}
		e = m.recent.PushFront(&origin{key: key})
		m.byKey[key] = e
		if m.recent.Len() > maxOrigins {
			oldest := m.recent.Back()
			m.recent.Remove(oldest)
			delete(m.byKey, oldest.Value.(*origin).key)
		}
	}
	m.recent.MoveToFront(e)
	change(e.Value.(*origin))
}
