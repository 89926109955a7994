package gssapi

// Attributes of mechanisms, for [MechsByAttrs] and in [Mechanism] (RFC 5587 section 3.2).
const (
	MAConcrete        OID = "\x2b\x06\x01\x05\x05\x0d\x01"                 // GSS_C_MA_MECH_CONCRETE: a mechanism of its own
	MAPseudo          OID = "\x2b\x06\x01\x05\x05\x0d\x02"                 // GSS_C_MA_MECH_PSEUDO: is combined with others
	MAComposite       OID = "\x2b\x06\x01\x05\x05\x0d\x03"                 // GSS_C_MA_MECH_COMPOSITE: is made of others
	MANego            OID = "\x2b\x06\x01\x05\x05\x0d\x04"                 // GSS_C_MA_MECH_NEGO: negotiates others
	MAGlue            OID = "\x2b\x06\x01\x05\x05\x0d\x05"                 // GSS_C_MA_MECH_GLUE: of the library itself and no mechanism
	MANotMech         OID = "\x2b\x06\x01\x05\x05\x0d\x06"                 // GSS_C_MA_NOT_MECH: no mechanism at all
	MADeprecated      OID = "\x2b\x06\x01\x05\x05\x0d\x07"                 // GSS_C_MA_DEPRECATED: use another
	MANotDefault      OID = "\x2b\x06\x01\x05\x05\x0d\x08"                 // GSS_C_MA_NOT_DFLT_MECH: not to be taken unasked
	MAFramed          OID = "\x2b\x06\x01\x05\x05\x0d\x09"                 // GSS_C_MA_ITOK_FRAMED: its first token has the header of Encapsulate
	MAAuthInit        OID = "\x2b\x06\x01\x05\x05\x0d\x0a"                 // GSS_C_MA_AUTH_INIT: authenticates initiators
	MAAuthTarg        OID = "\x2b\x06\x01\x05\x05\x0d\x0b"                 // GSS_C_MA_AUTH_TARG: authenticates acceptors
	MAAuthInitInit    OID = "\x2b\x06\x01\x05\x05\x0d\x0c"                 // GSS_C_MA_AUTH_INIT_INIT: lets initiators log in at first
	MAAuthTargInit    OID = "\x2b\x06\x01\x05\x05\x0d\x0d"                 // GSS_C_MA_AUTH_TARG_INIT: lets acceptors log in at first
	MAAuthInitAnon    OID = "\x2b\x06\x01\x05\x05\x0d\x0e"                 // GSS_C_MA_AUTH_INIT_ANON: initiators may be anonymous
	MAAuthTargAnon    OID = "\x2b\x06\x01\x05\x05\x0d\x0f"                 // GSS_C_MA_AUTH_TARG_ANON: acceptors may be anonymous
	MADelegation      OID = "\x2b\x06\x01\x05\x05\x0d\x10"                 // GSS_C_MA_DELEG_CRED: delegates
	MAIntegrity       OID = "\x2b\x06\x01\x05\x05\x0d\x11"                 // GSS_C_MA_INTEG_PROT: has integrity
	MAConfidentiality OID = "\x2b\x06\x01\x05\x05\x0d\x12"                 // GSS_C_MA_CONF_PROT: has confidentiality
	MAMIC             OID = "\x2b\x06\x01\x05\x05\x0d\x13"                 // GSS_C_MA_MIC: has MICs
	MAWrap            OID = "\x2b\x06\x01\x05\x05\x0d\x14"                 // GSS_C_MA_WRAP: wraps messages
	MAProtReady       OID = "\x2b\x06\x01\x05\x05\x0d\x15"                 // GSS_C_MA_PROT_READY: protects messages before the context is complete
	MAReplay          OID = "\x2b\x06\x01\x05\x05\x0d\x16"                 // GSS_C_MA_REPLAY_DET: detects replays
	MASequence        OID = "\x2b\x06\x01\x05\x05\x0d\x17"                 // GSS_C_MA_OOS_DET: detects messages out of order
	MAChannelBinding  OID = "\x2b\x06\x01\x05\x05\x0d\x18"                 // GSS_C_MA_CBINDINGS: has channel bindings
	MAPFS             OID = "\x2b\x06\x01\x05\x05\x0d\x19"                 // GSS_C_MA_PFS: has perfect forward secrecy
	MACompress        OID = "\x2b\x06\x01\x05\x05\x0d\x1a"                 // GSS_C_MA_COMPRESS: compresses
	MATransfer        OID = "\x2b\x06\x01\x05\x05\x0d\x1b"                 // GSS_C_MA_CTX_TRANS: contexts can be exported
	MANegoExAndSPNEGO OID = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x12" // GSS_C_MA_NEGOEX_AND_SPNEGO, MIT's: goes into SPNEGO as well as into NegoEx
)

