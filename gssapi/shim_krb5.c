//go:build cgo && unix

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "shim_krb5.h"

#ifndef NEGO_HEIMDAL
/* Exported by libkrb5 since 1.0, declared in no installed header. */
extern krb5_error_code krb5_get_default_config_files(char ***files);
extern void krb5_free_config_files(char **files);
#endif

/* Why something could not be read, in flags. Unlike those of GSS-API, libkrb5's codes are fixed. */
enum { REASON_OTHER, REASON_MISSING, REASON_PERMISSION, REASON_DAMAGED };

static uint32_t reason(krb5_error_code code)
{
	switch (code) {
	case ENOENT:
	case KRB5_FCC_NOFILE:
	case KRB5_CC_NOTFOUND:
	case KRB5_KT_NOTFOUND:
		return REASON_MISSING;
	case EACCES:
	case EPERM:
	case KRB5_FCC_PERM:
		return REASON_PERMISSION;
	case KRB5_CC_FORMAT:
	case KRB5_CC_END:
	case KRB5_CCACHE_BADVNO:
		return REASON_DAMAGED;
	}
	return REASON_OTHER;
}

void nego_krb5_failed(nego_result *r, krb5_context k, krb5_error_code code)
{
	const char *text = krb5_get_error_message(k, code);
	r->major = GSS_S_FAILURE;
	r->minor = (uint32_t)code;
	r->flags = reason(code);
	nego_text(r, text, strlen(text));
	krb5_free_error_message(k, text);
}

/*
 * A configuration that cannot be read: MIT krb5 says so, and neither in which file nor why. Heimdal goes on without
 * the file.
 */
static krb5_context new_context(nego_result *r)
{
	krb5_context k = NULL;
	krb5_error_code code = krb5_init_context(&k);
	if (code == 0)
		return k;
#ifndef NEGO_HEIMDAL
	char **files = NULL;
	if (krb5_get_default_config_files(&files) == 0) {
		for (char **f = files; *f != NULL; f++) {
			const_profile_filespec_t one[] = { *f, NULL };
			profile_t p = NULL;
			long bad = profile_init(one, &p);
			if (bad == 0) {
				profile_release(p);
			} else if (bad != ENOENT) {
				nego_text(r, *f, strlen(*f));
				nego_krb5_failed(r, NULL, (krb5_error_code)bad);
			}
		}
		krb5_free_config_files(files);
	}
#endif
	if (r->text == NULL)
		nego_krb5_failed(r, NULL, code);
	return NULL;
}

static char *copy_name(const void *name, size_t n)
{
	char *s = malloc(n + 1);
	if (s != NULL) {
		memcpy(s, name, n);
		s[n] = '\0';
	}
	return s;
}

static void put_principal(krb5_context k, nego_pack *p, krb5_const_principal principal)
{
	char *s = NULL;
	if (principal == NULL || krb5_unparse_name(k, principal, &s) != 0) {
		nego_put(p, "", 0);
		return;
	}
	nego_put(p, s, strlen(s));
	krb5_free_unparsed_name(k, s);
}

/* Reports whether the type has a name. */
static int enctype_name(krb5_context k, krb5_enctype enctype, char *name, size_t n)
{
#ifdef NEGO_HEIMDAL
	char *s = NULL;
	int known = krb5_enctype_to_string(k, enctype, &s) == 0 && s != NULL;
	snprintf(name, n, "%s", known ? s : "");
	krb5_xfree(s);
	return known;
#else
	(void)k;
	return krb5_enctype_to_name(enctype, FALSE, name, n) == 0;
#endif
}

static void put_enctype(krb5_context k, nego_pack *p, krb5_enctype enctype)
{
	char s[64];
	if (!enctype_name(k, enctype, s, sizeof s))
		snprintf(s, sizeof s, "%d", (int)enctype);
	nego_put_u32(p, (uint32_t)enctype);
	nego_put(p, s, strlen(s));
}

