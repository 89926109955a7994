package gssapi

// Mechs lists the mechanisms that the library offers, plug-ins included (gss_indicate_mechs,
// RFC 2743 section 2.4.2). It asks nobody.
func Mechs() ([]OID, error) {
	r := mechList()
	if err := r.err("list mechanisms", "", nil); err != nil {
		return nil, err
	}
	return unpack{r.out}.oids(), nil
}

// MechBySASLName finds a mechanism by its name in SASL, such as "GS2-KRB5"
// (gss_inquire_mech_for_saslname, RFC 5801 section 11). It asks nobody. A name that no mechanism has is ErrBadMech.
func MechBySASLName(name string) (OID, error) {
	r := mechBySASLName(name)
	return r.mech, r.err("find the mechanism with the SASL name", name, nil)
}
