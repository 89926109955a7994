//go:build cgo && unix && heimdal

/*
 * What Heimdal 7.8 does not have, or has in a way that a caller would notice: credentials from a place that is named,
 * SPNEGO with them, and words for SPNEGO's failures. Statements about Heimdal are read in its source of that version.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "shim_krb5.h"

#ifndef NEGO_HEIMDAL
#error "the build tag heimdal is set, and the headers are not Heimdal's"
#endif

static gss_OID_desc spnego = { 6, "\x2b\x06\x01\x05\x05\x02" };
static gss_OID_desc copy_ccache = { 6, "\x2a\x85\x70\x2b\x0d\x01" };
static gss_OID_set_desc krb5_alone = { 1, &nego_krb5 };

static int same(gss_OID a, gss_OID b) { return a->length == b->length && memcmp(a->elements, b->elements, a->length) == 0; }

static OM_uint32 refuse(nego_result *r, OM_uint32 *minor, OM_uint32 major, const char *why)
{
	*minor = 0;
	nego_text(r, why, strlen(why));
	return major;
}

static OM_uint32 krb5_refuses(nego_result *r, OM_uint32 *minor, OM_uint32 major, krb5_context k, krb5_error_code code)
{
	*minor = 0; /* the words are here already */
	nego_krb5_failed(r, k, code);
	return major;
}

/* What MIT krb5's does: an empty host or realm of a service is any. */
krb5_boolean nego_heimdal_sname_match(krb5_context k, krb5_const_principal matching, krb5_const_principal principal)
{
	if (matching == NULL)
		return TRUE;
	if (krb5_principal_get_type(k, matching) != KRB5_NT_SRV_HST || krb5_principal_get_num_comp(k, matching) != 2)
		return krb5_principal_compare(k, matching, principal);
	const char *realm = krb5_principal_get_realm(k, matching), *host = krb5_principal_get_comp_string(k, matching, 1);
	return krb5_principal_get_num_comp(k, principal) == 2 &&
	       strcmp(krb5_principal_get_comp_string(k, matching, 0), krb5_principal_get_comp_string(k, principal, 0)) == 0 &&
	       (host[0] == '\0' || strcmp(host, krb5_principal_get_comp_string(k, principal, 1)) == 0) &&
	       (realm[0] == '\0' || strcmp(realm, krb5_principal_get_realm(k, principal)) == 0);
}

static int opens(krb5_context k, const krb5_keyblock *key, const EncryptedData *sealed)
{
	krb5_crypto crypto;
	krb5_data plain;
	if (key->keytype != sealed->etype || krb5_crypto_init(k, key, ENCTYPE_NULL, &crypto) != 0)
		return 0;
	int yes = krb5_decrypt_EncryptedData(k, crypto, KRB5_KU_TICKET, sealed, &plain) == 0;
	if (yes) {
		explicit_bzero(plain.data, plain.length);
		krb5_data_free(&plain);
	}
	krb5_crypto_destroy(k, crypto);
	return yes;
}

/* The keytab's own failures are no failure here: then nothing in it opens the ticket. */
krb5_error_code nego_heimdal_seal(krb5_context k, krb5_keytab kt, const void *ticket, size_t n, ticket_seal *seal)
{
	Ticket t;
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	krb5_error_code code = decode_Ticket(ticket, n, &t, NULL);
	if (code != 0)
		return code;
	struct Principal server = { .name = t.sname, .realm = t.realm };
	seal->kvno = t.enc_part.kvno != NULL ? (uint32_t)*t.enc_part.kvno : 0;
	seal->enctype = t.enc_part.etype;
	code = krb5_copy_principal(k, &server, &seal->server);
	if (code == 0 && krb5_kt_start_seq_get(k, kt, &cursor) == 0) {
		while (!seal->opens && krb5_kt_next_entry(k, kt, &entry, &cursor) == 0) {
			seal->opens = opens(k, &entry.keyblock, &t.enc_part);
			krb5_kt_free_entry(k, &entry);
		}
		krb5_kt_end_seq_get(k, kt, &cursor);
	}
	free_Ticket(&t);
	return code;
}

/* The flags as RFC 4120 numbers their bits, the first being the highest. */
uint32_t nego_heimdal_flags(uint32_t flags)
{
	uint32_t r = 0;
	for (int i = 0; i < 32; i++)
		r |= (flags >> i & 1) << (31 - i);
	return r;
}

