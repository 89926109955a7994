/*
 * The seam between Go and the system's GSSAPI library.
 *
 * Every function takes plain values and (pointer, length) inputs, which it does not keep, and
 * returns one nego_result by value. Status text is kept by the library per OS thread, so it is
 * collected here, before any other GSS call and in the same crossing: a goroutine may go on
 * another thread afterwards.
 *
 * Heimdal: the #ifdef is NEGO_HEIMDAL. What needs more than a few lines stands in shim_heimdal.c and
 * is called from the place of MIT krb5's call. What Heimdal does not have is GSS_S_UNAVAILABLE, and
 * what it does not survive is refused before it is called.
 */
#ifndef NEGO_SHIM_H
#define NEGO_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <gssapi/gssapi.h>

/* By include guard: the presence of a header says nothing where both libraries are installed. */
#if defined(GSSAPI_GSSAPI_H_)
#define NEGO_HEIMDAL 1
#else
#include <gssapi/gssapi_ext.h>
#endif
#include <gssapi/gssapi_krb5.h>

/* What the library has, for Feature; MIT's header knows of bindings that match since 1.19. */
enum {
#ifdef NEGO_HEIMDAL
	NEGO_HAS_STORE = 0,
	NEGO_HAS_STORE_INTO = 1,
	NEGO_HAS_IMPERSONATE = 0,
	NEGO_HAS_ATTRIBUTES = 0,
	NEGO_HAS_IOV = 0,
	NEGO_HAS_MIC_IOV = 0,
	NEGO_HAS_AEAD = 0,
	NEGO_HAS_PROCESS = 0,
#else
	NEGO_HAS_STORE = 1,
	NEGO_HAS_STORE_INTO = 1,
	NEGO_HAS_IMPERSONATE = 1,
	NEGO_HAS_ATTRIBUTES = 1,
	NEGO_HAS_IOV = 1,
	NEGO_HAS_MIC_IOV = 1,
	NEGO_HAS_AEAD = 1,
	NEGO_HAS_PROCESS = 1,
#endif
#if defined(NEGO_HEIMDAL) || defined(GSS_C_CHANNEL_BOUND_FLAG)
	NEGO_HAS_CHANNEL_BOUND = 1,
#else
	NEGO_HAS_CHANNEL_BOUND = 0,
#endif
	NEGO_HAS_PRF = 1,
	NEGO_HAS_LUCID = 1
};

typedef struct nego_result {
	uint32_t major, minor;
	uint32_t flags;    /* context flags; credential usage; what the function says */
	uint32_t lifetime; /* seconds, GSS_C_INDEFINITE for ever */
	int gss_out;       /* out belongs to the GSS library and not to malloc */
	void *out;         /* a token, a message or packed records */
	size_t out_len;
	char *text;        /* status text, where major is an error */
	size_t text_len;
	const void *mech;  /* in the library's static memory */
	size_t mech_len;
	void *box;         /* a new credential or context, the caller's to free */
} nego_result;

/* Records for Go: numbers as 32 bits and strings behind their length, in the machine's order. */
typedef struct nego_pack {
	char *p;
	size_t n, cap;
	int failed;
} nego_pack;

/* shim_status.c */
void nego_status(nego_result *r, OM_uint32 major, OM_uint32 minor, gss_OID mech);
void nego_status_general(nego_result *r, OM_uint32 major, OM_uint32 minor);
void nego_text(nego_result *r, const char *p, size_t n);
void nego_out_gss(nego_result *r, gss_buffer_t b);
void nego_out_pack(nego_result *r, nego_pack *p);
void nego_put_u32(nego_pack *p, uint32_t v);
void nego_put(nego_pack *p, const void *s, size_t n);
void nego_put_oid(nego_pack *p, gss_OID oid);
void nego_release(void *out, size_t out_len, int gss_out, void *text);
void nego_born(void);
void nego_died(void);
int64_t nego_live(void);

/* shim_name.c */
extern gss_OID_desc nego_krb5; /* the mechanism */
OM_uint32 nego_import(OM_uint32 *minor, const void *text, size_t text_len, const void *type, size_t type_len, gss_name_t *out);
OM_uint32 nego_canonicalize(OM_uint32 *minor, gss_name_t name, gss_OID mech, gss_name_t *out);
OM_uint32 nego_principal_text(OM_uint32 *minor, gss_name_t name, gss_buffer_t text);
OM_uint32 nego_put_name(OM_uint32 *minor, nego_pack *p, gss_name_t name);
nego_result nego_name_equal(const void *a, size_t a_len, const void *at, size_t at_len, const void *b, size_t b_len, const void *bt, size_t bt_len);
nego_result nego_name_canonical(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);
nego_result nego_name_export(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);
nego_result nego_name_local(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);

/* shim_account.c: what else a name is good for */
nego_result nego_name_display(const void *text, size_t text_len, const void *type, size_t type_len, const void *as, size_t as_len);
nego_result nego_name_mechs(const void *text, size_t text_len, const void *type, size_t type_len);
nego_result nego_name_may_log_in(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len,
    const void *user, size_t user_len);
