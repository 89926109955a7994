package negotiate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nego-sso/nego/gssapi"
)

// Sessions are cookies that say who a user is, so that only the first request of a browser needs a token. What a cookie
// says is encrypted and authenticated with Keys (AES-256-GCM), and the server keeps nothing: servers with the same Keys
// and Name take each other's cookies, and a session ends when its time is over, in the browser that is told so by
// [Sessions.End], or for all users with its key.
//
// They are given over TLS only, see BehindTLS. A request with the header field Authorization authenticates anew, whatever
// its cookie says; a cookie comes before the user of a connection; and one that is no good, because it is too old, was made
// for another host or is not ours, is as none. The [Identity] of a session is that of its first request, without
// gssapi.FlagChannelBound: with other Authenticator.Attributes change the Keys too.
//
// A client that wants the server's proof with each response, such as a [Transport] with MutualRequired, has to send a token
// with each request for it: PreemptAlways.
//
// There are no sessions for clients that have delegated a credential, as all seem to have to a Credential of usage Both,
// because their further requests would be without it;
// for identities that make a cookie larger than browsers keep; and, with BindRequired, for nobody: whoever has got hold of a
// cookie can send it over any connection, and that is what BindRequired is against.
//
// [Authenticator.Handler] takes the cookie off the request that it gives to the next handler, which may send its header
// fields elsewhere, and asks shared caches not to keep what a session's user gets, with Cache-Control: private. A handler
// that allows caches more gives the cookie in its response away as well. Like each cookie, it goes with requests that other
// sites cause, though not with a cross-site POST: see [http.CrossOriginProtection].
type Sessions struct {
	// Keys are secrets of at least 32 random bytes each. The first one makes cookies, and all open them: put a new key in
	// front, and take the old one away when MaxAge has passed. Where there are several servers, give it to all of them in
	// another place first. Without a key, and with one that is too short, no request passes: [Authenticator.Check].
	Keys [][]byte

	// Name is that of the cookie: "" is __Host-nego for the path /, and __Secure-nego for others.
	Name string

	// Path is what the cookie is for; "" is /.
	Path string

	// MaxAge is how long a session lasts, and zero is an hour. It does not last longer than Identity.Expires, which is the
	// end of the ticket and the five minutes that clocks may differ, nor any longer for being used.
	MaxAge time.Duration

	// BehindTLS says that clients come over TLS although requests come without: a proxy ends it. That proxy has to pass
	// the Host field on as it was.
	BehindTLS bool
}

const (
	sessionVersion = "nego session v1"
	saltSize       = 16
	maxCookie      = 4000 // bytes of Set-Cookie; browsers drop what is larger than 4096
	maxTries       = 4    // cookies of a request that are looked at
)

// session is what a cookie says. Names are bytes, because JSON changes strings that are not UTF-8.
type session struct {
	Until               time.Time
	Initiator, Acceptor sessionName
	Mech                []byte
	Flags               gssapi.Flags
	Expires             time.Time                   `json:",omitzero"`
	LocalName           []byte                      `json:",omitempty"`
	Attributes          map[string]gssapi.Attribute `json:",omitempty"`
}

type sessionName struct{ Text, Type []byte }

func newSession(id *Identity, until time.Time) *session {
	return &session{
		Until:      until,
		Initiator:  sessionName{[]byte(id.Initiator.String()), []byte(id.Initiator.Type())},
		Acceptor:   sessionName{[]byte(id.Acceptor.String()), []byte(id.Acceptor.Type())},
		Mech:       []byte(id.Mech),
		Flags:      id.Flags &^ gssapi.FlagChannelBound, // the next connection is another one
		Expires:    id.Expires,
		LocalName:  []byte(id.LocalName),
		Attributes: id.Attributes,
	}
}

func (s *session) identity() *Identity {
	return &Identity{
		Info: gssapi.Info{
			Initiator: s.Initiator.name(),
			Acceptor:  s.Acceptor.name(),
			Mech:      gssapi.OID(s.Mech),
			Flags:     s.Flags,
			Expires:   s.Expires,
		},
		LocalName:  string(s.LocalName),
		Attributes: s.Attributes,
		By:         BySession,
	}
}

func (n sessionName) name() gssapi.Name { return gssapi.NewName(string(n.Text), gssapi.OID(n.Type)) }

// check returns an error where the settings can give no safe session. A nil Sessions has none.
func (s *Sessions) check() error {
	if s == nil {
		return nil
	}
	if len(s.Keys) == 0 {
		return errors.New("Authenticator.Sessions has no key: put 32 random bytes into Keys")
	}
	for i, key := range s.Keys {
		if len(key) < 32 {
			return fmt.Errorf("Authenticator.Sessions.Keys[%d] is too short: it has %d bytes and needs 32 random ones", i, len(key))
		}
	}
	c := s.cookie("", 1)
	switch host := strings.HasPrefix(strings.ToLower(c.Name), "__host-"); {
	case c.Valid() != nil, c.Path[0] != '/':
		return fmt.Errorf("Authenticator.Sessions cannot make a cookie of the name %q and the path %q", c.Name, c.Path)
	case host && c.Path != "/":
		return fmt.Errorf("Authenticator.Sessions has the path %q: browsers take the cookie %s for the path / only", c.Path, c.Name)
	}
	return nil
}

