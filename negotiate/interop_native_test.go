//go:build interop

package negotiate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/nego-sso/nego/gssapi"
	"github.com/nego-sso/nego/internal/peers"
)

// pythonClient makes the security context that requests-gssapi 1.4 makes for its options (requests_gssapi/gssapi_.py,
// generate_request_header), by way of the same library, and sends its token in answer to a challenge.
const pythonClient = `
import base64, hashlib, http.client, json, ssl, sys, urllib.parse
import gssapi
o = json.loads(sys.argv[1])
url = urllib.parse.urlparse(o["url"])
if url.scheme == "https":
    conn = http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context(cafile=o["ca"]))
else:
    conn = http.client.HTTPConnection(url.hostname, url.port)
conn.request("GET", "/")
resp = conn.getresponse()
resp.read()
assert resp.status == 401 and resp.getheader("WWW-Authenticate") == "Negotiate", resp.status
flags = []
if o["delegate"]:
    flags.append(gssapi.RequirementFlag.delegate_to_peer)
if o["mutual"]:
    flags.append(gssapi.RequirementFlag.mutual_authentication)
bindings = None
if o["bind"]:
    digest = hashlib.sha256(conn.sock.getpeercert(binary_form=True)).digest()
    bindings = gssapi.raw.ChannelBindings(application_data=b"tls-server-end-point:" + digest)
ctx = gssapi.SecurityContext(
    name=gssapi.Name("HTTP@" + url.hostname, gssapi.NameType.hostbased_service),
    mech=gssapi.OID.from_int_seq(o["mech"]), flags=flags, usage="initiate", channel_bindings=bindings)
conn.request("GET", "/", headers={"Authorization": "Negotiate " + base64.b64encode(ctx.step()).decode()})
resp = conn.getresponse()
assert resp.status == 200, (resp.status, resp.read())
`

// received is what a server can tell of a token.
type received struct {
	Initiator, Target string
	Mech              gssapi.OID   // that is used
	Flags             gssapi.Flags // as the initiator asked for them: they are in the token
	Outer             string       // the mechanism of the token itself
	Offered           string       // the mechanisms that SPNEGO offers, best first
	Bound             bool         // to the certificate
	Delegated         bool
}

// scripted is a server that answers a first request with a bare challenge, and one with a token with status 200.
type scripted struct {
	*site
	mu  sync.Mutex
	got []received
	ca  string
}

func newScripted(t *testing.T, overTLS bool) *scripted {
	s := &scripted{}
	var bindings *gssapi.ChannelBinding
	s.site = newUnstartedSite(func(w http.ResponseWriter, r *http.Request, _ int) {
		token, err := requestToken(r.Header)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			http.Error(w, "a token, please", http.StatusUnauthorized)
			return
		}
		sc := gssapi.NewAcceptor(&gssapi.Options{ChannelBinding: bindings})
		defer sc.Close()
		out, err := sc.Step(r.Context(), token)
		if err != nil || !sc.Established() {
			http.Error(w, fmt.Sprint("no context: ", err), http.StatusForbidden)
			return
		}
		outer, offered := readToken(t, token)
		info, delegated := sc.Info(), sc.Delegated()
		got := received{
			Initiator: info.Initiator.String(), Target: info.Acceptor.String(), Mech: info.Mech,
			Flags: info.Flags &^ (gssapi.FlagProtReady | gssapi.FlagTransferable), // what this side can do
			Outer: outer, Offered: offered, Bound: info.Flags&gssapi.FlagChannelBound != 0, Delegated: delegated != nil,
		}
		if delegated != nil {
			delegated.Close()
		}
		s.mu.Lock()
		s.got = append(s.got, got)
		s.mu.Unlock()
		if len(out) > 0 {
			w.Header().Set("WWW-Authenticate", fieldValue(out))
		}
	})
	if !overTLS {
		s.Start()
		s.URL = "http://localhost:" + s.port()
	} else {
		var cert *tls.Certificate
		cert, s.ca = peers.Certificate(t)
		bindings = EndPoint(cert.Leaf)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		s.StartTLS()
		s.URL = "https://localhost:" + s.port()
	}
	t.Cleanup(s.Close)
	return s
}

// last is what came with the last token, of which there was one more.
func (s *scripted) last(t *testing.T, n int) received {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) != n {
		t.Fatalf("%d tokens, want %d", len(s.got), n)
	}
	return s.got[n-1]
}

