//go:build cgo && unix

#include <stdlib.h>
#include <string.h>
#include "shim.h"

/*
 * A context and everything that must be the same on each of its legs. It has its own address
 * because the library writes the context's handle back in every step, also in one that Go has
 * stopped waiting for.
 */
struct nego_ctx {
	gss_ctx_id_t ctx;
	gss_name_t target;
	gss_OID_desc mech;
	OM_uint32 flags, lifetime;
	struct gss_channel_bindings_struct bindings;
	gss_channel_bindings_t use_bindings;
	char data[];
};

gss_ctx_id_t nego_ctx_handle(void *ctx) { return ((nego_ctx *)ctx)->ctx; }

static void *keep(char **at, const void *p, size_t n)
{
	void *kept = *at;
	memcpy(kept, p, n);
	*at += n;
	return kept;
}

/* Packed bindings: two address types, three lengths, then initiator, acceptor and data. */
static void unpack_bindings(nego_ctx *c, const void *packed)
{
	uint32_t h[5];
	char *p = (char *)packed + sizeof h;
	memcpy(h, packed, sizeof h);
	c->bindings.initiator_addrtype = h[0];
	c->bindings.acceptor_addrtype = h[1];
	c->bindings.initiator_address = (gss_buffer_desc){ h[2], p };
	c->bindings.acceptor_address = (gss_buffer_desc){ h[3], p + h[2] };
	c->bindings.application_data = (gss_buffer_desc){ h[4], p + h[2] + h[3] };
	c->use_bindings = &c->bindings;
}

nego_result nego_ctx_new(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime)
{
	nego_result r = { 0 };
	nego_ctx *c = calloc(1, sizeof *c + mech_len + bindings_len);
	if (c == NULL) {
		r.major = GSS_S_FAILURE;
		nego_text(&r, "out of memory", 13);
		return r;
	}
	char *at = c->data;
	if (bindings_len > 0)
		unpack_bindings(c, keep(&at, bindings, bindings_len));
	c->mech.length = (OM_uint32)mech_len;
	c->mech.elements = keep(&at, mech, mech_len);
	c->flags = flags;
	c->lifetime = lifetime;
	if (text_len + type_len > 0) {
		OM_uint32 minor, major = nego_import(&minor, text, text_len, type, type_len, &c->target);
		nego_status(&r, major, minor, GSS_C_NO_OID);
		if (GSS_ERROR(major)) {
			free(c);
			return r;
		}
	}
	r.box = c;
	nego_born();
	return r;
}

static void step_result(nego_result *r, OM_uint32 major, OM_uint32 minor, gss_OID mech, gss_OID actual,
    gss_buffer_t out, OM_uint32 flags, OM_uint32 lifetime)
{
	nego_status(r, major, minor, mech);
	nego_out_gss(r, out);
	if (actual != GSS_C_NO_OID) {
		r->mech = actual->elements;
		r->mech_len = actual->length;
	}
	r->flags = flags;
	r->lifetime = lifetime;
}

nego_result nego_init_step(void *ctx, void *cred, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	nego_ctx *c = ctx;
	gss_buffer_desc token = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	gss_OID actual = GSS_C_NO_OID;
	OM_uint32 minor, flags = 0, lifetime = 0;
	OM_uint32 major = gss_init_sec_context(&minor, cred, &c->ctx, c->target, &c->mech, c->flags, c->lifetime,
	    c->use_bindings, in_len > 0 ? &token : GSS_C_NO_BUFFER, &actual, &out, &flags, &lifetime);
	step_result(&r, major, minor, &c->mech, actual, &out, flags, lifetime);
	return r;
}

nego_result nego_accept_step(void *ctx, void *cred, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	nego_ctx *c = ctx;
	gss_buffer_desc token = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	gss_OID actual = GSS_C_NO_OID;
	gss_cred_id_t delegated = GSS_C_NO_CREDENTIAL;
	OM_uint32 minor, flags = 0, lifetime = 0;
	/* No name is asked for here: plug-in mechanisms hand out one before the context is complete. */
	OM_uint32 major = gss_accept_sec_context(&minor, &c->ctx, cred, &token, c->use_bindings, NULL, &actual, &out,
	    &flags, &lifetime, &delegated);
	step_result(&r, major, minor, GSS_C_NO_OID, actual, &out, flags, lifetime);
	if (delegated != GSS_C_NO_CREDENTIAL) {
		OM_uint32 ignored;
		if (!GSS_ERROR(major) && !(major & GSS_S_CONTINUE_NEEDED)) {
			r.box = delegated;
			nego_born();
		} else {
			gss_release_cred(&ignored, &delegated);
		}
	}
	return r;
}

