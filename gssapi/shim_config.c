//go:build cgo && unix

#include <string.h>
#include "shim_krb5.h"

#ifndef NEGO_HEIMDAL
/* Exported by libkrb5 since 1.0, declared in no installed header. */
extern krb5_error_code krb5_get_default_config_files(char ***files);
extern void krb5_free_config_files(char **files);
#endif

static void put_list(nego_pack *p, char **list)
{
	uint32_t n = 0;
	while (list != NULL && list[n] != NULL)
		n++;
	nego_put_u32(p, n);
	for (uint32_t i = 0; i < n; i++)
		nego_put(p, list[i], strlen(list[i]));
}

#ifdef NEGO_HEIMDAL
static void put_settings(nego_pack *p, krb5_context k)
{
	const char *canonicalize = krb5_config_get_string_default(k, NULL, "true", "libdefaults", "dns_canonicalize_hostname", NULL);
	krb5_boolean lookup = krb5_config_get_bool_default(k, NULL, TRUE, "libdefaults", "srv_lookup", NULL);
	nego_put(p, canonicalize, strlen(canonicalize));
	nego_put_u32(p, 0); /* it has no rdns, and does not ask for an address's name */
	nego_put_u32(p, krb5_config_get_bool_default(k, NULL, lookup, "libdefaults", "dns_lookup_kdc", NULL) != 0);
	for (const krb5_config_binding *b = krb5_config_get_list(k, NULL, "realms", NULL); b != NULL; b = b->next) {
		if (b->type != krb5_config_list)
			continue;
		char **kdcs = krb5_config_get_strings(k, NULL, "realms", b->name, "kdc", NULL);
		nego_put(p, b->name, strlen(b->name));
		put_list(p, kdcs);
		krb5_config_free_strings(kdcs);
	}
}
#else
static void put_libdefault(nego_pack *p, profile_t profile, const char *name, const char *unset)
{
	char *s = NULL;
	if (profile_get_string(profile, "libdefaults", name, NULL, unset, &s) != 0 || s == NULL) {
		nego_put(p, unset, strlen(unset));
		return;
	}
	nego_put(p, s, strlen(s));
	profile_release_string(s);
}

static uint32_t libdefault(profile_t profile, const char *name)
{
	int on = 1;
	profile_get_boolean(profile, "libdefaults", name, NULL, 1, &on); /* leaves it where the value is none */
	return on != 0;
}

static void put_realms(nego_pack *p, profile_t profile)
{
	const char *section[] = { "realms", NULL };
	char **names = NULL;
	if (profile_get_subsection_names(profile, section, &names) != 0)
		return;
	for (char **name = names; *name != NULL; name++) {
		const char *kdc[] = { "realms", *name, "kdc", NULL };
		char **kdcs = NULL;
		if (profile_get_values(profile, kdc, &kdcs) != 0)
			kdcs = NULL;
		nego_put(p, *name, strlen(*name));
		put_list(p, kdcs);
		profile_free_list(kdcs);
	}
	profile_free_list(names);
}

static void put_settings(nego_pack *p, profile_t profile)
{
	put_libdefault(p, profile, "dns_canonicalize_hostname", "true");
	nego_put_u32(p, libdefault(profile, "rdns"));
	nego_put_u32(p, libdefault(profile, "dns_lookup_kdc"));
	put_realms(p, profile);
}
#endif

/* The files, which stand there also on failure; then the default realm, settings, and each realm with its KDCs. */
nego_result nego_krb5_config(void)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	char **files = NULL, *realm = NULL;
	krb5_context k = NULL;
	if (krb5_get_default_config_files(&files) != 0)
		files = NULL;
	put_list(&p, files);
	if (files != NULL)
		krb5_free_config_files(files);
	krb5_error_code code = krb5_init_context(&k);
#ifndef NEGO_HEIMDAL
	profile_t profile = NULL;
	if (code == 0)
		code = krb5_get_profile(k, &profile);
#endif
	if (code != 0) {
		const char *text = krb5_get_error_message(k, code);
		r.major = GSS_S_FAILURE;
		r.minor = (uint32_t)code;
		nego_text(&r, text, strlen(text));
		krb5_free_error_message(k, text);
	} else {
		if (krb5_get_default_realm(k, &realm) != 0)
			realm = NULL; /* none is no failure */
		nego_put(&p, realm != NULL ? realm : "", realm != NULL ? strlen(realm) : 0);
		krb5_free_default_realm(k, realm);
#ifdef NEGO_HEIMDAL
		put_settings(&p, k);
#else
		put_settings(&p, profile);
		profile_release(profile);
#endif
	}
	krb5_free_context(k);
	nego_out_pack(&r, &p);
	return r;
}