/*
 * Heimdal reads beyond the end of an exported name that is cut or whose OID is longer than it, and of a service's host
 * that is empty, also before a colon, as in ::1.
 */
int nego_heimdal_bad_name(const void *text, size_t n, const void *type, size_t type_len)
{
	static gss_OID_desc hostbased = { 10, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" };
	static gss_OID_desc exported = { 6, "\x2b\x06\x01\x05\x06\x04" };
	gss_OID_desc t = { (OM_uint32)type_len, (void *)type };
	const unsigned char *p = text;
	if (same(&t, &hostbased)) {
		const unsigned char *at = memchr(p, '@', n);
		return at != NULL && (at + 1 == p + n || at[1] == ':');
	}
	if (!same(&t, &exported))
		return 0;
	if (n < 6 || p[4] != 6 || p[5] >= 0x80 || ((size_t)p[2] << 8 | p[3]) != (size_t)p[5] + 2)
		return 1;
	return n < 6 + (size_t)p[5] + 4;
}

/*
 * Heimdal displays principals without the quotes of RFC 1964 section 2.1.3: alice/admin may also be one component, and so
 * somebody else. The exported form, which is the header, the length and then the text, has them.
 */
OM_uint32 nego_heimdal_principal_text(OM_uint32 *minor, gss_name_t name, gss_buffer_t text)
{
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 ignored, major = gss_export_name(minor, name, &b);
	if (GSS_ERROR(major))
		return major;
	size_t header = 6 + nego_krb5.length + 4;
	text->length = b.length > header ? b.length - header : 0;
	text->value = b.value;
	if (text->length == 0) {
		gss_release_buffer(&ignored, &b);
		return GSS_S_BAD_NAME;
	}
	memmove(text->value, (char *)b.value + header, text->length);
	return GSS_S_COMPLETE;
}

/*
 * SPNEGO takes only a credential that it has acquired itself, from the environment. The way in is the exported form, in
 * which it takes another's: that of Kerberos is the OID, and behind its length what Kerberos has to say.
 */
static OM_uint32 import_both(OM_uint32 *minor, const void *token, size_t n, gss_cred_id_t *cred)
{
	krb5_data oid = { spnego.length, spnego.elements }, inner = { n, (void *)token }, all;
	krb5_storage *s = krb5_storage_emem();
	*minor = ENOMEM;
	if (s == NULL)
		return GSS_S_FAILURE;
	int failed = krb5_storage_write(s, token, n) != (krb5_ssize_t)n || krb5_store_data(s, oid) != 0 || krb5_store_data(s, inner) != 0 ||
	             krb5_storage_to_data(s, &all) != 0;
	krb5_storage_free(s);
	if (failed)
		return GSS_S_FAILURE;
	gss_buffer_desc b = { all.length, all.data };
	OM_uint32 major = gss_import_cred(minor, &b, cred);
	krb5_data_free(&all);
	return major;
}

/* A credential that says where its tickets are, and not which. Its lifetime is not known to Heimdal. */
static OM_uint32 import_cache(OM_uint32 *minor, const char *name, gss_cred_id_t *cred)
{
	enum { BY_NAME = 1 };
	krb5_data oid = { nego_krb5.length, nego_krb5.elements }, place, token;
	krb5_storage *inner = krb5_storage_emem(), *outer = krb5_storage_emem();
	OM_uint32 major = GSS_S_FAILURE;
	*minor = ENOMEM;
	if (inner != NULL && outer != NULL && krb5_store_uint32(inner, BY_NAME) == 0 && krb5_store_string(inner, name) == 0 &&
	    krb5_storage_to_data(inner, &place) == 0) {
		if (krb5_store_data(outer, oid) == 0 && krb5_store_data(outer, place) == 0 && krb5_storage_to_data(outer, &token) == 0) {
			major = import_both(minor, token.data, token.length, cred);
			krb5_data_free(&token);
		}
		krb5_data_free(&place);
	}
	if (inner != NULL)
		krb5_storage_free(inner);
	if (outer != NULL)
		krb5_storage_free(outer);
	return major;
}

/* Turns a credential of Kerberos into one that SPNEGO takes too, and offers nothing else with. */
static OM_uint32 with_spnego(OM_uint32 *minor, gss_cred_id_t *cred)
{
	gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
	gss_cred_id_t both = GSS_C_NO_CREDENTIAL;
	OM_uint32 ignored, major = gss_export_cred(minor, *cred, &token);
	if (GSS_ERROR(major))
		return major;
	major = import_both(minor, token.value, token.length, &both);
	gss_release_buffer(&ignored, &token);
	if (!GSS_ERROR(major)) {
		gss_release_cred(&ignored, cred);
		*cred = both;
	}
	return major;
}

/* The principal that a name means. */
static OM_uint32 principal_of(nego_result *r, OM_uint32 *minor, krb5_context k, gss_name_t name, krb5_principal *principal)
{
	gss_name_t canonical = GSS_C_NO_NAME;
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	OM_uint32 ignored, major = gss_canonicalize_name(minor, name, &nego_krb5, &canonical);
	if (!GSS_ERROR(major))
		major = nego_principal_text(minor, canonical, &text);
	gss_release_name(&ignored, &canonical);
	if (GSS_ERROR(major))
		return major;
	char *s = strndup(text.value, text.length);
	gss_release_buffer(&ignored, &text);
	krb5_error_code code = s != NULL ? krb5_parse_name(k, s, principal) : ENOMEM;
	free(s);
	return code == 0 ? GSS_S_COMPLETE : krb5_refuses(r, minor, GSS_S_BAD_NAME, k, code);
}

static krb5_error_code first_in_keytab(krb5_context k, krb5_keytab kt, krb5_principal *principal)
{
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	krb5_error_code code = krb5_kt_start_seq_get(k, kt, &cursor);
	if (code != 0)
		return code;
	code = krb5_kt_next_entry(k, kt, &entry, &cursor);
	if (code == 0) {
		code = krb5_copy_principal(k, entry.principal, principal);
		krb5_kt_free_entry(k, &entry);
	}
	krb5_kt_end_seq_get(k, kt, &cursor);
	return code;
}

/* Fills a cache with a ticket that the keytab's key opens: of the principal, or else of the first one there. */
static krb5_error_code fill_cache(krb5_context k, krb5_ccache cc, const char *keytab, krb5_principal principal)
{
	krb5_keytab kt = NULL;
	krb5_creds creds = { 0 };
	krb5_principal first = NULL;
	krb5_get_init_creds_opt *opt = NULL;
	krb5_error_code code = krb5_kt_resolve(k, keytab, &kt);
	if (code == 0 && principal == NULL) {
		code = first_in_keytab(k, kt, &first);
		principal = first;
	}
	if (code == 0)
		code = krb5_get_init_creds_opt_alloc(k, &opt);
	if (code == 0) {
		krb5_get_init_creds_opt_set_default_flags(k, "gss_krb5", krb5_principal_get_realm(k, principal), opt);
		code = krb5_get_init_creds_keytab(k, &creds, principal, kt, 0, NULL, opt);
	}
	if (code == 0)
		code = krb5_cc_initialize(k, cc, creds.client);
	if (code == 0)
		code = krb5_cc_store_cred(k, cc, &creds);
	krb5_free_cred_contents(k, &creds);
	if (opt != NULL)
		krb5_get_init_creds_opt_free(k, opt);
	krb5_free_principal(k, first);
	if (kt != NULL)
		krb5_kt_close(k, kt);
	return code;
}

/* A credential of a cache, which a client keytab may fill; the library's default cache where none is named. */
static OM_uint32 acquire_cache(nego_result *r, OM_uint32 *minor, krb5_context k, gss_name_t name, const char *cache, const char *keytab,
    gss_cred_id_t *cred)
{
	krb5_ccache cc = NULL;
	krb5_principal wanted = NULL, owner = NULL;
	char *full = NULL;
	time_t left = 0;
	OM_uint32 major = GSS_S_COMPLETE;
	*minor = 0;
	if (name != GSS_C_NO_NAME)
		major = principal_of(r, minor, k, name, &wanted);
	if (GSS_ERROR(major))
		return major;
	krb5_error_code code = cache != NULL ? krb5_cc_resolve(k, cache, &cc) : krb5_cc_default(k, &cc);
	if (code == 0) {
		code = krb5_cc_get_principal(k, cc, &owner);
		if (code == 0)
			krb5_cc_get_lifetime(k, cc, &left);
		if (keytab != NULL && (code != 0 || left <= 0)) {
			krb5_free_principal(k, owner);
			owner = NULL;
			code = fill_cache(k, cc, keytab, wanted);
			if (code == 0)
				code = krb5_cc_get_principal(k, cc, &owner);
			left = 1;
		}
	}
	if (code == 0)
		code = krb5_cc_get_full_name(k, cc, &full);
	if (code != 0)
		major = krb5_refuses(r, minor, GSS_S_NO_CRED, k, code);
	else if (wanted != NULL && !krb5_principal_compare(k, wanted, owner))
		major = refuse(r, minor, GSS_S_NO_CRED, "the ticket cache is another principal's");
	else if (left <= 0)
		major = GSS_S_CREDENTIALS_EXPIRED;
	else
		major = import_cache(minor, full, cred);
	krb5_xfree(full);
	krb5_free_principal(k, owner);
	krb5_free_principal(k, wanted);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	return major;
}

static OM_uint32 acquire_password(OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime, const char *password, gss_cred_id_t *cred)
{
	gss_buffer_desc b = { strlen(password), (void *)password };
	OM_uint32 major = gss_acquire_cred_with_password(minor, name, &b, lifetime, &krb5_alone, GSS_C_INITIATE, cred, NULL, NULL);
	return GSS_ERROR(major) ? major : with_spnego(minor, cred);
}

/*
 * Heimdal's acceptor looks into one keytab of the process. A credential keeps the one it was acquired from, so another
 * is put there for the time that takes, while no acceptor's credential is acquired from the default one.
 */
static OM_uint32 acquire_keytab(OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime, gss_OID_set mechs, int usage, const char *keytab,
    gss_cred_id_t *cred, gss_OID_set *got)
{
	static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
	OM_uint32 major = GSS_S_COMPLETE;
	if (keytab == NULL) {
		pthread_rwlock_rdlock(&lock);
		major = gss_acquire_cred(minor, name, lifetime, mechs, usage, cred, got, NULL);
	} else {
		pthread_rwlock_wrlock(&lock);
		*minor = 0;
		if (GSS_ERROR(gsskrb5_register_acceptor_identity(keytab)))
			major = GSS_S_NO_CRED; /* it has read the keytab */
		else
			major = gss_acquire_cred(minor, name, lifetime, mechs, usage, cred, got, NULL);
		gsskrb5_register_acceptor_identity(""); /* the default again; it does not survive NULL */
	}
	pthread_rwlock_unlock(&lock);
	return major;
}

/*
 * The credential for any key of the default keytab, for Kerberos. Each one that is acquired looks for NTLM's servers and
 * loses two kilobytes over it, and contexts without a credential would acquire one each: they share the first.
 */
static gss_cred_id_t any_key;

int nego_heimdal_is_shared(gss_cred_id_t cred) { return cred == __atomic_load_n(&any_key, __ATOMIC_ACQUIRE); }

static OM_uint32 acquire_any_key(OM_uint32 *minor, gss_OID_set mechs, gss_cred_id_t *cred, gss_OID_set *got)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	OM_uint32 ignored, major = GSS_S_COMPLETE;
	pthread_mutex_lock(&lock);
	if (any_key == GSS_C_NO_CREDENTIAL) {
		gss_cred_id_t first = GSS_C_NO_CREDENTIAL;
		int there = 0;
		major = acquire_keytab(minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, mechs, GSS_C_ACCEPT, NULL, &first, got);
		if (!GSS_ERROR(major))
			gss_test_oid_set_member(&ignored, &nego_krb5, *got, &there);
		if (there)
			__atomic_store_n(&any_key, first, __ATOMIC_RELEASE);
		else
			gss_release_cred(&ignored, &first);
		if (!GSS_ERROR(major) && !there)
			major = GSS_S_NO_CRED;
	}
	*cred = any_key;
	pthread_mutex_unlock(&lock);
	return major;
}

