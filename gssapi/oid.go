package gssapi

import (
	"crypto/x509"
	"fmt"
)

// OID is an object identifier: the content octets of its DER encoding, without tag and length. It is
// a gss_OID as a value: constant, comparable, good as a map key and tied to no memory of the
// library. The zero OID stands for none.
type OID string

// Mechanisms, whether the library has them or not. [Mechs] tells which it has.
const (
	KRB5    OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"     // Kerberos 5, RFC 4121
	SPNEGO  OID = "\x2b\x06\x01\x05\x05\x02"                 // negotiation, RFC 4178; what HTTP Negotiate speaks
	IAKERB  OID = "\x2b\x06\x01\x05\x02\x05"                 // Kerberos through the acceptor
	KRB5MS  OID = "\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"     // Kerberos 5 by a wrong number, of Windows 2000
	KRB5Old OID = "\x2b\x05\x01\x05\x02"                     // Kerberos 5 by the number of drafts
	NTLMSSP OID = "\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a" // NTLM, a plug-in with MIT krb5
)

// Types of names, for [NewName] and [Name.Type].
const (
	NTUser            OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x01" // GSS_C_NT_USER_NAME: alice
	NTMachineUID      OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x02" // GSS_C_NT_MACHINE_UID_NAME: a uid_t in the machine's order
	NTStringUID       OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x03" // GSS_C_NT_STRING_UID_NAME: 1000
	NTHostBased       OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" // GSS_C_NT_HOSTBASED_SERVICE: HTTP@www.example.com
	NTAnonymous       OID = "\x2b\x06\x01\x05\x06\x03"                 // GSS_C_NT_ANONYMOUS
	NTExported        OID = "\x2b\x06\x01\x05\x06\x04"                 // GSS_C_NT_EXPORT_NAME: what [Name.Export] gives
	NTHostBasedX      OID = "\x2b\x06\x01\x05\x06\x02"                 // GSS_C_NT_HOSTBASED_SERVICE_X: NTHostBased by an older number
	NTCompositeExport OID = "\x2b\x06\x01\x05\x06\x06"                 // GSS_C_NT_COMPOSITE_EXPORT: what [SecContext.Composite] gives
	NTKRB5X509        OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x07" // GSS_KRB5_NT_X509_CERT: a certificate in DER
	NTKRB5Referral    OID = "\x2a\x85\x70\x2b\x0d\x17"                 // GSS_KRB5_NT_PRINCIPAL_NAME_REFERRAL, Heimdal's
	NTKRB5Principal   OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01" // GSS_KRB5_NT_PRINCIPAL_NAME: alice@EXAMPLE.COM
	NTKRB5Enterprise  OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x06" // GSS_KRB5_NT_ENTERPRISE_NAME: alice@corp.example.com
)

// maxOID is the longest OID, in bytes, that goes to the library.
const maxOID = 255

// ParseOID reads dotted decimal, as in "1.2.840.113554.1.2.2" (of what gss_str_to_oid reads, the common form).
func ParseOID(dotted string) (OID, error) {
	o, err := x509.ParseOID(dotted)
	if err != nil {
		return "", fmt.Errorf("gssapi: %q is not an object identifier in dotted decimal", dotted)
	}
	der, err := o.MarshalBinary()
	if err != nil || len(der) > maxOID {
		return "", fmt.Errorf("gssapi: the object identifier %q is too long", dotted)
	}
	return OID(der), nil
}

// String returns dotted decimal (gss_oid_to_str); where the octets are no object identifier, it shows them in hex.
func (o OID) String() string {
	if o == "" {
		return ""
	}
	var x x509.OID
	if err := x.UnmarshalBinary([]byte(o)); err != nil {
		return fmt.Sprintf("%x", string(o))
	}
	return x.String()
}

// internOID copies an OID out of the library's memory, without allocating for those it meets all the time.
func internOID(b []byte) OID {
	switch string(b) {
	case "":
		return ""
	case string(KRB5):
		return KRB5
	case string(SPNEGO):
		return SPNEGO
	case string(NTKRB5Principal):
		return NTKRB5Principal
	}
	return OID(b)
}
