//go:build cgo && unix && !heimdal

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "shim_krb5.h"

enum {
	/* libkrb5 looks for new tickets half a minute before the old ones end. */
	MARGIN_S = 60,
	/* By how much the KDC's clock may differ without a difference to anybody. */
	OFFSET_S = 2,
	GSS_CHECKSUM = 0x8003,   /* the type of what GSSAPI has for a checksum, RFC 4121 section 4.1.1 */
	AUTHENTICATOR_USAGE = 11 /* of a key, RFC 4120 section 7.5.1 */
};

/*
 * One ticket in a cache of its own, and what else a first leg needs. There is no ticket-granting ticket, so that no KDC can be
 * asked. The context keeps krb5.conf in memory, which libkrb5 otherwise parses again for each context. It serves one call
 * at a time.
 */
typedef struct nego_snapshot {
	krb5_context k;
	krb5_ccache cc;
	krb5_creds *ticket;
	gss_cred_id_t cred;
	gss_name_t target;
	time_t until;
} nego_snapshot;

/* The target as a principal whose name is no longer looked up anywhere, and that principal. */
static int name_target(nego_snapshot *s, const void *text, size_t text_len, const void *type, size_t type_len, gss_OID mech,
    krb5_principal *principal)
{
	gss_name_t imported = GSS_C_NO_NAME, canonical = GSS_C_NO_NAME, exported = GSS_C_NO_NAME;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER, token = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = nego_import(&minor, text, text_len, type, type_len, &imported);
	char *unparsed = NULL;
	if (!GSS_ERROR(major))
		major = gss_canonicalize_name(&minor, imported, &nego_krb5, &canonical);
	if (!GSS_ERROR(major))
		major = nego_principal_text(&minor, canonical, &b);
	if (!GSS_ERROR(major))
		major = gss_export_name(&minor, canonical, &token);
	if (!GSS_ERROR(major))
		major = gss_import_name(&minor, &token, GSS_C_NT_EXPORT_NAME, &exported);
	if (!GSS_ERROR(major))
		major = gss_canonicalize_name(&minor, exported, mech, &s->target);
	if (!GSS_ERROR(major) && (unparsed = strndup(b.value, b.length)) != NULL && krb5_parse_name(s->k, unparsed, principal) != 0)
		*principal = NULL;
	free(unparsed);
	gss_release_buffer(&minor, &b);
	gss_release_buffer(&minor, &token);
	gss_release_name(&minor, &imported);
	gss_release_name(&minor, &canonical);
	gss_release_name(&minor, &exported);
	return *principal != NULL;
}

/* Reports whether the library takes another cache than the default one for a service. */
static int selects_other(krb5_context k, krb5_ccache file, krb5_principal server, int hostbased)
{
	krb5_ccache cc = NULL;
	krb5_principal client = NULL;
	krb5_int32 type = server->type;
	if (hostbased)
		server->type = KRB5_NT_SRV_HST;
	krb5_cc_select(k, server, &cc, &client);
	server->type = type;
	int other = cc == NULL ? client != NULL
	                       : strcmp(krb5_cc_get_type(k, cc), krb5_cc_get_type(k, file)) != 0 || strcmp(krb5_cc_get_name(k, cc), krb5_cc_get_name(k, file)) != 0;
	krb5_free_principal(k, client);
	if (cc != NULL)
		krb5_cc_close(k, cc);
	return other;
}

static time_t when(krb5_timestamp t) { return (time_t)(uint32_t)t; }

static void no_later_than(nego_snapshot *s, time_t t)
{
	if (s->until > t - MARGIN_S)
		s->until = t - MARGIN_S;
}