nego_result nego_name_uid(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);

/* shim_attributes.c */
OM_uint32 nego_put_attributes(OM_uint32 *minor, nego_pack *p, gss_name_t name, const void *names, size_t names_len);
nego_result nego_name_attributes(const void *text, size_t text_len, const void *type, size_t type_len, const void *names, size_t names_len);
nego_result nego_name_set(const void *text, size_t text_len, const void *type, size_t type_len, const void *attribute,
    const void *values, size_t values_len, int complete);
nego_result nego_ctx_composite(void *ctx);

/* shim_mechanism.c */
nego_result nego_mechs(void);
nego_result nego_mech_by_sasl_name(const void *name, size_t name_len);

/* shim_mechinfo.c: what mechanisms are like */
nego_result nego_mech_info(const void *mech, size_t mech_len);
nego_result nego_mechs_by_attrs(const void *desired, size_t desired_len, const void *except, size_t except_len,
    const void *critical, size_t critical_len);
nego_result nego_mech_attr(const void *attr, size_t attr_len);

/* shim_credential.c */
nego_result nego_acquire(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mechs, size_t mechs_len, const void *neg, size_t neg_len, const void *store, size_t store_len,
    int usage, uint32_t lifetime);
nego_result nego_impersonate(void *cred, const void *text, size_t text_len, const void *type, size_t type_len);
nego_result nego_cred_info(void *cred);
nego_result nego_cred_impersonator(void *cred);
nego_result nego_cred_store(void *cred, const void *store, size_t store_len, int overwrite);
nego_result nego_cred_share(void *cred);
nego_result nego_cache_free(void *name);
nego_result nego_cred_free(void *cred);

#ifndef NEGO_HEIMDAL
/* A credential store in caller's memory from packed keys and values, each behind the other and ended by a NUL. */
enum { NEGO_MAX_KEYS = 32 };
typedef struct nego_store {
	gss_key_value_set_desc set;
	gss_key_value_element_desc elements[NEGO_MAX_KEYS];
} nego_store;
gss_const_key_value_set_t nego_unpack_store(nego_store *l, const void *packed, size_t n);
#endif

/* shim_element.c: a credential's elements, one for each mechanism, and its form as a token */
nego_result nego_cred_by_mech(void *cred, const void *mech, size_t mech_len);
nego_result nego_cred_by_oid(void *cred, const void *oid, size_t oid_len);
nego_result nego_cred_add(void *cred, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mechs, size_t mechs_len, const void *store, size_t store_len, int usage, uint32_t lifetime);
nego_result nego_cred_set(void *cred, const void *enctypes, size_t count, int exact_flags);
nego_result nego_cred_export(void *cred);
nego_result nego_cred_import(const void *token, size_t token_len);

/* shim_context.c */
typedef struct nego_ctx nego_ctx;
nego_result nego_ctx_new(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime);
nego_result nego_init_step(void *ctx, void *cred, const void *in, size_t in_len);
nego_result nego_accept_step(void *ctx, void *cred, const void *in, size_t in_len);
enum { NEGO_ASK_WARILY, NEGO_ASK_BOTH, NEGO_ASK_INITIATOR }; /* of a context that is known to be Kerberos's, the latter two */
nego_result nego_ctx_info(void *ctx, int ask);
nego_result nego_ctx_initiator(void *ctx);
nego_result nego_ctx_attributes(void *ctx, const void *names, size_t names_len);
nego_result nego_ctx_export(void *ctx);
nego_result nego_ctx_import(const void *in, size_t in_len);
nego_result nego_ctx_free(void *ctx);
nego_result nego_ctx_begin(gss_cred_id_t cred, gss_name_t target, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime);
gss_ctx_id_t nego_ctx_handle(void *ctx);
gss_ctx_id_t *nego_ctx_address(void *ctx); /* for calls that take the context away */

#ifndef NEGO_HEIMDAL
/* shim_default.c */
int nego_default_begin(gss_const_key_value_set_t store);
void nego_default_end(int named);
#endif

#ifndef NEGO_HEIMDAL
/* shim_alarm.c */
uint64_t nego_alarm_rings(void);          /* how often it has rung; 0: it never will */
int nego_alarm_watch(const char *path);   /* whether from now on each change of what stat says of the path makes it ring */

enum {
	NEGO_FS_REMOTE, /* or unknown: a file may have changed already when stat says that it has not */
	NEGO_FS_LAYERED,
	NEGO_FS_LOCAL
};
int nego_file_system(const char *path);
#endif

