//go:build cgo && unix && !heimdal

#include <string.h>
#include "shim_krb5.h"

static const char *value(gss_const_key_value_set_t store, const char *key)
{
	for (size_t i = 0; store != GSS_C_NO_CRED_STORE && i < store->count; i++)
		if (strcmp(store->elements[i].key, key) == 0)
			return store->elements[i].value;
	return NULL;
}

static int client_keys(krb5_context k, const char *name)
{
	krb5_keytab kt = NULL;
	int there = (name != NULL ? krb5_kt_resolve(k, name, &kt) : krb5_kt_client_default(k, &kt)) == 0 &&
	    krb5_kt_have_content(k, kt) == 0;
	if (kt != NULL)
		krb5_kt_close(k, kt);
	return there;
}

/* Reports whether there is a cache without a principal before the first one that has one. */
static int damaged(krb5_context k)
{
	krb5_cccol_cursor cursor;
	krb5_ccache cc;
	int failed = 0, found = 0;
	if (krb5_cccol_cursor_new(k, &cursor) != 0)
		return 0;
	while (!found && !failed && krb5_cccol_cursor_next(k, cursor, &cc) == 0 && cc != NULL) {
		krb5_principal user = NULL;
		found = krb5_cc_get_principal(k, cc, &user) == 0;
		failed = !found;
		krb5_free_principal(k, user);
		krb5_cc_close(k, cc);
	}
	krb5_cccol_cursor_free(k, &cursor);
	return failed;
}

/*
 * Around a call that looks for the default credential of an initiator. MIT krb5 does not survive a cache of the collection that cannot
 * be read, but for its default cache where that is named for the thread. The name is that which it has anyway. Nor does it look where a
 * client keytab has keys.
 */
int nego_default_begin(gss_const_key_value_set_t store)
{
	krb5_context k;
	OM_uint32 ignored;
	int named = 0;
	if (value(store, "ccache") != NULL || krb5_init_context(&k) != 0)
		return 0;
	if (damaged(k) && !client_keys(k, value(store, "client_keytab"))) {
		const char *name = krb5_cc_default_name(k);
		named = name != NULL && !GSS_ERROR(gss_krb5_ccache_name(&ignored, name, NULL));
	}
	krb5_free_context(k);
	return named;
}

void nego_default_end(int named)
{
	OM_uint32 ignored;
	if (named)
		gss_krb5_ccache_name(&ignored, NULL, NULL);
}