/* Reports whether the cache's tickets are its owner's own, and puts their end, or when libkrb5 wants others, into until. */
static int scan(nego_snapshot *s, krb5_ccache file, krb5_const_principal client)
{
	krb5_cc_cursor cursor;
	krb5_creds cred;
	krb5_principal tgt = NULL;
	const krb5_data *realm = krb5_princ_realm(s->k, client);
	int own = 1;
	if (krb5_build_principal_ext(s->k, &tgt, realm->length, realm->data, KRB5_TGS_NAME_SIZE, KRB5_TGS_NAME, realm->length, realm->data, 0) != 0)
		return 0;
	if (krb5_cc_start_seq_get(s->k, file, &cursor) != 0) {
		krb5_free_principal(s->k, tgt);
		return 0;
	}
	while (krb5_cc_next_cred(s->k, file, &cursor, &cred) == 0) {
		if (krb5_is_config_principal(s->k, cred.server)) {
			const krb5_data *name = krb5_princ_component(s->k, cred.server, 1);
			char number[24] = "";
			if (name != NULL && name->length == 18 && memcmp(name->data, "proxy_impersonator", 18) == 0)
				own = 0;
			if (name != NULL && name->length == 12 && memcmp(name->data, "refresh_time", 12) == 0 && cred.ticket.length < sizeof number) {
				memcpy(number, cred.ticket.data, cred.ticket.length);
				no_later_than(s, (time_t)atol(number));
			}
		} else if (krb5_principal_compare(s->k, cred.server, tgt)) {
			no_later_than(s, when(cred.times.endtime));
		}
		krb5_free_cred_contents(s->k, &cred);
	}
	krb5_cc_end_seq_get(s->k, file, &cursor);
	krb5_free_principal(s->k, tgt);
	return own;
}

/* Puts the ticket that the library would use into the snapshot's own cache, from the default one. */
static int take_ticket(nego_snapshot *s, krb5_principal server, int hostbased, nego_pack *user)
{
	krb5_ccache file = NULL;
	krb5_creds wanted = { .server = server };
	krb5_timestamp offset = 0;
	krb5_int32 micro = 0;
	char *client = NULL;
	int ok = krb5_cc_default(s->k, &file) == 0 && krb5_cc_get_principal(s->k, file, &wanted.client) == 0 &&
	    !krb5_principal_compare_any_realm(s->k, wanted.client, krb5_anonymous_principal()) &&
	    !selects_other(s->k, file, server, hostbased) && scan(s, file, wanted.client) &&
	    krb5_get_credentials(s->k, KRB5_GC_CACHED, file, &wanted, &s->ticket) == 0 &&
	    krb5_get_time_offsets(s->k, &offset, &micro) == 0 && abs(offset) <= OFFSET_S &&
	    krb5_cc_new_unique(s->k, "MEMORY", NULL, &s->cc) == 0 && krb5_cc_initialize(s->k, s->cc, wanted.client) == 0 &&
	    krb5_cc_store_cred(s->k, s->cc, s->ticket) == 0 && krb5_unparse_name(s->k, wanted.client, &client) == 0;
	if (ok) {
		no_later_than(s, when(s->ticket->times.endtime));
		nego_put(user, client, strlen(client));
		nego_put_oid(user, GSS_KRB5_NT_PRINCIPAL_NAME);
		krb5_free_unparsed_name(s->k, client);
		ok = !user->failed;
	}
	krb5_free_principal(s->k, wanted.client);
	if (file != NULL)
		krb5_cc_close(s->k, file);
	return ok;
}

/*
 * The name that is set belongs to this thread, so it is taken back at once. A store with that cache would do for Kerberos, but
 * SPNEGO then offers no other mechanism, which it does with the default credential.
 */
static int acquire(nego_snapshot *s, gss_OID mech)
{
	gss_OID_set_desc mechs = { 1, mech };
	OM_uint32 minor, ignored, major;
	char *name = NULL;
	if (krb5_cc_get_full_name(s->k, s->cc, &name) != 0)
		return 0;
	major = gss_krb5_ccache_name(&minor, name, NULL);
	if (!GSS_ERROR(major))
		major = gss_acquire_cred(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &mechs, GSS_C_INITIATE, &s->cred, NULL, NULL);
	gss_krb5_ccache_name(&ignored, NULL, NULL);
	krb5_free_string(s->k, name);
	return !GSS_ERROR(major);
}

/* Takes the ticket for a target. The user's name, packed, is in out; where there is no box, flags say why. */
nego_result nego_snapshot_new(void *watch, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len)
{
	nego_result r = { .flags = NEGO_SNAPSHOT_NEVER };
	nego_pack user = { 0 };
	krb5_principal server = NULL;
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	int hostbased = type_len == GSS_C_NT_HOSTBASED_SERVICE->length && memcmp(type, GSS_C_NT_HOSTBASED_SERVICE->elements, type_len) == 0;
	nego_snapshot *s = calloc(1, sizeof *s);
	if (s == NULL)
		return r;
	nego_born();
	s->until = time(NULL) + 3600; /* nothing is kept for so long */
	int ok = krb5_init_context(&s->k) == 0 && !nego_watch_names_other_cache(watch, s->k) &&
	    name_target(s, text, text_len, type, type_len, &m, &server) && take_ticket(s, server, hostbased, &user) &&
	    acquire(s, &m) && s->until > time(NULL);
	krb5_free_principal(s->k, server);
	if (nego_watch_changed(watch) || s->k == NULL || nego_watch_names_other_cache(watch, s->k)) {
		r.flags = NEGO_SNAPSHOT_LATER; /* what was read may be of both states */
		ok = 0;
	}
	if (ok) {
		nego_out_pack(&r, &user);
		r.box = s;
	} else {
		free(user.p);
		nego_snapshot_free(s);
	}
	return r;
}