/* A cache that ends in the midst of a ticket has an end all the same. */
static krb5_error_code put_tickets(krb5_context k, krb5_ccache cc, nego_pack *p)
{
	krb5_cc_cursor cursor;
	krb5_creds cred;
	krb5_error_code code = krb5_cc_start_seq_get(k, cc, &cursor);
	if (code != 0)
		return code;
	while ((code = krb5_cc_next_cred(k, cc, &cursor, &cred)) == 0) {
		if (!krb5_is_config_principal(k, cred.server)) {
			char enctype[64] = "";
			enctype_name(k, SESSION_ENCTYPE(&cred), enctype, sizeof enctype);
			put_principal(k, p, cred.client);
			put_principal(k, p, cred.server);
			nego_put(p, enctype, strlen(enctype));
			nego_put_u32(p, (uint32_t)cred.times.authtime);
			nego_put_u32(p, (uint32_t)cred.times.starttime);
			nego_put_u32(p, (uint32_t)cred.times.endtime);
			nego_put_u32(p, (uint32_t)cred.times.renew_till);
			nego_put_u32(p, (uint32_t)TICKET_FLAGS(&cred));
		}
		krb5_free_cred_contents(k, &cred);
	}
	krb5_cc_end_seq_get(k, cc, &cursor);
	return code == KRB5_CC_END ? 0 : code;
}

/* Name of the cache, its principal, then the tickets. The name stands there also on failure. */
nego_result nego_krb5_cache(const void *name, size_t name_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	krb5_ccache cc = NULL;
	krb5_principal principal = NULL;
	char *full = NULL, *asked = copy_name(name, name_len);
	krb5_context k = asked == NULL ? NULL : new_context(&r);
	if (k == NULL) {
		free(asked);
		if (r.major == 0)
			r.major = GSS_S_FAILURE;
		return r;
	}
	krb5_error_code code = name_len > 0 ? krb5_cc_resolve(k, asked, &cc) : krb5_cc_default(k, &cc);
	if (code == 0 && krb5_cc_get_full_name(k, cc, &full) == 0) {
		nego_put(&p, full, strlen(full));
		krb5_free_string(k, full);
	} else {
		const char *s = name_len > 0 ? asked : krb5_cc_default_name(k);
		nego_put(&p, s, s != NULL ? strlen(s) : 0);
	}
	if (code == 0)
		code = krb5_cc_get_principal(k, cc, &principal);
	if (code != 0) {
		nego_krb5_failed(&r, k, code);
	} else {
		put_principal(k, &p, principal);
		code = put_tickets(k, cc, &p);
		if (code != 0) {
			nego_krb5_failed(&r, k, code);
			r.flags = REASON_DAMAGED;
		}
	}
	krb5_free_principal(k, principal);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	krb5_free_context(k);
	free(asked);
	nego_out_pack(&r, &p);
	return r;
}

/*
 * What an acceptor's name admits of a keytab: an empty host or realm is any (krb5_sname_match). What the library takes
 * the name for is its own answer, but for a service without host, which it completes with this machine's.
 */
static int acceptor_principal(nego_result *r, krb5_context k, const void *text, size_t text_len, const void *type, size_t type_len,
    krb5_principal *principal)
{
	gss_name_t imported = GSS_C_NO_NAME, name = GSS_C_NO_NAME;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored, major;
	krb5_error_code code;
	int service = type_len == GSS_C_NT_HOSTBASED_SERVICE->length && memcmp(type, GSS_C_NT_HOSTBASED_SERVICE->elements, type_len) == 0;
	char *s = NULL;
	if (service && memchr(text, '@', text_len) == NULL) {
		s = copy_name(text, text_len);
		code = s == NULL ? ENOMEM : krb5_build_principal(k, principal, 0, "", s, "", NULL);
	} else {
		major = nego_import(&minor, text, text_len, type, type_len, &imported);
		if (!GSS_ERROR(major))
			major = gss_canonicalize_name(&minor, imported, &nego_krb5, &name);
		if (!GSS_ERROR(major))
			major = nego_principal_text(&minor, name, &b);
		nego_status(r, major, minor, &nego_krb5);
		gss_release_name(&ignored, &imported);
		gss_release_name(&ignored, &name);
		if (GSS_ERROR(major))
			return 0;
		s = copy_name(b.value, b.length);
		gss_release_buffer(&ignored, &b);
		code = s == NULL ? ENOMEM : krb5_parse_name(k, s, principal);
	}
	free(s);
	if (code != 0) {
		nego_krb5_failed(r, k, code);
		return 0;
	}
	if (service)
		SET_TYPE(*principal, KRB5_NT_SRV_HST);
	return 1;
}

static krb5_error_code keytab_name(krb5_context k, krb5_keytab kt, char *name, unsigned int n)
{
#ifdef NEGO_HEIMDAL /* whose krb5_kt_get_name leaves out the type */
	char *full = NULL;
	krb5_error_code code = krb5_kt_get_full_name(k, kt, &full);
	if (code == 0)
		snprintf(name, n, "%s", full);
	krb5_xfree(full);
	return code;
#else
	return krb5_kt_get_name(k, kt, name, n);
#endif
}

