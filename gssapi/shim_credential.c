//go:build cgo && unix

#include <string.h>
#include "shim.h"

enum { MAX_MECHS = 32 };

/* An OID set in caller's memory from packed OIDs: one byte of length, then the octets. */
typedef struct oid_list {
	gss_OID_set_desc set;
	gss_OID_desc oids[MAX_MECHS];
} oid_list;

static gss_OID_set unpack_oids(oid_list *l, const void *packed, size_t n)
{
	const unsigned char *p = packed;
	l->set.count = 0;
	l->set.elements = l->oids;
	while (n > 0 && l->set.count < MAX_MECHS && 1 + (size_t)p[0] <= n) {
		gss_OID oid = &l->oids[l->set.count++];
		oid->length = p[0];
		oid->elements = (void *)(p + 1);
		n -= 1 + (size_t)p[0];
		p += 1 + (size_t)p[0];
	}
	return l->set.count > 0 ? &l->set : GSS_C_NO_OID_SET;
}

#ifndef NEGO_HEIMDAL

gss_const_key_value_set_t nego_unpack_store(nego_store *l, const void *packed, size_t n)
{
	const char *p = packed, *end = p + n;
	l->set.count = 0;
	l->set.elements = l->elements;
	while (p < end && l->set.count < NEGO_MAX_KEYS) {
		gss_key_value_element_desc *e = &l->elements[l->set.count++];
		e->key = p;
		p += strlen(p) + 1;
		e->value = p;
		p += strlen(p) + 1;
	}
	return l->set.count > 0 ? &l->set : GSS_C_NO_CRED_STORE;
}

static OM_uint32 acquire(OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime, gss_OID_set mechs, int usage,
    const void *store, size_t store_len, gss_cred_id_t *cred, gss_OID_set *got)
{
	nego_store l;
	return gss_acquire_cred_from(minor, name, lifetime, mechs, usage, nego_unpack_store(&l, store, store_len), cred, got, NULL);
}

static OM_uint32 set_neg_mechs(OM_uint32 *minor, gss_cred_id_t cred, const void *neg, size_t neg_len)
{
	if (neg_len == 0)
		return GSS_S_COMPLETE;
	oid_list l;
	return gss_set_neg_mechs(minor, cred, unpack_oids(&l, neg, neg_len));
}
#endif

/* Reports whether one of the mechanisms was got. SPNEGO is also there where a plug-in alone has a credential. */
static int got_one(gss_OID_set wanted, gss_OID_set got)
{
	OM_uint32 ignored;
	int there = 0;
	for (size_t i = 0; !there && i < wanted->count; i++)
		gss_test_oid_set_member(&ignored, &wanted->elements[i], got, &there);
	return there;
}

static void finish(nego_result *r, OM_uint32 major, OM_uint32 minor, gss_cred_id_t cred)
{
	nego_status(r, major, minor, GSS_C_NO_OID);
	if (GSS_ERROR(major)) {
		OM_uint32 ignored;
		gss_release_cred(&ignored, &cred);
		return;
	}
	r->box = cred;
	nego_born();
}

nego_result nego_acquire(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mechs, size_t mechs_len, const void *neg, size_t neg_len, const void *store, size_t store_len,
    int usage, uint32_t lifetime)
{
	nego_result r = { 0 };
	gss_name_t name = GSS_C_NO_NAME;
	gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
	gss_OID_set got = GSS_C_NO_OID_SET;
	OM_uint32 minor = 0, ignored, major = GSS_S_COMPLETE;
	oid_list l;
	if (text_len + type_len > 0)
		major = nego_import(&minor, text, text_len, type, type_len, &name);
#ifdef NEGO_HEIMDAL
	oid_list n;
	if (!GSS_ERROR(major))
		major = nego_heimdal_acquire(&r, &minor, name, lifetime, unpack_oids(&l, mechs, mechs_len), unpack_oids(&n, neg, neg_len), usage,
		    store, store_len, &cred, &got);
	if (got != GSS_C_NO_OID_SET && neg_len > 0 && !got_one(&n.set, got))
		major = GSS_S_NO_CRED;
	gss_release_oid_set(&ignored, &got);
#else
	nego_store keys;
	int named = !GSS_ERROR(major) && usage != GSS_C_ACCEPT && name == GSS_C_NO_NAME && nego_default_begin(nego_unpack_store(&keys, store, store_len));
	if (!GSS_ERROR(major))
		major = acquire(&minor, name, lifetime, unpack_oids(&l, mechs, mechs_len), usage, store, store_len, &cred, &got);
	if (neg_len > 0 && !got_one(unpack_oids(&l, neg, neg_len), got)) {
		/* Again, for the mechanism's own words. */
		gss_release_cred(&ignored, &cred);
		major = acquire(&minor, name, lifetime, &l.set, usage, store, store_len, &cred, NULL);
	}
	gss_release_oid_set(&ignored, &got);
	if (!GSS_ERROR(major))
		major = set_neg_mechs(&minor, cred, neg, neg_len);
#endif
	finish(&r, major, minor, cred);
#ifndef NEGO_HEIMDAL
	nego_default_end(named);
#endif
	gss_release_name(&ignored, &name);
	return r;
}

