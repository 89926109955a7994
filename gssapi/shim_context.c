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
	gss_buffer_desc name; /* the target's, and its type */
	gss_OID_desc type;
	gss_name_t target;    /* imported when a step first needs it */
	gss_OID_desc mech;
	OM_uint32 flags, lifetime;
	struct gss_channel_bindings_struct bindings;
	gss_channel_bindings_t use_bindings;
	OM_uint32 found; /* flags that a step has found out, and the library does not report */
	char data[];
};

gss_ctx_id_t nego_ctx_handle(void *ctx) { return ((nego_ctx *)ctx)->ctx; }
gss_ctx_id_t *nego_ctx_address(void *ctx) { return &((nego_ctx *)ctx)->ctx; }

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

static nego_ctx *allocate(nego_result *r, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime)
{
	nego_ctx *c = calloc(1, sizeof *c + text_len + type_len + mech_len + bindings_len);
	if (c == NULL) {
		r->major = GSS_S_FAILURE;
		nego_text(r, "out of memory", 13);
		return NULL;
	}
	char *at = c->data;
	if (bindings_len > 0)
		unpack_bindings(c, keep(&at, bindings, bindings_len));
	c->mech.length = (OM_uint32)mech_len;
	c->mech.elements = keep(&at, mech, mech_len);
	c->name = (gss_buffer_desc){ text_len, keep(&at, text, text_len) };
	c->type.length = (OM_uint32)type_len;
	c->type.elements = keep(&at, type, type_len);
	c->flags = flags;
	c->lifetime = lifetime;
	return c;
}

static OM_uint32 import_target(nego_ctx *c, OM_uint32 *minor)
{
	*minor = 0;
	if (c->target != GSS_C_NO_NAME || c->name.length + c->type.length == 0)
		return GSS_S_COMPLETE;
	return nego_import(minor, c->name.value, c->name.length, c->type.elements, c->type.length, &c->target);
}

