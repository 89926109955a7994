package negotiate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// leafPrefix marks the certificate in a session's extra data.
const leafPrefix = "nego leaf\x00"

// TLSConfig returns a copy of a server's configuration that remembers which certificate each connection was shown, as
// ChannelBinding needs. It works with Certificates, GetCertificate and GetConfigForClient, with changing ones, and for
// sessions that are resumed, where no certificate is shown. Use it together with [Authenticator.ConnContext]:
//
//	s := &http.Server{TLSConfig: auth.TLSConfig(config), ConnContext: auth.ConnContext, …}
//
// The certificates must be in that configuration: those that http.Server.ServeTLS loads from files are not seen.
// Session tickets that were made with another configuration are not resumed.
func (a *Authenticator) TLSConfig(config *tls.Config) *tls.Config {
	if config == nil {
		config = new(tls.Config)
	}
	outer := config.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		inner := config
		if config.GetConfigForClient != nil {
			chosen, err := config.GetConfigForClient(hello)
			if err != nil {
				return nil, err
			}
			if chosen != nil {
				inner = chosen
			}
		}
		own := inner.Clone()
		if len(own.NextProtos) == 0 {
			own.NextProtos = outer.NextProtos // an http.Server adds those that it speaks
		}
		if c := a.conn(hello.Context()); c != nil {
			watch(own, inner, c)
		}
		return own, nil
	}
	return outer
}

// watch has one connection's copy of a configuration record the certificate.
func watch(own, config *tls.Config, c *conn) {
	own.GetConfigForClient = nil
	own.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := choose(config, hello)
		if err != nil || cert == nil {
			return cert, err
		}
		leaf, err := leafOf(cert)
		if err != nil {
			return nil, err
		}
		c.shown(leaf)
		return cert, nil
	}
	own.Certificates = nil // else it is not asked for a client that names no server
	own.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		if leaf := c.certificate(); leaf != nil {
			state.Extra = append(state.Extra, append([]byte(leafPrefix), leaf.Raw...))
		}
		if config.WrapSession != nil {
			return config.WrapSession(cs, state)
		}
		return config.EncryptTicket(cs, state)
	}
	own.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		unwrap := config.DecryptTicket
		if config.UnwrapSession != nil {
			unwrap = config.UnwrapSession
		}
		state, err := unwrap(identity, cs)
		if err != nil || state == nil {
			return state, err
		}
		for _, extra := range state.Extra {
			if len(extra) > len(leafPrefix) && string(extra[:len(leafPrefix)]) == leafPrefix {
				if leaf, err := x509.ParseCertificate(extra[len(leafPrefix):]); err == nil {
					c.shown(leaf)
					return state, nil
				}
			}
		}
		return nil, nil // a full handshake shows one
	}
}

// choose picks a certificate as crypto/tls does.
func choose(config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if config.GetCertificate != nil && (len(config.Certificates) == 0 || hello.ServerName != "") {
		if cert, err := config.GetCertificate(hello); err != nil || cert != nil {
			return cert, err
		}
	}
	for i := range config.Certificates {
		if hello.SupportsCertificate(&config.Certificates[i]) == nil {
			return &config.Certificates[i], nil
		}
	}
	if len(config.Certificates) == 0 {
		return nil, errors.New("negotiate: the server has no certificate: put it into the configuration given to Authenticator.TLSConfig")
	}
	return &config.Certificates[0], nil
}

func leafOf(cert *tls.Certificate) (*x509.Certificate, error) {
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	if len(cert.Certificate) == 0 {
		return nil, errors.New("negotiate: the server's certificate is empty")
	}
	return x509.ParseCertificate(cert.Certificate[0])
}