/*
 * Name of the keytab, then principal, version and encryption type of each key that an acceptor's name admits; without
 * a name of all. The keytab's name stands there also on failure.
 */
nego_result nego_krb5_keytab(const void *name, size_t name_len, const void *text, size_t text_len, const void *type, size_t type_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	krb5_keytab kt = NULL;
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	krb5_principal matching = NULL;
	char full[1024] = "", *asked = copy_name(name, name_len);
	krb5_context k = asked == NULL ? NULL : new_context(&r);
	if (k == NULL) {
		free(asked);
		if (r.major == 0)
			r.major = GSS_S_FAILURE;
		return r;
	}
	krb5_error_code code = name_len > 0 ? krb5_kt_resolve(k, asked, &kt) : krb5_kt_default(k, &kt);
	if (code != 0 || keytab_name(k, kt, full, sizeof full) != 0)
		snprintf(full, sizeof full, "%s", asked);
	nego_put(&p, full, strlen(full));
	if (text_len + type_len > 0 && !acceptor_principal(&r, k, text, text_len, type, type_len, &matching))
		goto out;
	if (code == 0)
		code = krb5_kt_start_seq_get(k, kt, &cursor);
	if (code != 0) {
		nego_krb5_failed(&r, k, code);
	} else {
		while (krb5_kt_next_entry(k, kt, &entry, &cursor) == 0) {
			if (krb5_sname_match(k, matching, entry.principal)) {
				put_principal(k, &p, entry.principal);
				nego_put_u32(&p, (uint32_t)entry.vno);
				put_enctype(k, &p, KEY_ENCTYPE(&entry));
			}
			krb5_free_keytab_entry_contents(k, &entry);
		}
		krb5_kt_end_seq_get(k, kt, &cursor);
	}
out:
	krb5_free_principal(k, matching);
	if (kt != NULL)
		krb5_kt_close(k, kt);
	krb5_free_context(k);
	free(asked);
	nego_out_pack(&r, &p);
	return r;
}

#ifdef NEGO_HEIMDAL
#define read_seal nego_heimdal_seal
#else
static krb5_error_code read_seal(krb5_context k, krb5_keytab kt, const void *ticket, size_t n, ticket_seal *seal)
{
	krb5_data der = { 0, (unsigned int)n, (char *)ticket };
	krb5_ticket *t = NULL;
	krb5_error_code code = krb5_decode_ticket(&der, &t);
	if (code != 0)
		return code;
	seal->kvno = (uint32_t)t->enc_part.kvno;
	seal->enctype = t->enc_part.enctype;
	seal->opens = krb5_server_decrypt_ticket_keytab(k, kt, t) == 0;
	code = krb5_copy_principal(k, t->server, &seal->server);
	krb5_free_ticket(k, t);
	return code;
}
#endif

/*
 * Whose key a ticket is sealed with, its version and encryption type, and in flags whether the keytab has that key. What
 * is inside is looked at by nobody.
 */
nego_result nego_krb5_ticket(const void *name, size_t name_len, const void *ticket, size_t ticket_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	krb5_keytab kt = NULL;
	ticket_seal seal = { 0 };
	char *asked = copy_name(name, name_len);
	krb5_context k = asked == NULL ? NULL : new_context(&r);
	if (k == NULL) {
		free(asked);
		if (r.major == 0)
			r.major = GSS_S_FAILURE;
		return r;
	}
	krb5_error_code code = name_len > 0 ? krb5_kt_resolve(k, asked, &kt) : krb5_kt_default(k, &kt);
	if (code == 0)
		code = read_seal(k, kt, ticket, ticket_len, &seal);
	if (code != 0) {
		nego_krb5_failed(&r, k, code);
	} else {
		put_principal(k, &p, seal.server);
		nego_put_u32(&p, seal.kvno);
		put_enctype(k, &p, seal.enctype);
		r.flags = seal.opens;
	}
	krb5_free_principal(k, seal.server);
	if (kt != NULL)
		krb5_kt_close(k, kt);
	krb5_free_context(k);
	free(asked);
	nego_out_pack(&r, &p);
	return r;
}