// cookie is the one that holds value for a number of seconds.
func (s *Sessions) cookie(value string, seconds int) *http.Cookie {
	c := &http.Cookie{Name: s.Name, Value: value, Path: s.Path, MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Name == "" {
		c.Name = "__Host-nego"
		if c.Path != "/" {
			c.Name = "__Secure-nego"
		}
	}
	return c
}

// End logs a user out: it has the browser forget the cookie, which is what a server that keeps nothing can do. Call it
// before the header is written. A copy of the cookie is good until its time is over, and a browser that has a ticket logs
// in again with its next request, without asking anybody.
func (s *Sessions) End(w http.ResponseWriter) {
	begins, end := s.name()+"=", s.cookie("", -1).String()
	begun := func(line string) bool { return strings.HasPrefix(line, begins) }
	h, kept := w.Header(), keeping(w)
	h[setCookieHeader] = append(slices.DeleteFunc(h[setCookieHeader], begun), end)
	if kept != nil {
		kept.replace(setCookieHeader, begun, end)
	}
}

func (s *Sessions) name() string { return s.cookie("", 0).Name }

// sessions returns those that a request may have, or nil.
func (a *Authenticator) sessions(r *http.Request) *Sessions {
	if a.Sessions == nil || a.ChannelBinding == BindRequired || r.TLS == nil && !a.Sessions.BehindTLS {
		return nil
	}
	return a.Sessions
}

// sessionUser returns who a request's cookie says the user is, or nil.
func (a *Authenticator) sessionUser(w http.ResponseWriter, r *http.Request) *Identity {
	s := a.sessions(r)
	if s == nil || len(r.Header[replyHeader]) > 0 { // who authenticates otherwise is not that user
		return nil
	}
	for i, c := range r.CookiesNamed(s.name()) {
		if i == maxTries {
			break
		}
		found, key := s.open(c.Value, r, time.Now())
		if found == nil {
			continue
		}
		if key > 0 {
			s.send(w, r, found) // so that nobody is logged out when the old key goes
		}
		keepPrivate(w)
		return found.identity()
	}
	return nil
}

// giveSession begins the session of a user who has authenticated. Where there is none to give, the one of whoever was
// there before ends.
func (a *Authenticator) giveSession(w http.ResponseWriter, r *http.Request, id *Identity) {
	s := a.sessions(r)
	if s == nil {
		return
	}
	age := s.MaxAge
	if age == 0 {
		age = time.Hour
	}
	until := time.Now().Add(age)
	if !id.Expires.IsZero() && id.Expires.Before(until) {
		until = id.Expires
	}
	if id.delegated.Load() == nil && s.send(w, r, newSession(id, until)) {
		return
	}
	if len(r.CookiesNamed(s.name())) > 0 {
		s.End(w)
	}
}

// send puts a session into the response, and reports whether it could.
func (s *Sessions) send(w http.ResponseWriter, r *http.Request, content *session) bool {
	seconds := int(time.Until(content.Until) / time.Second)
	if seconds < 1 {
		return false // Max-Age has no fractions, and a cookie without it lasts as long as the browser
	}
	value, err := s.seal(content, r)
	if err != nil {
		return false
	}
	line := s.cookie(value, seconds).String()
	if len(line) > maxCookie {
		return false
	}
	w.Header().Add(setCookieHeader, line)
	keepPrivate(w)
	return true
}

// keepPrivate asks shared caches not to keep a response. They know by themselves of a request with Authorization
// (RFC 9111 section 3.5), and of one with a cookie, or with nothing but its connection, they do not.
func keepPrivate(w http.ResponseWriter) {
	if h := w.Header(); len(h["Cache-Control"]) == 0 {
		h.Set("Cache-Control", "private")
	}
}

func (s *Sessions) seal(content *session, r *http.Request) (string, error) {
	plain, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	sealed := make([]byte, saltSize, saltSize+len(plain)+64)
	rand.Read(sealed)
	aead, err := sessionCipher(s.Keys[0], sealed)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(sealed, nil, plain, s.origin(r))), nil
}

// open returns what a cookie says and which key it was made with; nil is for one that says nothing.
func (s *Sessions) open(value string, r *http.Request, now time.Time) (*session, int) {
	if len(value) > maxCookie || strings.ContainsAny(value, "\r\n") { // package base64 would skip line ends
		return nil, 0
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) < saltSize {
		return nil, 0
	}
	for i, key := range s.Keys {
		aead, err := sessionCipher(key, sealed[:saltSize])
		if err != nil {
			continue
		}
		plain, err := aead.Open(nil, nil, sealed[saltSize:], s.origin(r))
		if err != nil {
			continue
		}
		var content session
		if json.Unmarshal(plain, &content) != nil || len(content.Initiator.Text) == 0 || !now.Before(content.Until) {
			return nil, 0
		}
		return &content, i
	}
	return nil, 0
}

// origin is what a cookie is good for and does not say: the origin that it was given by.
func (s *Sessions) origin(r *http.Request) []byte {
	host := strings.TrimSuffix(strings.ToLower(r.Host), ":443")
	return []byte(sessionVersion + "\x00" + s.name() + "\x00" + host)
}

// sessionCipher has a key of its own for each cookie, so that no number of them wears a key out (SP 800-38D section 8.3).
func sessionCipher(key, salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, sessionVersion, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// hideSession returns a request without the cookie.
func (a *Authenticator) hideSession(r *http.Request) *http.Request {
	if a.Sessions == nil {
		return r
	}
	name, found := a.Sessions.name(), false
	var others []string
	for _, pair := range pairs(r.Header[cookieHeader]) {
		if key, _, _ := strings.Cut(pair, "="); strings.TrimSpace(key) == name {
			found = true
		} else {
			others = append(others, pair)
		}
	}
	if !found {
		return r
	}
	shown := r.WithContext(r.Context())
	shown.Header = maps.Clone(r.Header)
	delete(shown.Header, cookieHeader)
	if len(others) > 0 {
		shown.Header[cookieHeader] = []string{strings.Join(others, "; ")}
	}
	return shown
}
