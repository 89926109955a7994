//go:build cgo && unix

#include "shim.h"

/*
 * Heimdal looks at a message's place in the sequence first, and at its checksum only where that is the next one. What
 * came twice or out of order may be anybody's, so it is no message.
 */
#ifdef NEGO_HEIMDAL
static OM_uint32 checked(nego_result *r, OM_uint32 major)
{
	static const char why[] = "it came twice or out of order, and Heimdal does not check such a message";
	if (GSS_ERROR(major) || !(major & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN | GSS_S_UNSEQ_TOKEN | GSS_S_GAP_TOKEN)))
		return major;
	nego_text(r, why, sizeof why - 1);
	return GSS_S_BAD_MIC;
}
#else
#define checked(r, major) (major)
#endif

nego_result nego_wrap(void *ctx, const void *in, size_t in_len, int confidential)
{
	nego_result r = { 0 };
	gss_buffer_desc msg = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	int got = 0;
	OM_uint32 minor, major = gss_wrap(&minor, nego_ctx_handle(ctx), confidential, GSS_C_QOP_DEFAULT, &msg, &got, &out);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	r.flags = got != 0;
	return r;
}

nego_result nego_unwrap(void *ctx, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	gss_buffer_desc token = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	int got = 0;
	OM_uint32 minor, major = gss_unwrap(&minor, nego_ctx_handle(ctx), &token, &out, &got, NULL);
	nego_status(&r, checked(&r, major), minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	r.flags = got != 0;
	return r;
}

nego_result nego_mic(void *ctx, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	gss_buffer_desc msg = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = gss_get_mic(&minor, nego_ctx_handle(ctx), GSS_C_QOP_DEFAULT, &msg, &out);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	return r;
}

nego_result nego_verify_mic(void *ctx, const void *in, size_t in_len, const void *mic, size_t mic_len)
{
	nego_result r = { 0 };
	gss_buffer_desc msg = { in_len, (void *)in }, token = { mic_len, (void *)mic };
	OM_uint32 minor, major = gss_verify_mic(&minor, nego_ctx_handle(ctx), &msg, &token, NULL);
	nego_status(&r, checked(&r, major), minor, GSS_C_NO_OID);
	return r;
}

nego_result nego_wrap_size(void *ctx, uint32_t max, int confidential)
{
	nego_result r = { 0 };
	OM_uint32 minor, size = 0;
	OM_uint32 major = gss_wrap_size_limit(&minor, nego_ctx_handle(ctx), confidential, GSS_C_QOP_DEFAULT, max, &size);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	r.flags = size;
	return r;
}