/* shim_watch.c and shim_snapshot.c: tickets kept apart from the default cache, for as long as nothing has changed */
enum {
	NEGO_SNAPSHOT_LATER = 1, /* something has just changed, or changed meanwhile */
	NEGO_SNAPSHOT_NEVER = 2  /* the library's own way is the only one */
};
nego_result nego_watch_new(int credential);
nego_result nego_watch_file(const char *path);
int nego_watch_open(void *watch);
int nego_watch_changed(void *watch);
int64_t nego_watch_looks(void);
nego_result nego_watch_free(void *watch);
nego_result nego_snapshot_new(void *watch, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len);
int nego_snapshot_changed(void *watch, void *snapshot);
nego_result nego_snapshot_step(void *watch, void *snapshot, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime);
nego_result nego_snapshot_request(void *watch, void *snapshot, const void *checksum, size_t checksum_len);
int64_t nego_snapshot_open(void *snapshot, const void *cipher, size_t len, void *plain);
nego_result nego_snapshot_free(void *snapshot);

/* shim_keyring.c: a keytab's keys in memory, for as long as the file has not changed */
nego_result nego_keys_new(const void *name, size_t name_len, const void *service, size_t service_len, int host);
int nego_keys_changed(void *keys);
nego_result nego_keys_free(void *keys);

/* shim_message.c */
nego_result nego_wrap(void *ctx, const void *in, size_t in_len, int confidential);
nego_result nego_unwrap(void *ctx, const void *in, size_t in_len);
nego_result nego_mic(void *ctx, const void *in, size_t in_len);
nego_result nego_verify_mic(void *ctx, const void *in, size_t in_len, const void *mic, size_t mic_len);
nego_result nego_wrap_size(void *ctx, uint32_t max, int confidential);

/* shim_iov.c: messages in parts, and keys for other uses */
nego_result nego_wrap_iov(void *ctx, void *iov, uint32_t count, int confidential);
nego_result nego_unwrap_iov(void *ctx, void *iov, uint32_t count);
nego_result nego_mic_iov(void *ctx, void *iov, uint32_t count);
nego_result nego_verify_mic_iov(void *ctx, void *iov, uint32_t count);
nego_result nego_wrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len, int confidential);
nego_result nego_unwrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len);
nego_result nego_prf(void *ctx, int full, const void *in, size_t in_len, size_t want);

/* shim_inquire.c: what else a context tells or takes */
nego_result nego_ctx_inquire(void *ctx, const void *oid, size_t oid_len);
nego_result nego_ctx_authdata(void *ctx, int type, const void *oid, size_t oid_len);
nego_result nego_ctx_ticket(void *ctx);
nego_result nego_ctx_lucid(void *ctx);
nego_result nego_ctx_option(void *ctx, const void *oid, size_t oid_len, const void *value, size_t value_len);
nego_result nego_ctx_process(void *ctx, const void *in, size_t in_len);

/* shim_krb5.c: libkrb5 itself, for ReadCache, Keys, errors that say where to look, and caches in memory */
int nego_krb5_memory_cache(nego_result *r, char **name);
void nego_krb5_destroy_cache(char *name);
nego_result nego_krb5_cache(const void *name, size_t name_len);
nego_result nego_krb5_keytab(const void *name, size_t name_len, const void *text, size_t text_len, const void *type, size_t type_len);
nego_result nego_krb5_ticket(const void *name, size_t name_len, const void *ticket, size_t ticket_len);
nego_result nego_krb5_initiator(const void *service, size_t service_len, const void *host, size_t host_len, const void *ticket,
    size_t ticket_len);

/* shim_config.c: what krb5.conf says */
nego_result nego_krb5_config(void);

#ifdef NEGO_HEIMDAL
/* shim_heimdal.c */
typedef nego_result (*nego_leg)(void *ctx, void *cred, const void *in, size_t in_len);
OM_uint32 nego_heimdal_principal_text(OM_uint32 *minor, gss_name_t name, gss_buffer_t text);
int nego_heimdal_bad_name(const void *text, size_t text_len, const void *type, size_t type_len);
OM_uint32 nego_heimdal_acquire(nego_result *r, OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime, gss_OID_set mechs, gss_OID_set neg,
    int usage, const void *store, size_t store_len, gss_cred_id_t *cred, gss_OID_set *got);
int nego_heimdal_is_shared(gss_cred_id_t cred);
OM_uint32 nego_heimdal_lifetime(gss_cred_id_t cred, uint32_t *lifetime);
OM_uint32 nego_heimdal_store(nego_result *r, OM_uint32 *minor, gss_cred_id_t cred, const char *cache);
OM_uint32 nego_heimdal_store_into(nego_result *r, OM_uint32 *minor, gss_cred_id_t cred, const void *store, size_t store_len, int overwrite);
nego_result nego_heimdal_first_leg(nego_leg leg, gss_OID mech, void *ctx, void *cred, const void *in, size_t in_len);
int nego_heimdal_bound(gss_cred_id_t cred, gss_buffer_t token, gss_channel_bindings_t bindings);
OM_uint32 nego_heimdal_why(OM_uint32 *minor, OM_uint32 major, gss_OID mech, gss_cred_id_t cred, gss_name_t target);
#endif

#endif
