/*
 * The seam between Go and the system's GSSAPI library.
 *
 * Every function takes plain values and (pointer, length) inputs, which it does not keep, and
 * returns one nego_result by value. Status text is kept by the library per OS thread, so it is
 * collected here, before any other GSS call and in the same crossing: a goroutine may go on
 * another thread afterwards.
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
OM_uint32 nego_import(OM_uint32 *minor, const void *text, size_t text_len, const void *type, size_t type_len, gss_name_t *out);
OM_uint32 nego_put_name(OM_uint32 *minor, nego_pack *p, gss_name_t name);
nego_result nego_name_equal(const void *a, size_t a_len, const void *at, size_t at_len, const void *b, size_t b_len, const void *bt, size_t bt_len);
nego_result nego_name_canonical(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);
nego_result nego_name_export(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);
nego_result nego_name_local(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len);

/* shim_mechanism.c */
nego_result nego_mechs(void);
nego_result nego_mech_by_sasl_name(const void *name, size_t name_len);

/* shim_credential.c */
nego_result nego_acquire(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mechs, size_t mechs_len, const void *neg, size_t neg_len, const void *store, size_t store_len,
    int usage, uint32_t lifetime);
nego_result nego_cred_info(void *cred);
nego_result nego_cred_share(void *cred);
nego_result nego_cache_free(void *name);
nego_result nego_cred_free(void *cred);

/* shim_context.c */
typedef struct nego_ctx nego_ctx;
nego_result nego_ctx_new(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime);
nego_result nego_init_step(void *ctx, void *cred, const void *in, size_t in_len);
nego_result nego_accept_step(void *ctx, void *cred, const void *in, size_t in_len);
nego_result nego_ctx_info(void *ctx);
nego_result nego_ctx_initiator(void *ctx);
nego_result nego_ctx_export(void *ctx);
nego_result nego_ctx_import(const void *in, size_t in_len);
nego_result nego_ctx_free(void *ctx);
gss_ctx_id_t nego_ctx_handle(void *ctx);

/* shim_message.c */
nego_result nego_wrap(void *ctx, const void *in, size_t in_len, int confidential);
nego_result nego_unwrap(void *ctx, const void *in, size_t in_len);
nego_result nego_mic(void *ctx, const void *in, size_t in_len);
nego_result nego_verify_mic(void *ctx, const void *in, size_t in_len, const void *mic, size_t mic_len);
nego_result nego_wrap_size(void *ctx, uint32_t max, int confidential);

/* shim_krb5.c: libkrb5 itself, for ReadCache, errors that say where to look, and caches in memory */
int nego_krb5_memory_cache(nego_result *r, char **name);
void nego_krb5_destroy_cache(char *name);
nego_result nego_krb5_cache(const void *name, size_t name_len);
nego_result nego_krb5_keytab(const void *name, size_t name_len);
nego_result nego_krb5_initiator(const void *service, size_t service_len, const void *host, size_t host_len);

#endif