// Mechanism says what a mechanism is like. A plug-in need not say all of it.
type Mechanism struct {
	OID         OID
	SASLName    string // as in "GS2-KRB5"
	Name        string // as in "krb5"
	Description string // a sentence for people
	Attrs       []OID  // what it is and does: MAConcrete and others
	KnownAttrs  []OID  // the attributes that the library knows of; one that is in neither list may be either way
	NameTypes   []OID  // the types of names it reads, such as NTHostBased
}

// DescribeMech says what a mechanism is like (gss_inquire_saslname_for_mech, RFC 5801 section 10; gss_inquire_attrs_for_mech, RFC 5587
// section 3.4.3; gss_inquire_names_for_mech, RFC 2743 section 2.4.12). It asks nobody. One that the library does not have is
// ErrBadMech.
func DescribeMech(mech OID) (Mechanism, error) {
	const op = "describe the mechanism"
	if err := checkMech(op, mech); err != nil {
		return Mechanism{}, err
	}
	r := mechInfo(mech)
	if err := r.err(op, mech.String(), nil); err != nil {
		return Mechanism{}, err
	}
	u := unpack{r.out}
	return Mechanism{OID: mech, SASLName: u.string(), Name: u.string(), Description: u.string(),
		Attrs: u.set(), KnownAttrs: u.set(), NameTypes: u.set()}, nil
}

// set reads OIDs behind their number.
func (u *unpack) set() []OID {
	var l []OID
	for n := u.u32(); n > 0 && len(u.b) > 0; n-- {
		l = append(l, internOID(u.bytes()))
	}
	return l
}

// MechsByAttrs lists the mechanisms that have all of desired, none of except, and to which no attribute of critical is unknown
// (gss_indicate_mechs_by_attrs, RFC 5587 section 3.4.2). Nil lists demand nothing. It asks nobody.
func MechsByAttrs(desired, except, critical []OID) ([]OID, error) {
	const op = "list mechanisms"
	for _, l := range [][]OID{desired, except, critical} {
		for _, o := range l {
			if o == "" || len(o) > maxOID {
				return nil, &Error{Op: op, Code: ErrFailure, Text: "an attribute is no object identifier"}
			}
		}
	}
	r := mechsByAttrs(packOIDs(desired), packOIDs(except), packOIDs(critical))
	if err := r.err(op, "", nil); err != nil {
		return nil, err
	}
	return unpack{r.out}.oids(), nil
}

// DescribeMechAttr returns the name of an attribute in C, such as GSS_C_MA_PFS, and what it means in few words and in many
// (gss_display_mech_attr, RFC 5587 section 3.4.4). It asks nobody. One that the library does not know is an error.
func DescribeMechAttr(attr OID) (name, short, long string, err error) {
	const op = "describe the attribute of mechanisms"
	if attr == "" || len(attr) > maxOID {
		return "", "", "", &Error{Op: op, Name: attr.String(), Code: ErrFailure, Text: "it is no object identifier"}
	}
	r := mechAttr(attr)
	if err := r.err(op, attr.String(), nil); err != nil {
		return "", "", "", err
	}
	u := unpack{r.out}
	return u.string(), u.string(), u.string(), nil
}