/* A credential of the user, gotten with the tickets of cred alone (S4U2Self). SPNEGO would ask the KDC once more. */
nego_result nego_impersonate(void *cred, const void *text, size_t text_len, const void *type, size_t type_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	static const char why[] = "Heimdal has no credentials of users without their passwords";
	(void)cred, (void)text, (void)text_len, (void)type, (void)type_len;
	r.major = GSS_S_UNAVAILABLE;
	nego_text(&r, why, sizeof why - 1);
#else
	gss_cred_id_t out = GSS_C_NO_CREDENTIAL;
	gss_name_t name = GSS_C_NO_NAME;
	gss_OID_set_desc mechs = { 1, &nego_krb5 };
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = gss_acquire_cred_impersonate_name(&minor, cred, name, GSS_C_INDEFINITE, &mechs, GSS_C_INITIATE, &out, NULL, NULL);
	nego_status_general(&r, major, minor);
	if (!GSS_ERROR(major)) {
		r.box = out;
		nego_born();
	}
	gss_release_name(&ignored, &name);
#endif
	return r;
}

nego_result nego_cred_info(void *cred)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_name_t name = GSS_C_NO_NAME;
	gss_cred_usage_t usage = 0;
	gss_OID_set mechs = GSS_C_NO_OID_SET;
	OM_uint32 minor, ignored, lifetime = 0;
	/* The name apart: MIT's mechglue loses it where the credential turns out to be expired. */
	OM_uint32 major = gss_inquire_cred(&minor, cred, NULL, &lifetime, &usage, &mechs);
#ifdef NEGO_HEIMDAL
	/* An acceptor's may have none, and Heimdal does not survive the question what that is. */
	if (!GSS_ERROR(major) && usage != GSS_C_ACCEPT) {
		major = gss_inquire_cred(&minor, cred, &name, NULL, NULL, NULL);
		if (!GSS_ERROR(major))
			major = nego_heimdal_lifetime(cred, &lifetime);
	}
#else
	if (!GSS_ERROR(major))
		major = gss_inquire_cred(&minor, cred, &name, NULL, NULL, NULL);
#endif
	if (!GSS_ERROR(major) && name != GSS_C_NO_NAME) {
		major = nego_put_name(&minor, &p, name);
	} else {
		nego_put(&p, "", 0);
		nego_put(&p, "", 0);
	}
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; mechs != GSS_C_NO_OID_SET && i < mechs->count; i++)
		nego_put_oid(&p, &mechs->elements[i]);
	r.flags = (uint32_t)usage;
	r.lifetime = lifetime;
	gss_release_name(&ignored, &name);
	gss_release_oid_set(&ignored, &mechs);
	nego_out_pack(&r, &p);
	return r;
}

/* Who acts for the credential's user, by constrained delegation; empty where the tickets are the user's own. */
nego_result nego_cred_impersonator(void *cred)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)cred;
#else
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	nego_pack p = { 0 };
	OM_uint32 minor, ignored, major = gss_inquire_cred_by_oid(&minor, cred, GSS_KRB5_GET_CRED_IMPERSONATOR, &set);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (!GSS_ERROR(major) && set != GSS_C_NO_BUFFER_SET && set->count > 0)
		nego_put(&p, set->elements[0].value, set->elements[0].length);
	gss_release_buffer_set(&ignored, &set);
	nego_out_pack(&r, &p);
#endif
	return r;
}

/* Puts a credential's tickets into the cache that the store names; in a collection they become the primary ones. */
nego_result nego_cred_store(void *cred, const void *store, size_t store_len, int overwrite)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	OM_uint32 minor = 0, major = nego_heimdal_store_into(&r, &minor, cred, store, store_len, overwrite);
	nego_status(&r, major, minor, GSS_C_NO_OID);
#else
	nego_store l;
	OM_uint32 minor, major = gss_store_cred_into(&minor, cred, GSS_C_INITIATE, &nego_krb5, (OM_uint32)overwrite, 1,
	    nego_unpack_store(&l, store, store_len), NULL, NULL);
	nego_status_general(&r, major, minor);
#endif
	return r;
}

/* Puts a credential's tickets into a cache in memory, from which equal credentials can be acquired. */
nego_result nego_cred_share(void *cred)
{
	nego_result r = { 0 };
	char *name = NULL;
	if (!nego_krb5_memory_cache(&r, &name))
		return r;
#ifdef NEGO_HEIMDAL
	OM_uint32 minor = 0, major = nego_heimdal_store(&r, &minor, cred, name);
	nego_status(&r, major, minor, GSS_C_NO_OID);
#else
	gss_key_value_element_desc element = { "ccache", name };
	gss_key_value_set_desc store = { 1, &element };
	OM_uint32 minor, major = gss_store_cred_into(&minor, cred, GSS_C_INITIATE, &nego_krb5, 1, 0, &store, NULL, NULL);
	nego_status_general(&r, major, minor);
#endif
	if (GSS_ERROR(r.major)) {
		nego_krb5_destroy_cache(name);
		return r;
	}
	nego_pack p = { 0 };
	nego_put(&p, name, strlen(name));
	nego_out_pack(&r, &p);
	r.box = name;
	nego_born();
	return r;
}

nego_result nego_cache_free(void *name)
{
	nego_result r = { 0 };
	nego_krb5_destroy_cache(name);
	nego_died();
	return r;
}

nego_result nego_cred_free(void *p)
{
	nego_result r = { 0 };
	gss_cred_id_t cred = p;
#ifdef NEGO_HEIMDAL
	if (nego_heimdal_is_shared(cred))
		cred = GSS_C_NO_CREDENTIAL;
#endif
	OM_uint32 minor = 0, major = gss_release_cred(&minor, &cred);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_died();
	return r;
}
