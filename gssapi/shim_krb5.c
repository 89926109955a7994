//go:build cgo && unix

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <krb5/krb5.h>
#include <profile.h>
#include "shim.h"

/* Exported by libkrb5 since 1.0, declared in no installed header. */
extern krb5_error_code krb5_get_default_config_files(char ***files);
extern void krb5_free_config_files(char **files);

/* Why something could not be read, in flags. Unlike those of GSS-API, libkrb5's codes are fixed. */
enum { REASON_OTHER, REASON_MISSING, REASON_PERMISSION };

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
	}
	return REASON_OTHER;
}

static void krb5_failed(nego_result *r, krb5_context k, krb5_error_code code)
{
	const char *text = krb5_get_error_message(k, code);
	r->major = GSS_S_FAILURE;
	r->minor = (uint32_t)code;
	r->flags = reason(code);
	nego_text(r, text, strlen(text));
	krb5_free_error_message(k, text);
}

/* A configuration that cannot be read: libkrb5 says so, and neither in which file nor why. */
static krb5_context new_context(nego_result *r)
{
	krb5_context k = NULL;
	krb5_error_code code = krb5_init_context(&k);
	if (code == 0)
		return k;
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
				krb5_failed(r, NULL, (krb5_error_code)bad);
			}
		}
		krb5_free_config_files(files);
	}
	if (r->text == NULL)
		krb5_failed(r, NULL, code);
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

static void put_tickets(krb5_context k, krb5_ccache cc, nego_pack *p)
{
	krb5_cc_cursor cursor;
	krb5_creds cred;
	if (krb5_cc_start_seq_get(k, cc, &cursor) != 0)
		return;
	while (krb5_cc_next_cred(k, cc, &cursor, &cred) == 0) {
		if (!krb5_is_config_principal(k, cred.server)) {
			char enctype[64] = "";
			krb5_enctype_to_name(cred.keyblock.enctype, FALSE, enctype, sizeof enctype);
			put_principal(k, p, cred.client);
			put_principal(k, p, cred.server);
			nego_put(p, enctype, strlen(enctype));
			nego_put_u32(p, (uint32_t)cred.times.authtime);
			nego_put_u32(p, (uint32_t)cred.times.starttime);
			nego_put_u32(p, (uint32_t)cred.times.endtime);
			nego_put_u32(p, (uint32_t)cred.times.renew_till);
			nego_put_u32(p, (uint32_t)cred.ticket_flags);
		}
		krb5_free_cred_contents(k, &cred);
	}
	krb5_cc_end_seq_get(k, cc, &cursor);
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
		krb5_failed(&r, k, code);
	} else {
		put_principal(k, &p, principal);
		put_tickets(k, cc, &p);
	}
	krb5_free_principal(k, principal);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	krb5_free_context(k);
	free(asked);
	nego_out_pack(&r, &p);
	return r;
}

/* Name of the keytab, then principal and version of each key. The name stands there also on failure. */
nego_result nego_krb5_keytab(const void *name, size_t name_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	krb5_keytab kt = NULL;
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	char full[1024] = "", *asked = copy_name(name, name_len);
	krb5_context k = asked == NULL ? NULL : new_context(&r);
	if (k == NULL) {
		free(asked);
		if (r.major == 0)
			r.major = GSS_S_FAILURE;
		return r;
	}
	krb5_error_code code = name_len > 0 ? krb5_kt_resolve(k, asked, &kt) : krb5_kt_default(k, &kt);
	if (code != 0 || krb5_kt_get_name(k, kt, full, sizeof full) != 0)
		snprintf(full, sizeof full, "%s", asked);
	nego_put(&p, full, strlen(full));
	if (code == 0)
		code = krb5_kt_start_seq_get(k, kt, &cursor);
	if (code != 0) {
		krb5_failed(&r, k, code);
	} else {
		while (krb5_kt_next_entry(k, kt, &entry, &cursor) == 0) {
			put_principal(k, &p, entry.principal);
			nego_put_u32(&p, (uint32_t)entry.vno);
			krb5_free_keytab_entry_contents(k, &entry);
		}
		krb5_kt_end_seq_get(k, kt, &cursor);
	}
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
		krb5_failed(r, k, code);
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

/* The principal that the library's default credential has for a service, or for a principal where host is empty. */
nego_result nego_krb5_initiator(const void *service, size_t service_len, const void *host, size_t host_len)
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
	if (code != 0)
		krb5_failed(&r, k, code);
	else
		put_principal(k, &p, principal);
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
