#include <stdlib.h>
#include "cfloor.h"

#define PADDING (-1700) /* a type of authorization data that nobody knows */

/*
 * Gets a ticket and stores it. The KDC puts authorization data that a client asks for into the ticket; a cache then notes
 * beside it what was asked for, and has it for those alone who ask for the same. So the ticket is got in another
 * cache, and stored without the note.
 */
static void get_ticket(krb5_context k, krb5_ccache from, krb5_ccache to, krb5_principal client, const char *service, size_t padding,
    cf_error *err)
{
	krb5_authdata pad = { .ad_type = PADDING, .length = padding }, *list[] = { &pad, NULL }, **container = NULL;
	krb5_creds want = { .client = client }, *got = NULL;
	if (padding > 0) {
		pad.contents = calloc(1, padding);
		if (cf_krb5_failed(k, "krb5_encode_authdata_container", krb5_encode_authdata_container(k, KRB5_AUTHDATA_IF_RELEVANT, list, &container), err))
			goto out;
		want.authdata = container;
	}
	if (!cf_krb5_failed(k, "krb5_parse_name", krb5_parse_name(k, service, &want.server), err) &&
	    !cf_krb5_failed(k, service, krb5_get_credentials(k, 0, from, &want, &got), err)) {
		krb5_free_authdata(k, got->authdata);
		got->authdata = NULL;
		cf_krb5_failed(k, "krb5_cc_store_cred", krb5_cc_store_cred(k, to, got), err);
	}
out:
	krb5_free_creds(k, got);
	krb5_free_authdata(k, container);
	krb5_free_principal(k, want.server);
	free(pad.contents);
}

void cf_fill(const char *const *services, int n, size_t padding, cf_error *err)
{
	krb5_context k = NULL;
	krb5_ccache cache = NULL, scratch = NULL;
	krb5_principal client = NULL;
	err->text[0] = 0;
	if (!cf_krb5_failed(k, "krb5_init_context", krb5_init_context(&k), err) &&
	    !cf_krb5_failed(k, "krb5_cc_default", krb5_cc_default(k, &cache), err) &&
	    !cf_krb5_failed(k, "krb5_cc_get_principal", krb5_cc_get_principal(k, cache, &client), err) &&
	    !cf_krb5_failed(k, "krb5_cc_new_unique", krb5_cc_new_unique(k, "MEMORY", NULL, &scratch), err) &&
	    !cf_krb5_failed(k, "krb5_cc_initialize", krb5_cc_initialize(k, scratch, client), err) &&
	    !cf_krb5_failed(k, "krb5_cc_copy_creds", krb5_cc_copy_creds(k, cache, scratch), err)) {
		for (int i = n - 1; i >= 0 && err->text[0] == 0; i--)
			get_ticket(k, scratch, cache, client, services[i], i == 0 ? padding : 0, err);
	}
	krb5_free_principal(k, client);
	if (scratch != NULL)
		krb5_cc_destroy(k, scratch);
	if (cache != NULL)
		krb5_cc_close(k, cache);
	krb5_free_context(k);
}