/* Reports whether the default credential may be another than the one that the snapshot was taken of. */
int nego_snapshot_changed(void *watch, void *snapshot)
{
	nego_snapshot *s = snapshot;
	return nego_watch_names_other_cache(watch, s->k) || nego_watch_changed(watch);
}

/* A new context and its first leg, as nego_ctx_begin. Where something has changed, flags say so, and there is neither. */
nego_result nego_snapshot_step(void *watch, void *snapshot, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime)
{
	nego_result r = { 0 };
	nego_snapshot *s = snapshot;
	if (nego_snapshot_changed(watch, s)) {
		r.flags = NEGO_SNAPSHOT_LATER;
		return r;
	}
	if (time(NULL) >= s->until)
		return r;
	return nego_ctx_begin(s->cred, s->target, text, text_len, type, type_len, mech, mech_len, bindings, bindings_len, flags, lifetime);
}

/*
 * What Kerberos's first token has inside (RFC 4121 section 4.1), with that checksum in its authenticator, made by the function that
 * gss_init_sec_context makes it with. There is no context. Where something has changed, flags say so, and there is no token.
 */
nego_result nego_snapshot_request(void *watch, void *snapshot, const void *checksum, size_t checksum_len)
{
	nego_result r = { 0 };
	nego_snapshot *s = snapshot;
	krb5_auth_context auth = NULL;
	krb5_data sum = { .data = (char *)checksum, .length = (unsigned)checksum_len }, request = { 0 };
	krb5_timestamp now;
	if (nego_snapshot_changed(watch, s)) {
		r.flags = NEGO_SNAPSHOT_LATER;
		return r;
	}
	if (time(NULL) < s->until && krb5_timeofday(s->k, &now) == 0 && krb5_auth_con_init(s->k, &auth) == 0 &&
	    krb5_auth_con_setflags(s->k, auth, KRB5_AUTH_CONTEXT_DO_SEQUENCE) == 0 &&
	    krb5_auth_con_set_req_cksumtype(s->k, auth, GSS_CHECKSUM) == 0 &&
	    krb5_mk_req_extended(s->k, &auth, AP_OPTS_USE_SUBKEY, &sum, s->ticket, &request) == 0) {
		r.out = request.data;
		r.out_len = request.length;
		r.lifetime = (uint32_t)s->ticket->times.endtime - (uint32_t)now;
		nego_born();
	}
	if (auth != NULL)
		krb5_auth_con_free(s->k, auth);
	return r;
}

/* Decrypts an authenticator for the snapshot's ticket into plain, of the same size, and returns its length, or -1. */
int64_t nego_snapshot_open(void *snapshot, const void *cipher, size_t len, void *plain)
{
	nego_snapshot *s = snapshot;
	krb5_enc_data in = { .enctype = s->ticket->keyblock.enctype, .ciphertext = { .data = (char *)cipher, .length = (unsigned)len } };
	krb5_data out = { .data = plain, .length = (unsigned)len };
	return krb5_c_decrypt(s->k, &s->ticket->keyblock, AUTHENTICATOR_USAGE, NULL, &in, &out) == 0 ? (int64_t)out.length : -1;
}

/* While krb5.conf cannot be read, MIT krb5 frees neither a credential nor a name: what they hold is lost. */
nego_result nego_snapshot_free(void *snapshot)
{
	nego_result r = { 0 };
	nego_snapshot *s = snapshot;
	OM_uint32 ignored;
	gss_release_cred(&ignored, &s->cred);
	gss_release_name(&ignored, &s->target);
	if (s->cc != NULL)
		krb5_cc_destroy(s->k, s->cc);
	krb5_free_creds(s->k, s->ticket);
	krb5_free_context(s->k);
	free(s);
	nego_died();
	return r;
}