nego_result nego_ctx_new(const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime)
{
	nego_result r = { 0 };
	nego_ctx *c = allocate(&r, text, text_len, type, type_len, mech, mech_len, bindings, bindings_len, flags, lifetime);
	if (c == NULL)
		return r;
	OM_uint32 minor, major = import_target(c, &minor);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (GSS_ERROR(major)) {
		free(c);
		return r;
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

static nego_result init_step(void *ctx, void *cred, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	nego_ctx *c = ctx;
	gss_buffer_desc token = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	gss_OID actual = GSS_C_NO_OID;
	OM_uint32 minor, flags = 0, lifetime = 0;
	int first = c->ctx == GSS_C_NO_CONTEXT;
	OM_uint32 major = import_target(c, &minor);
#ifndef NEGO_HEIMDAL
	int named = !GSS_ERROR(major) && first && cred == GSS_C_NO_CREDENTIAL && nego_default_begin(GSS_C_NO_CRED_STORE);
#endif
	if (!GSS_ERROR(major))
		major = gss_init_sec_context(&minor, cred, &c->ctx, c->target, &c->mech, c->flags, c->lifetime,
		    c->use_bindings, in_len > 0 ? &token : GSS_C_NO_BUFFER, &actual, &out, &flags, &lifetime);
#ifdef NEGO_HEIMDAL
	if (first)
		major = nego_heimdal_why(&minor, major, &c->mech, cred, c->target);
#endif
	step_result(&r, major, minor, &c->mech, actual, &out, flags, lifetime);
#ifndef NEGO_HEIMDAL
	nego_default_end(named);
#endif
	return r;
}

nego_result nego_init_step(void *ctx, void *cred, const void *in, size_t in_len)
{
#ifdef NEGO_HEIMDAL
	nego_ctx *c = ctx;
	nego_result nobody = { .major = GSS_S_BAD_NAME }, nothing = { .major = GSS_S_DEFECTIVE_TOKEN };
	/* Heimdal looks into the target, and into the token of a later leg, without asking whether there is one. */
	if (c->target == GSS_C_NO_NAME)
		return nobody;
	if (c->ctx != GSS_C_NO_CONTEXT && in_len == 0)
		return nothing;
	if (c->ctx == GSS_C_NO_CONTEXT && cred != NULL)
		return nego_heimdal_first_leg(init_step, &c->mech, ctx, cred, in, in_len);
#endif
	return init_step(ctx, cred, in, in_len);
}

#ifndef NEGO_HEIMDAL
/*
 * A new context and its first leg, with a target that the caller keeps. Later legs import the target from its text, as
 * they do in any other context. Without a box in the result there is no context.
 */
nego_result nego_ctx_begin(gss_cred_id_t cred, gss_name_t target, const void *text, size_t text_len, const void *type, size_t type_len,
    const void *mech, size_t mech_len, const void *bindings, size_t bindings_len, uint32_t flags, uint32_t lifetime)
{
	nego_result r = { 0 };
	nego_ctx *c = allocate(&r, text, text_len, type, type_len, mech, mech_len, bindings, bindings_len, flags, lifetime);
	if (c == NULL)
		return r;
	c->target = target;
	r = init_step(c, cred, NULL, 0);
	c->target = GSS_C_NO_NAME;
	nego_born();
	if (GSS_ERROR(r.major))
		nego_ctx_free(c);
	else
		r.box = c;
	return r;
}
#endif

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
#ifdef NEGO_HEIMDAL
	if (!GSS_ERROR(major) && c->use_bindings != GSS_C_NO_CHANNEL_BINDINGS && nego_heimdal_bound(cred, &token, c->use_bindings))
		c->found |= 1 << 11; /* GSS_C_CHANNEL_BOUND_FLAG */
#endif
	step_result(&r, major, minor, GSS_C_NO_OID, actual, &out, flags | c->found, lifetime);
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
	return mech != GSS_C_NO_OID && mech->length == nego_krb5.length && memcmp(mech->elements, nego_krb5.elements, mech->length) == 0;
}

/* Initiator's name, acceptor's name, mechanism. */
nego_result nego_ctx_info(void *ctx, int ask)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	nego_ctx *c = ctx;
	gss_name_t initiator = GSS_C_NO_NAME, acceptor = GSS_C_NO_NAME;
	gss_OID mech = GSS_C_NO_OID;
	OM_uint32 minor, ignored, flags = 0, lifetime = 0;
	int local = 0, open = 0;
	OM_uint32 major = gss_inquire_context(&minor, c->ctx, &initiator, ask == NEGO_ASK_BOTH ? &acceptor : NULL, &lifetime, &mech, &flags, &local, &open);
	/* Plug-in mechanisms do not survive the question for the acceptor's name. */
	if (!GSS_ERROR(major) && is_krb5(mech) && ask == NEGO_ASK_WARILY)
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
 * end of SPNEGO, knows whose ticket it has used. Empty where it does not.
 */
nego_result nego_ctx_initiator(void *ctx)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	nego_ctx *c = ctx;
	gss_name_t initiator = GSS_C_NO_NAME;
	OM_uint32 minor, ignored;
#ifdef NEGO_HEIMDAL /* where other mechanisms give a name that is none, and asking for its text is fatal */
	gss_OID mech = GSS_C_NO_OID;
	if (GSS_ERROR(gss_inquire_context(&minor, c->ctx, NULL, NULL, NULL, &mech, NULL, NULL, NULL)) || !is_krb5(mech))
		return r;
#endif
	OM_uint32 major = gss_inquire_context(&minor, c->ctx, &initiator, NULL, NULL, NULL, NULL, NULL, NULL);
	if (!GSS_ERROR(major) && initiator != GSS_C_NO_NAME)
		nego_put_name(&minor, &p, initiator);
	gss_release_name(&ignored, &initiator);
	nego_out_pack(&r, &p);
	return r;
}

/*
 * Attributes of the initiator's name, those named or else all, as nego_put_attributes packs them. Only Kerberos is
 * asked: plug-in mechanisms do not survive it, and have none.
 */
nego_result nego_ctx_attributes(void *ctx, const void *names, size_t names_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	static const char why[] = "Heimdal does not tell the attributes of names";
	(void)ctx, (void)names, (void)names_len;
	r.major = GSS_S_UNAVAILABLE;
	nego_text(&r, why, sizeof why - 1);
#else
	nego_pack p = { 0 };
	nego_ctx *c = ctx;
	gss_name_t initiator = GSS_C_NO_NAME;
	gss_OID mech = GSS_C_NO_OID;
	OM_uint32 minor, ignored;
	OM_uint32 major = gss_inquire_context(&minor, c->ctx, &initiator, NULL, NULL, &mech, NULL, NULL, NULL);
	if (!GSS_ERROR(major) && is_krb5(mech) && initiator != GSS_C_NO_NAME)
		major = nego_put_attributes(&minor, &p, initiator, names, names_len);
	nego_status(&r, major, minor, mech);
	gss_release_name(&ignored, &initiator);
	nego_out_pack(&r, &p);
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