// readToken reads the frame of an initial token (RFC 2743 section 3.1), and of SPNEGO the list of mechanisms
// (RFC 4178 section 4.2.1).
func readToken(t *testing.T, token []byte) (outer, offered string) {
	var frame, init, list asn1.RawValue
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(token, &frame); err != nil {
		t.Error(err)
		return "", ""
	}
	rest, err := asn1.Unmarshal(frame.Bytes, &oid)
	if err != nil || oid.String() != gssapi.SPNEGO.String() {
		return oid.String(), ""
	}
	var seq struct{ List []asn1.ObjectIdentifier }
	if _, err = asn1.Unmarshal(rest, &init); err == nil { // [0] NegTokenInit
		if _, err = asn1.Unmarshal(init.Bytes, &list); err == nil { // SEQUENCE
			if _, err = asn1.Unmarshal(list.Bytes, &list); err == nil { // [0] mechTypes
				_, err = asn1.Unmarshal(list.Bytes, &seq.List)
			}
		}
	}
	if err != nil {
		t.Error(err)
	}
	return oid.String(), fmt.Sprint(seq.List)
}

// TestInteropNative has a server compare what comes from Transport with what comes from the native library as
// requests-gssapi uses it. All that differs, and why:
//
//	options              requests-gssapi          Transport     reason
//	neither mutual nor   mutual,sequence beside   neither       python-gssapi takes an empty list of flags for no list, and
//	delegate             the library's own                      puts its default there ("flags or [...]"). Nobody has asked
//	                                                            for it: mutual is one more token, which is then not looked at.
//
// The library's own flags, which are there whoever asks: integrity, as SPNEGO asks its mechanism for it, and with it
// confidential, which krb5 grants where it can.
func TestInteropNative(t *testing.T) {
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import gssapi").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s; install the Debian package python3-gssapi (scripts/deps interop)", err, out)
	}
	for _, overTLS := range []bool{false, true} {
		s := newScripted(t, overTLS)
		base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
		if overTLS {
			pem, err := os.ReadFile(s.ca)
			if err != nil || !base.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
				t.Fatal(err)
			}
		}
		n := 0
		for _, mech := range []gssapi.OID{gssapi.SPNEGO, gssapi.KRB5} {
			for _, mutual := range []bool{false, true} {
				for _, delegate := range []bool{false, true} {
					t.Run(fmt.Sprintf("tls %v %s mutual %v delegate %v", overTLS, mech, mutual, delegate), func(t *testing.T) {
						options, err := json.Marshal(map[string]any{
							"url": s.URL, "ca": s.ca, "mech": json.RawMessage("[" + strings.ReplaceAll(mech.String(), ".", ",") + "]"),
							"mutual": mutual, "delegate": delegate, "bind": overTLS})
						if err != nil {
							t.Fatal(err)
						}
						out, err := exec.CommandContext(t.Context(), python, "-c", pythonClient, string(options)).CombinedOutput()
						if err != nil {
							t.Fatalf("%v: %s", err, out)
						}
						n++
						native := s.last(t, n)

						tr := &Transport{Base: base, Mech: mech}
						if mutual {
							tr.Mutual = MutualRequired
						}
						if delegate {
							tr.Delegate = DelegateAlways
						}
						if overTLS {
							tr.ChannelBinding = BindRequired
						}
						resp, _ := get(t, newClient(t, tr), s.URL)
						if o := OutcomeOf(resp); resp.StatusCode != 200 || o.Err != nil || o.Mutual != mutual || o.Delegated != delegate {
							t.Errorf("%s, %+v", resp.Status, o)
						}
						n++
						ours := s.last(t, n)

						if ours.Initiator != realUser || !strings.HasPrefix(ours.Target, "HTTP/localhost@NEGO.TEST") || ours.Mech != gssapi.KRB5 ||
							ours.Outer != mech.String() || ours.Delegated != delegate || ours.Bound != overTLS {
							t.Errorf("ours: %+v", ours)
						}
						if !mutual && !delegate {
							if extra := native.Flags &^ ours.Flags; extra != gssapi.FlagMutual|gssapi.FlagSequence {
								t.Errorf("the table says otherwise: %s", extra)
							}
							native.Flags &^= gssapi.FlagMutual | gssapi.FlagSequence
						}
						if ours != native {
							t.Errorf("ours %+v (%s),\nnative %+v (%s)", ours, ours.Flags, native, native.Flags)
						}
					})
				}
			}
		}
	}
}