typedef struct places {
	const char *ccache, *keytab, *client_keytab, *password;
} places;

static OM_uint32 unpack_places(nego_result *r, OM_uint32 *minor, places *s, const char *p, size_t n)
{
	const struct {
		const char *key, **value;
	} known[] = { { "ccache", &s->ccache }, { "keytab", &s->keytab }, { "client_keytab", &s->client_keytab }, { "password", &s->password } };
	for (const char *end = p + n; p < end;) {
		const char *key = p, *value = p + strlen(p) + 1;
		p = value + strlen(value) + 1;
		size_t i = 0;
		while (i < sizeof known / sizeof *known && strcmp(known[i].key, key) != 0)
			i++;
		if (i == sizeof known / sizeof *known) {
			nego_text(r, key, strlen(key));
			return refuse(r, minor, GSS_S_UNAVAILABLE, "Heimdal has no such key of a credential store");
		}
		if (*known[i].value != NULL)
			return GSS_S_DUPLICATE_ELEMENT;
		*known[i].value = value;
	}
	return GSS_S_COMPLETE;
}

/*
 * Heimdal does not survive a look through all caches where the default one is a directory. As an acceptor its SPNEGO has
 * that look, for tickets of the host's that NTLM would need. An initiator's, for a principal, would also find what other
 * credentials keep in memory: a principal is looked for in one cache.
 */
