//go:build cgo && unix

#include <string.h>
#include "shim.h"

/* The element of one mechanism: name and type, then usage in flags and lifetime. */
nego_result nego_cred_by_mech(void *cred, const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)cred, (void)mech, (void)mech_len;
	r.major = GSS_S_UNAVAILABLE; /* Heimdal does not survive it for any key, and knows no lifetime of some tickets */
#else
	nego_pack p = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t name = GSS_C_NO_NAME;
	gss_cred_usage_t usage = 0;
	OM_uint32 minor, ignored, initiator = 0, acceptor = 0;
	OM_uint32 major = gss_inquire_cred_by_mech(&minor, cred, &m, &name, &initiator, &acceptor, &usage);
	if (major == GSS_S_BAD_BINDINGS)
		major = GSS_S_UNAVAILABLE; /* MIT's mechglue, where the mechanism has no such function */
	if (!GSS_ERROR(major) && name != GSS_C_NO_NAME) {
		major = nego_put_name(&minor, &p, name);
	} else {
		nego_put(&p, "", 0);
		nego_put(&p, "", 0);
	}
	nego_status(&r, major, minor, &m);
	nego_put_oid(&p, &m);
	r.flags = (uint32_t)usage;
	r.lifetime = usage == GSS_C_ACCEPT ? acceptor : initiator;
	gss_release_name(&ignored, &name);
	nego_out_pack(&r, &p);
#endif
	return r;
}

/* What a credential has under an OID: a record for each element of the set. */
nego_result nego_cred_by_oid(void *cred, const void *oid, size_t oid_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)cred, (void)oid, (void)oid_len;
	r.major = GSS_S_UNAVAILABLE; /* Heimdal's has a pointer to tell, and fails for the rest */
#else
	nego_pack p = { 0 };
	gss_OID_desc o = { (OM_uint32)oid_len, (void *)oid };
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	OM_uint32 minor, ignored, major = gss_inquire_cred_by_oid(&minor, cred, &o, &set);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; !GSS_ERROR(major) && set != GSS_C_NO_BUFFER_SET && i < set->count; i++)
		nego_put(&p, set->elements[i].value, set->elements[i].length);
	gss_release_buffer_set(&ignored, &set);
	nego_out_pack(&r, &p);
#endif
	return r;
}

/* A new credential with the elements of cred and one more for each of the mechanisms, which are packed as for nego_acquire. */
nego_result nego_cred_add(void *cred, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mechs, size_t mechs_len, const void *store, size_t store_len, int usage, uint32_t lifetime)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)cred, (void)text, (void)text_len, (void)type, (void)type_len, (void)mechs, (void)mechs_len;
	(void)store, (void)store_len, (void)usage, (void)lifetime;
	r.major = GSS_S_UNAVAILABLE; /* Heimdal 7.8 does not survive it */
#else
	nego_store l;
	gss_name_t name = GSS_C_NO_NAME;
	gss_cred_id_t out = GSS_C_NO_CREDENTIAL;
	OM_uint32 minor = 0, ignored, major = GSS_S_COMPLETE;
	gss_const_key_value_set_t from = nego_unpack_store(&l, store, store_len);
	gss_OID_desc m = { 0, NULL };
	int named = 0;
	if (text_len + type_len > 0)
		major = nego_import(&minor, text, text_len, type, type_len, &name);
	else if (usage != GSS_C_ACCEPT)
		named = nego_default_begin(from);
	for (const unsigned char *p = mechs, *end = p + mechs_len; !GSS_ERROR(major) && p < end; p += 1 + m.length) {
		m = (gss_OID_desc){ p[0], (void *)(p + 1) };
		/* Without an output the element goes into the input, which is ours from the second one on. */
		if (out == GSS_C_NO_CREDENTIAL)
			major = gss_add_cred_from(&minor, cred, name, &m, usage, lifetime, lifetime, from, &out, NULL, NULL, NULL);
		else
			major = gss_add_cred_from(&minor, out, name, &m, usage, lifetime, lifetime, from, NULL, NULL, NULL, NULL);
	}
	nego_status(&r, major, minor, m.length > 0 ? &m : GSS_C_NO_OID);
	nego_default_end(named);
	if (GSS_ERROR(major)) {
		gss_release_cred(&ignored, &out);
	} else {
		r.box = out;
		nego_born();
	}
	gss_release_name(&ignored, &name);