static int is_krb5(gss_OID mech)
{
	static const char krb5[] = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
	return mech != GSS_C_NO_OID && mech->length == sizeof krb5 - 1 && memcmp(mech->elements, krb5, sizeof krb5 - 1) == 0;
}

/* Initiator's name, acceptor's name, mechanism. */
nego_result nego_ctx_info(void *ctx)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	nego_ctx *c = ctx;
	gss_name_t initiator = GSS_C_NO_NAME, acceptor = GSS_C_NO_NAME;
	gss_OID mech = GSS_C_NO_OID;
	OM_uint32 minor, ignored, flags = 0, lifetime = 0;
	int local = 0, open = 0;
	OM_uint32 major = gss_inquire_context(&minor, c->ctx, &initiator, NULL, &lifetime, &mech, &flags, &local, &open);
	/* Plug-in mechanisms do not survive the question for the acceptor's name. */
	if (!GSS_ERROR(major) && is_krb5(mech))
		major = gss_inquire_context(&minor, c->ctx, NULL, &acceptor, NULL, NULL, NULL, NULL, NULL);
	gss_name_t names[] = { initiator, acceptor };
	for (int i = 0; i < 2 && !GSS_ERROR(major); i++) {
		if (names[i] != GSS_C_NO_NAME) {
			major = nego_put_name(&minor, &p, names[i]);
		} else {
			nego_put(&p, "", 0);
			nego_put(&p, "", 0);
		}
	}
	nego_status(&r, major, minor, mech);
	nego_put_oid(&p, mech);
	nego_put_u32(&p, local != 0);
	r.flags = flags;
	r.lifetime = lifetime;
	gss_release_name(&ignored, &initiator);
	gss_release_name(&ignored, &acceptor);
	nego_out_pack(&r, &p);
	return r;
}

/*
 * The initiator's name, as far as it is known: a context that waits for nothing that the mechanism needs, but for the
 * end of SPNEGO, knows whose ticket it has used. Empty where it does not, and in Heimdal, which has no name until it is done.
 */
nego_result nego_ctx_initiator(void *ctx)
{
	nego_result r = { 0 };
#ifndef NEGO_HEIMDAL
	nego_pack p = { 0 };
	nego_ctx *c = ctx;
	gss_name_t initiator = GSS_C_NO_NAME;
	OM_uint32 minor, ignored;
	OM_uint32 major = gss_inquire_context(&minor, c->ctx, &initiator, NULL, NULL, NULL, NULL, NULL, NULL);
	if (!GSS_ERROR(major) && initiator != GSS_C_NO_NAME)
		nego_put_name(&minor, &p, initiator);
	gss_release_name(&ignored, &initiator);
	nego_out_pack(&r, &p);
#else
	(void)ctx;
#endif
	return r;
}

nego_result nego_ctx_export(void *ctx)
{
	nego_result r = { 0 };
	nego_ctx *c = ctx;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = gss_export_sec_context(&minor, &c->ctx, &b);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &b);
	return r;
}

nego_result nego_ctx_import(const void *in, size_t in_len)
{
	nego_result r = nego_ctx_new(NULL, 0, NULL, 0, NULL, 0, NULL, 0, 0, 0);
	if (r.box == NULL)
		return r;
	nego_ctx *c = r.box;
	gss_buffer_desc b = { in_len, (void *)in };
	OM_uint32 minor, major = gss_import_sec_context(&minor, &b, &c->ctx);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (GSS_ERROR(major)) {
		nego_ctx_free(c);
		r.box = NULL;
	}
	return r;
}

nego_result nego_ctx_free(void *ctx)
{
	nego_result r = { 0 };
	nego_ctx *c = ctx;
	OM_uint32 minor = 0, ignored, major = GSS_S_COMPLETE;
	if (c->ctx != GSS_C_NO_CONTEXT)
		major = gss_delete_sec_context(&minor, &c->ctx, GSS_C_NO_BUFFER);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	gss_release_name(&ignored, &c->target);
	free(c);
	nego_died();
	return r;
}