static int directory_by_default(void)
{
	krb5_context k = NULL;
	if (krb5_init_context(&k) != 0)
		return 0;
	const char *name = krb5_cc_default_name(k);
	int yes = name != NULL && strncmp(name, "DIR:", 4) == 0;
	krb5_free_context(k);
	return yes;
}

OM_uint32 nego_heimdal_acquire(nego_result *r, OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime, gss_OID_set mechs, gss_OID_set neg,
    int usage, const void *store, size_t store_len, gss_cred_id_t *cred, gss_OID_set *got)
{
	places s = { 0 };
	int krb5_wanted = 0, krb5_only = neg != GSS_C_NO_OID_SET && neg->count == 1 && same(&neg->elements[0], &nego_krb5);
	OM_uint32 ignored, major = unpack_places(r, minor, &s, store, store_len);
	*minor = 0;
	if (GSS_ERROR(major))
		return major;
	if (usage != GSS_C_INITIATE && directory_by_default())
		return refuse(r, minor, GSS_S_UNAVAILABLE, "Heimdal does not survive it while the default ticket cache is of type DIR: set KRB5CCNAME to another");
	if (usage != GSS_C_INITIATE) {
		if (s.password != NULL || (usage == GSS_C_BOTH && (s.ccache != NULL || s.client_keytab != NULL || name != GSS_C_NO_NAME)))
			return refuse(r, minor, GSS_S_UNAVAILABLE, "for an acceptor Heimdal takes a keytab alone, and for both the default cache's own principal");
		if (usage == GSS_C_ACCEPT && name == GSS_C_NO_NAME && s.keytab == NULL && krb5_only)
			return acquire_any_key(minor, mechs, cred, got);
		return acquire_keytab(minor, name, lifetime, mechs, usage, s.keytab, cred, got);
	}
	int one_cache = s.ccache != NULL || s.client_keytab != NULL || name != GSS_C_NO_NAME;
	if (!one_cache && s.password == NULL && neg == GSS_C_NO_OID_SET)
		return gss_acquire_cred(minor, name, lifetime, mechs, usage, cred, got, NULL);
	if (neg != GSS_C_NO_OID_SET && !krb5_only)
		return refuse(r, minor, GSS_S_UNAVAILABLE, "Heimdal's SPNEGO is limited to Kerberos or to nothing");
	gss_test_oid_set_member(&ignored, &nego_krb5, mechs != GSS_C_NO_OID_SET ? mechs : &krb5_alone, &krb5_wanted);
	if (!krb5_wanted && !(mechs->count == 1 && same(&mechs->elements[0], &spnego)))
		return GSS_S_BAD_MECH;
	if (s.password != NULL) {
		if (s.ccache != NULL || s.client_keytab != NULL)
			return refuse(r, minor, GSS_S_UNAVAILABLE, "Heimdal keeps the tickets of a password in memory alone");
		if (name == GSS_C_NO_NAME)
			return GSS_S_NO_CRED; /* it does not survive the question whose it is */
		return acquire_password(minor, name, lifetime, s.password, cred);
	}
	if (!one_cache) {
		major = gss_acquire_cred(minor, name, lifetime, &krb5_alone, usage, cred, NULL, NULL);
		return GSS_ERROR(major) ? major : with_spnego(minor, cred);
	}
	krb5_context k = NULL;
	krb5_error_code code = krb5_init_context(&k);
	if (code != 0)
		return krb5_refuses(r, minor, GSS_S_FAILURE, NULL, code);
	major = acquire_cache(r, minor, k, name, s.ccache, s.client_keytab, cred);
	krb5_free_context(k);
	return major;
}