#endif
	return r;
}

/* Encryption types, where there are any, and the option to state no flags that were not asked for. */
nego_result nego_cred_set(void *p, const void *enctypes, size_t count, int exact_flags)
{
	static gss_OID_desc no_ci_flags = { 6, "\x2a\x85\x70\x2b\x0d\x1d" };
	nego_result r = { 0 };
	gss_cred_id_t cred = p;
	gss_buffer_desc none = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor = 0, major = GSS_S_COMPLETE;
#ifdef NEGO_HEIMDAL
	if (count > 0) {
		r.major = GSS_S_UNAVAILABLE; /* its acceptors do not heed them, and its initiators take unknown ones */
		return r;
	}
#endif
	if (count > 0)
		major = gss_krb5_set_allowable_enctypes(&minor, cred, (OM_uint32)count, (void *)enctypes);
	if (!GSS_ERROR(major) && exact_flags)
		major = gss_set_cred_option(&minor, &cred, &no_ci_flags, &none);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	return r;
}

nego_result nego_cred_export(void *cred)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)cred;
	r.major = GSS_S_UNAVAILABLE; /* Heimdal cannot for keys, and half of such a token is as good to it as the whole */
#else
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = gss_export_cred(&minor, cred, &b);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &b);
#endif
	return r;
}

#ifndef NEGO_HEIMDAL
/* The usage of all elements together, from that of the first one. SPNEGO's cannot tell, and is like others. */
static gss_cred_usage_t whole_usage(gss_cred_id_t cred, gss_cred_usage_t first, gss_OID_set mechs)
{
	int initiates = first != GSS_C_ACCEPT, accepts = first != GSS_C_INITIATE;
	for (size_t i = 0; i < mechs->count; i++) {
		gss_cred_usage_t usage;
		OM_uint32 ignored;
		if (GSS_ERROR(gss_inquire_cred_by_mech(&ignored, cred, &mechs->elements[i], NULL, NULL, NULL, &usage)))
			continue;
		initiates |= usage != GSS_C_ACCEPT;
		accepts |= usage != GSS_C_INITIATE;
	}
	return !accepts ? GSS_C_INITIATE : initiates ? GSS_C_BOTH : GSS_C_ACCEPT;
}

/* SPNEGO's restrictions are not in the token: it negotiates the mechanisms that stand beside it, where some do. */
static OM_uint32 negotiate_those_beside(OM_uint32 *minor, gss_cred_id_t cred, gss_OID_set mechs)
{
	static const unsigned char spnego[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02 };
	gss_OID_set beside = GSS_C_NO_OID_SET;
	OM_uint32 ignored, major = gss_create_empty_oid_set(minor, &beside);
	int there = 0;
	for (size_t i = 0; !GSS_ERROR(major) && i < mechs->count; i++) {
		gss_OID mech = &mechs->elements[i];
		if (mech->length == sizeof spnego && memcmp(mech->elements, spnego, sizeof spnego) == 0)
			there = 1;
		else
			major = gss_add_oid_set_member(minor, mech, &beside);
	}
	if (!GSS_ERROR(major) && there && beside->count > 0)
		major = gss_set_neg_mechs(minor, cred, beside);
	gss_release_oid_set(&ignored, &beside);
	return major;
}
#endif

nego_result nego_cred_import(const void *token, size_t token_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)token, (void)token_len;
	r.major = GSS_S_UNAVAILABLE;
#else
	gss_buffer_desc b = { token_len, (void *)token };
	gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
	gss_OID_set mechs = GSS_C_NO_OID_SET;
	gss_cred_usage_t usage = 0;
	OM_uint32 minor, ignored, major = gss_import_cred(&minor, &b, &cred);
	if (!GSS_ERROR(major))
		major = gss_inquire_cred(&minor, cred, NULL, NULL, &usage, &mechs);
	if (!GSS_ERROR(major))
		major = negotiate_those_beside(&minor, cred, mechs);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (GSS_ERROR(major)) {
		gss_release_cred(&ignored, &cred);
	} else {
		r.flags = (uint32_t)whole_usage(cred, usage, mechs);
		r.box = cred;
		nego_born();
	}
	gss_release_oid_set(&ignored, &mechs);
#endif
	return r;
}
