//go:build cgo && unix

#include <stdlib.h>
#include <time.h>
#include "shim.h"
#include "shim_krb5.h"

nego_result nego_ctx_inquire(void *ctx, const void *oid, size_t oid_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_desc object = { (OM_uint32)oid_len, (void *)oid };
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	OM_uint32 minor, ignored, major = gss_inquire_sec_context_by_oid(&minor, nego_ctx_handle(ctx), &object, &set);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; !GSS_ERROR(major) && set != GSS_C_NO_BUFFER_SET && i < set->count; i++)
		nego_put(&p, set->elements[i].value, set->elements[i].length);
	gss_release_buffer_set(&ignored, &set);
	nego_out_pack(&r, &p);
	return r;
}

/* MIT's function of that name fails where there are several of one type, so there its object is asked for instead. */
nego_result nego_ctx_authdata(void *ctx, int type, const void *oid, size_t oid_len)
{
#ifdef NEGO_HEIMDAL
	(void)ctx, (void)type, (void)oid, (void)oid_len;
	return (nego_result){ .major = GSS_S_UNAVAILABLE }; /* it tells one of them, and fails where there is none */
#else
	(void)type;
	return nego_ctx_inquire(ctx, oid, oid_len);
#endif
}

/* Ticket's flags in flags; authentication time in lifetime, as seconds since 1970 without sign. */
nego_result nego_ctx_ticket(void *ctx)
{
	nego_result r = { 0 };
	gss_ctx_id_t c = nego_ctx_handle(ctx);
	OM_uint32 minor, major;
#ifdef NEGO_HEIMDAL
	OM_uint32 flags = 0;
	time_t authtime = 0;
#else
	krb5_flags flags = 0;
	krb5_timestamp authtime = 0;
#endif
	major = gss_krb5_get_tkt_flags(&minor, c, &flags);
	if (!GSS_ERROR(major))
		major = gsskrb5_extract_authtime_from_sec_context(&minor, c, &authtime);
#ifdef NEGO_HEIMDAL
	if (GSS_ROUTINE_ERROR(major) == GSS_S_BAD_MECH)
		major = GSS_S_UNAVAILABLE; /* an initiator's context has no ticket */
#endif
	nego_status(&r, major, minor, GSS_C_NO_OID);
#ifdef NEGO_HEIMDAL
	r.flags = nego_heimdal_flags(flags);
#else
	r.flags = (uint32_t)flags;
#endif
	r.lifetime = (uint32_t)authtime;
	return r;
}

static void put_u64(nego_pack *p, uint64_t v)
{
	nego_put_u32(p, (uint32_t)(v >> 32));
	nego_put_u32(p, (uint32_t)v);
}

static void put_key(nego_pack *p, const gss_krb5_lucid_key_t *key)
{
	nego_put_u32(p, key->type);
	nego_put(p, key->data, key->length);
}

/*
 * Protocol, initiator, end, both sequence numbers, both algorithms, key, acceptor's subkey. The context is gone afterwards,
 * and its box empty.
 */
nego_result nego_ctx_lucid(void *ctx)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	void *exported = NULL;
	OM_uint32 minor, ignored, major = gss_krb5_export_lucid_sec_context(&minor, nego_ctx_address(ctx), 1, &exported);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (GSS_ERROR(major) || exported == NULL)
		return r;
	const gss_krb5_lucid_context_v1_t *l = exported;
	nego_put_u32(&p, l->protocol);
	nego_put_u32(&p, l->initiate != 0);
	nego_put_u32(&p, l->endtime);
	put_u64(&p, l->send_seq);
	put_u64(&p, l->recv_seq);
	nego_put_u32(&p, l->rfc1964_kd.sign_alg);
	nego_put_u32(&p, l->rfc1964_kd.seal_alg);
	put_key(&p, l->protocol == 0 ? &l->rfc1964_kd.ctx_key : &l->cfx_kd.ctx_key);
	if (l->protocol != 0 && l->cfx_kd.have_acceptor_subkey)
		put_key(&p, &l->cfx_kd.acceptor_subkey);
	gss_krb5_free_lucid_sec_context(&ignored, exported);
	nego_out_pack(&r, &p);
	return r;
}

/* Heimdal's options are of the thread or of the process, but for one that DES needed. */
nego_result nego_ctx_option(void *ctx, const void *oid, size_t oid_len, const void *value, size_t value_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)ctx, (void)oid, (void)oid_len, (void)value, (void)value_len;
	r.major = GSS_S_UNAVAILABLE;
#else
	gss_OID_desc object = { (OM_uint32)oid_len, (void *)oid };
	gss_buffer_desc b = { value_len, (void *)value };
	OM_uint32 minor, major = gss_set_sec_context_option(&minor, nego_ctx_address(ctx), &object, &b);
	nego_status(&r, major, minor, GSS_C_NO_OID);
#endif
	return r;
}

/* Heimdal frees what the context still points at when a token of this kind is good. */
nego_result nego_ctx_process(void *ctx, const void *in, size_t in_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)ctx, (void)in, (void)in_len;
	r.major = GSS_S_UNAVAILABLE;
#else
	gss_buffer_desc token = { in_len, (void *)in };
	OM_uint32 minor, major = gss_process_context_token(&minor, nego_ctx_handle(ctx), &token);
	nego_status(&r, major, minor, GSS_C_NO_OID);
#endif
	return r;
}