/* The name of the cache that a credential's tickets are in, to be freed; NULL where it has none. */
static char *cache_of(gss_cred_id_t cred)
{
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	OM_uint32 minor;
	char *name = NULL;
	if (!GSS_ERROR(gss_inquire_cred_by_oid(&minor, cred, &copy_ccache, &set)) && set != GSS_C_NO_BUFFER_SET && set->count > 0)
		name = strndup(set->elements[0].value, set->elements[0].length);
	gss_release_buffer_set(&minor, &set);
	return name;
}

/* How long the tickets of an initiator's credential are good, which an imported one does not know. */
OM_uint32 nego_heimdal_lifetime(gss_cred_id_t cred, uint32_t *lifetime)
{
	krb5_context k = NULL;
	krb5_ccache cc = NULL;
	time_t left = 0;
	char *name = *lifetime == GSS_C_INDEFINITE ? cache_of(cred) : NULL;
	if (name != NULL && krb5_init_context(&k) == 0) {
		if (krb5_cc_resolve(k, name, &cc) == 0) {
			krb5_cc_get_lifetime(k, cc, &left);
			krb5_cc_close(k, cc);
		}
		krb5_free_context(k);
		*lifetime = left > 0 ? (uint32_t)left : 0;
	}
	free(name);
	return *lifetime > 0 ? GSS_S_COMPLETE : GSS_S_CREDENTIALS_EXPIRED;
}

