package negotiate

import (
	"crypto"
	_ "crypto/sha256" // the hashes that EndPoint asks for
	_ "crypto/sha512"
	"crypto/x509"

	"github.com/nego-sso/nego/gssapi"
)

// EndPoint returns the channel binding tls-server-end-point of a server's certificate, the first one of those that it
// shows: a hash of it (RFC 5929 section 4.1). The hash is that of the certificate's signature; MD5 and SHA-1 become
// SHA-256, and so do signatures that have none of their own, such as Ed25519, for which the RFC has no rule. A Transport
// and an Authenticator use it by themselves; it is for those who make or accept tokens with package gssapi.
func EndPoint(leaf *x509.Certificate) *gssapi.ChannelBinding {
	h := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	}
	sum := h.New()
	sum.Write(leaf.Raw)
	return &gssapi.ChannelBinding{Data: sum.Sum([]byte("tls-server-end-point:"))}
}