/* Makes an empty cache in memory and its name, to be ended by nego_krb5_destroy_cache. */
int nego_krb5_memory_cache(nego_result *r, char **name)
{
	krb5_ccache cc = NULL;
	char *full = NULL;
	krb5_context k = new_context(r);
	if (k == NULL)
		return 0;
	krb5_error_code code = krb5_cc_new_unique(k, "MEMORY", NULL, &cc);
	if (code == 0)
		code = krb5_cc_get_full_name(k, cc, &full);
	if (code == 0) {
		*name = copy_name(full, strlen(full));
		krb5_free_string(k, full);
		if (*name == NULL)
			code = ENOMEM;
	}
	if (code != 0) {
		nego_krb5_failed(r, k, code);
		if (cc != NULL)
			krb5_cc_destroy(k, cc);
	} else {
		krb5_cc_close(k, cc);
	}
	krb5_free_context(k);
	return code == 0;
}

void nego_krb5_destroy_cache(char *name)
{
	krb5_context k = NULL;
	krb5_ccache cc = NULL;
	if (krb5_init_context(&k) == 0) {
		if (krb5_cc_resolve(k, name, &cc) == 0)
			krb5_cc_destroy(k, cc);
		krb5_free_context(k);
	}
	free(name);
}

#ifndef NEGO_HEIMDAL
/* The cache that krb5.conf, .k5identity or a plug-in select for a service, where they do. */
static krb5_ccache select_cache(krb5_context k, const char *service, const char *host, krb5_principal *principal)
{
	krb5_principal server = NULL;
	krb5_ccache cc = NULL;
	/* A name of unknown type is not made canonical, so that nobody asks DNS. */
	krb5_error_code code = host[0] != '\0' ? krb5_sname_to_principal(k, host, service, KRB5_NT_UNKNOWN, &server)
	                                       : krb5_parse_name(k, service, &server);
	if (code != 0)
		return NULL;
	if (host[0] != '\0')
		server->type = KRB5_NT_SRV_HST; /* which the rules of .k5identity ask for */
	if (krb5_cc_select(k, server, &cc, principal) != 0) {
		krb5_free_principal(k, *principal);
		*principal = NULL;
		cc = NULL;
	}
	krb5_free_principal(k, server);
	return cc;
}
#endif

/* Whose ticket that is, of those in a cache; NULL where it is not there. */
static krb5_principal owner(krb5_context k, krb5_ccache cc, const void *ticket, size_t n)
{
	krb5_cc_cursor cursor;
	krb5_creds cred;
	krb5_principal client = NULL;
	if (krb5_cc_start_seq_get(k, cc, &cursor) != 0)
		return NULL;
	while (client == NULL && krb5_cc_next_cred(k, cc, &cursor, &cred) == 0) {
		if (cred.ticket.length == n && memcmp(cred.ticket.data, ticket, n) == 0 && krb5_copy_principal(k, cred.client, &client) != 0)
			client = NULL;
		krb5_free_cred_contents(k, &cred);
	}
	krb5_cc_end_seq_get(k, cc, &cursor);
	return client;
}

/*
 * The principal that the library's default credential has for a service, or for a principal where host is empty, and its type. With
 * a ticket it is whose that is, and nothing where the cache does not have it.
 */
nego_result nego_krb5_initiator(const void *service, size_t service_len, const void *host, size_t host_len, const void *ticket,
    size_t ticket_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	krb5_ccache cc = NULL;
	krb5_principal principal = NULL;
	krb5_error_code code = 0;
	char *s = copy_name(service, service_len), *h = copy_name(host, host_len);
	krb5_context k = s == NULL || h == NULL ? NULL : new_context(&r);
	if (k == NULL) {
		if (r.major == 0)
			r.major = GSS_S_FAILURE;
		goto out;
	}
#ifndef NEGO_HEIMDAL
	if (service_len > 0)
		cc = select_cache(k, s, h, &principal);
#endif
	if (principal == NULL) {
		code = krb5_cc_default(k, &cc);
		if (code == 0)
			code = krb5_cc_get_principal(k, cc, &principal);
	}
	if (code == 0 && ticket_len > 0) {
		krb5_free_principal(k, principal);
		principal = cc == NULL ? NULL : owner(k, cc, ticket, ticket_len);
	}
	if (code != 0) {
		nego_krb5_failed(&r, k, code);
	} else if (principal != NULL) {
		put_principal(k, &p, principal);
		nego_put_oid(&p, GSS_KRB5_NT_PRINCIPAL_NAME);
	}
	krb5_free_principal(k, principal);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	krb5_free_context(k);
	nego_out_pack(&r, &p);
out:
	free(s);
	free(h);
	return r;
}