/* Copies a credential's tickets into a cache. */
OM_uint32 nego_heimdal_store(nego_result *r, OM_uint32 *minor, gss_cred_id_t cred, const char *cache)
{
	krb5_context k = NULL;
	krb5_ccache cc = NULL;
	krb5_error_code code = krb5_init_context(&k);
	if (code != 0)
		return krb5_refuses(r, minor, GSS_S_FAILURE, NULL, code);
	OM_uint32 major;
	code = krb5_cc_resolve(k, cache, &cc);
	if (code != 0) {
		major = krb5_refuses(r, minor, GSS_S_FAILURE, k, code);
	} else {
		major = gss_krb5_copy_ccache(minor, cred, cc);
		krb5_cc_close(k, cc);
	}
	krb5_free_context(k);
	return major;
}

/* The same into the cache that a credential store names, or the default one. */
OM_uint32 nego_heimdal_store_into(nego_result *r, OM_uint32 *minor, gss_cred_id_t cred, const void *store, size_t n, int overwrite)
{
	places s = { 0 };
	krb5_context k = NULL;
	krb5_ccache cc = NULL;
	krb5_principal owner = NULL;
	OM_uint32 major = unpack_places(r, minor, &s, store, n);
	*minor = 0;
	if (GSS_ERROR(major))
		return major;
	if (s.keytab != NULL || s.client_keytab != NULL || s.password != NULL)
		return refuse(r, minor, GSS_S_UNAVAILABLE, "Heimdal stores tickets in a cache alone");
	krb5_error_code code = krb5_init_context(&k);
	if (code != 0)
		return krb5_refuses(r, minor, GSS_S_FAILURE, NULL, code);
	code = s.ccache != NULL ? krb5_cc_resolve(k, s.ccache, &cc) : krb5_cc_default(k, &cc);
	if (code != 0)
		major = krb5_refuses(r, minor, GSS_S_FAILURE, k, code);
	else if (!overwrite && krb5_cc_get_principal(k, cc, &owner) == 0)
		major = GSS_S_DUPLICATE_ELEMENT;
	else
		major = gss_krb5_copy_ccache(minor, cred, cc);
	krb5_free_principal(k, owner);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	krb5_free_context(k);
	return major;
}

typedef struct first_leg {
	nego_leg leg;
	void *ctx, *cred;
	const void *in;
	size_t in_len;
	const char *cache;
	nego_result r;
} first_leg;

static void *run_first_leg(void *p)
{
	first_leg *l = p;
	OM_uint32 minor, major = gss_krb5_ccache_name(&minor, l->cache, NULL);
	if (GSS_ERROR(major))
		nego_status(&l->r, major, minor, &nego_krb5);
	else
		l->r = l->leg(l->ctx, l->cred, l->in, l->in_len);
	return NULL;
}

/*
 * The first leg of SPNEGO with a credential. Heimdal's SPNEGO offers Kerberos only where the thread's default cache
 * could do it, whatever the credential is. So the leg runs on a thread whose default is the credential's cache, and
 * which ends with it: a default that was set once cannot be taken back.
 */
nego_result nego_heimdal_first_leg(nego_leg leg, gss_OID mech, void *ctx, void *cred, const void *in, size_t in_len)
{
	first_leg l = { .leg = leg, .ctx = ctx, .cred = cred, .in = in, .in_len = in_len };
	char *cache = same(mech, &spnego) ? cache_of(cred) : NULL;
	if (cache == NULL)
		return leg(ctx, cred, in, in_len);
	l.cache = cache;
	pthread_t thread;
	sigset_t all, old;
	sigfillset(&all); /* signals are for the threads that Go knows */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int failed = pthread_create(&thread, NULL, run_first_leg, &l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed) {
		l.r.major = GSS_S_FAILURE;
		nego_krb5_failed(&l.r, NULL, failed);
	} else {
		pthread_join(thread, NULL);
	}
	free(cache);
	return l.r;
}

/* Whether an initiator's failure was that there is no default cache. */
static int no_cache(OM_uint32 minor)
{
	krb5_context k = NULL;
	krb5_ccache cc = NULL;
	krb5_principal principal = NULL;
	if (krb5_init_context(&k) != 0)
		return 0;
	krb5_error_code code = krb5_cc_default(k, &cc);
	if (code == 0) {
		code = krb5_cc_get_principal(k, cc, &principal);
		krb5_free_principal(k, principal);
		krb5_cc_close(k, cc);
	}
	krb5_free_context(k);
	return code != 0 && (OM_uint32)code == minor;
}

static int accepts(gss_cred_id_t cred, gss_buffer_t token, gss_channel_bindings_t bindings)
{
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
	gss_cred_id_t delegated = GSS_C_NO_CREDENTIAL;
	OM_uint32 minor, ignored;
	OM_uint32 major = gss_accept_sec_context(&minor, &ctx, cred, token, bindings, NULL, NULL, &out, NULL, NULL, &delegated);
	gss_release_buffer(&ignored, &out);
	gss_release_cred(&ignored, &delegated);
	if (ctx != GSS_C_NO_CONTEXT)
		gss_delete_sec_context(&ignored, &ctx, GSS_C_NO_BUFFER);
	return !GSS_ERROR(major);
}

/*
 * Reports whether an accepted token has the acceptor's bindings in it. Heimdal also accepts one that has none, and does
 * not say so; but one that has some it accepts with no others. It keeps no replay cache, so it can be asked.
 */
int nego_heimdal_bound(gss_cred_id_t cred, gss_buffer_t token, gss_channel_bindings_t bindings)
{
	char other[] = "others";
	struct gss_channel_bindings_struct others = { .application_data = { sizeof other, other } };
	return token->length > 0 && !accepts(cred, token, &others) && accepts(cred, token, bindings);
}

/*
 * The status of a failed first leg as MIT krb5 would have it. SPNEGO that cannot use Kerberos says that there is no
 * mechanism, and nothing else: Kerberos itself, asked again, says why. And that there is no cache is no failure of any kind.
 */
OM_uint32 nego_heimdal_why(OM_uint32 *minor, OM_uint32 major, gss_OID mech, gss_cred_id_t cred, gss_name_t target)
{
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
	OM_uint32 ignored, second;
	if (major == GSS_S_BAD_MECH && same(mech, &spnego)) {
		OM_uint32 again = gss_init_sec_context(&second, cred, &ctx, target, &nego_krb5, 0, 0, GSS_C_NO_CHANNEL_BINDINGS, GSS_C_NO_BUFFER,
		    NULL, &out, NULL, NULL);
		if (GSS_ERROR(again)) {
			major = again;
			*minor = second;
		} else {
			gss_release_buffer(&ignored, &out);
			gss_delete_sec_context(&ignored, &ctx, GSS_C_NO_BUFFER);
		}
	}
	return major == GSS_S_FAILURE && cred == GSS_C_NO_CREDENTIAL && no_cache(*minor) ? GSS_S_NO_CRED : major;
}
