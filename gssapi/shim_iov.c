//go:build cgo && unix

#include <stdlib.h>
#include <string.h>
#include "shim.h"

#ifdef NEGO_HEIMDAL
/*
 * Heimdal's gss_unwrap_iov takes a message that is signed alone whatever has been changed in it, and opens no stream; its
 * gss_unwrap_aead fails with EINVAL. What nobody could check is not made either.
 */
static const nego_result unavailable = { .major = GSS_S_UNAVAILABLE };

nego_result nego_wrap_iov(void *ctx, void *packed, uint32_t count, int confidential)
{
	(void)ctx, (void)packed, (void)count, (void)confidential;
	return unavailable;
}

nego_result nego_unwrap_iov(void *ctx, void *packed, uint32_t count)
{
	(void)ctx, (void)packed, (void)count;
	return unavailable;
}

nego_result nego_mic_iov(void *ctx, void *packed, uint32_t count)
{
	(void)ctx, (void)packed, (void)count;
	return unavailable;
}

nego_result nego_verify_mic_iov(void *ctx, void *packed, uint32_t count)
{
	(void)ctx, (void)packed, (void)count;
	return unavailable;
}

nego_result nego_wrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len, int confidential)
{
	(void)ctx, (void)assoc, (void)assoc_len, (void)in, (void)in_len, (void)confidential;
	return unavailable;
}

nego_result nego_unwrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len)
{
	(void)ctx, (void)assoc, (void)assoc_len, (void)in, (void)in_len;
	return unavailable;
}
#else
/*
 * Buffers come in packed, each as its type, its length and its bytes. What the library encrypts or decrypts in place it
 * does there. Those of the types to allocate are the library's to make.
 */
static gss_iov_buffer_desc *open_iov(nego_result *r, void *packed, uint32_t count, const OM_uint32 *allocate)
{
	gss_iov_buffer_desc *iov = calloc(count, sizeof *iov);
	char *p = packed;
	if (iov == NULL) {
		r->major = GSS_S_FAILURE;
		nego_text(r, "out of memory", 13);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t h[2];
		memcpy(h, p, sizeof h);
		p += sizeof h;
		iov[i].type = h[0];
		iov[i].buffer = (gss_buffer_desc){ h[1], p };
		p += h[1];
		for (const OM_uint32 *a = allocate; *a != GSS_IOV_BUFFER_TYPE_EMPTY; a++) {
			if (iov[i].type == *a) {
				iov[i].type |= GSS_IOV_BUFFER_FLAG_ALLOCATE;
				iov[i].buffer = (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
				break;
			}
		}
	}
	return iov;
}

/* The bytes of each buffer, in their order. */
static void close_iov(nego_result *r, OM_uint32 major, OM_uint32 minor, gss_iov_buffer_desc *iov, uint32_t count)
{
	nego_pack p = { 0 };
	OM_uint32 ignored;
	nego_status(r, major, minor, GSS_C_NO_OID);
	for (uint32_t i = 0; !GSS_ERROR(major) && i < count; i++)
		nego_put(&p, iov[i].buffer.value, iov[i].buffer.length);
	gss_release_iov_buffer(&ignored, iov, (int)count);
	free(iov);
	nego_out_pack(r, &p);
}

/*
 * MIT looks for a key that only contexts of RFC 1964 have when it is given one of their tokens as a stream, also in a
 * context of RFC 4121, and does not survive that. Those have session keys of DES or RC4, by the number behind this prefix;
 * the tokens of RFC 4121 have no frame and begin with their own number.
 */
static int deadly_stream(gss_ctx_id_t ctx, const void *token, size_t n)
{
	static gss_OID_desc session_key = { 11, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x05" };
	static const char enctype[] = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x04";
	const size_t prefix = sizeof enctype - 1;
	gss_buffer_set_t set = GSS_C_NO_BUFFER_SET;
	OM_uint32 ignored;
	int rfc4121 = 0;
	if (n >= 2 && memcmp(token, "\x05\x04", 2) == 0)
		return 0;
	gss_inquire_sec_context_by_oid(&ignored, ctx, &session_key, &set);
	if (set != GSS_C_NO_BUFFER_SET && set->count > 0)
		memset(set->elements[0].value, 0, set->elements[0].length);
	if (set != GSS_C_NO_BUFFER_SET && set->count > 1 && set->elements[1].length > prefix &&
	    memcmp(set->elements[1].value, enctype, prefix) == 0) {
		const unsigned char *last = (unsigned char *)set->elements[1].value + set->elements[1].length - 1;
		rfc4121 = set->elements[1].length > prefix + 1 || (*last > 16 && *last != 23 && *last != 24);
	}
	gss_release_buffer_set(&ignored, &set);
	return rfc4121;
}

nego_result nego_wrap_iov(void *ctx, void *packed, uint32_t count, int confidential)
{
	static const OM_uint32 allocate[] = { GSS_IOV_BUFFER_TYPE_HEADER, GSS_IOV_BUFFER_TYPE_PADDING, GSS_IOV_BUFFER_TYPE_TRAILER, 0 };
	nego_result r = { 0 };
	int got = 0;
	gss_iov_buffer_desc *iov = open_iov(&r, packed, count, allocate);
	if (iov == NULL)
		return r;
	OM_uint32 minor, major = gss_wrap_iov(&minor, nego_ctx_handle(ctx), confidential, GSS_C_QOP_DEFAULT, &got, iov, (int)count);
	close_iov(&r, major, minor, iov, count);
	r.flags = got != 0;
	return r;
}

nego_result nego_unwrap_iov(void *ctx, void *packed, uint32_t count)
{
	static const OM_uint32 allocate[] = { 0 };
	nego_result r = { 0 };
	int got = 0;
	gss_iov_buffer_desc *iov = open_iov(&r, packed, count, allocate);
	if (iov == NULL)
		return r;
	OM_uint32 minor = 0, major = GSS_S_COMPLETE;
	for (uint32_t i = 0; i < count; i++) {
		if (iov[i].type == GSS_IOV_BUFFER_TYPE_STREAM && deadly_stream(nego_ctx_handle(ctx), iov[i].buffer.value, iov[i].buffer.length))
			major = GSS_S_DEFECTIVE_TOKEN;
	}
	if (!GSS_ERROR(major))
		major = gss_unwrap_iov(&minor, nego_ctx_handle(ctx), &got, NULL, iov, (int)count);
	close_iov(&r, major, minor, iov, count);
	r.flags = got != 0;
	return r;
}

nego_result nego_mic_iov(void *ctx, void *packed, uint32_t count)
{
	nego_result r = { 0 };
	static const OM_uint32 allocate[] = { GSS_IOV_BUFFER_TYPE_MIC_TOKEN, 0 };
	gss_iov_buffer_desc *iov = open_iov(&r, packed, count, allocate);
	if (iov == NULL)
		return r;
	OM_uint32 minor, major = gss_get_mic_iov(&minor, nego_ctx_handle(ctx), GSS_C_QOP_DEFAULT, iov, (int)count);
	close_iov(&r, major, minor, iov, count);
	return r;
}

nego_result nego_verify_mic_iov(void *ctx, void *packed, uint32_t count)
{
	nego_result r = { 0 };
	static const OM_uint32 allocate[] = { 0 };
	gss_iov_buffer_desc *iov = open_iov(&r, packed, count, allocate);
	if (iov == NULL)
		return r;
	OM_uint32 minor, major = gss_verify_mic_iov(&minor, nego_ctx_handle(ctx), NULL, iov, (int)count);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	free(iov);
	return r;
}

nego_result nego_wrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len, int confidential)
{
	nego_result r = { 0 };
	gss_buffer_desc a = { assoc_len, (void *)assoc }, msg = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	int got = 0;
	OM_uint32 minor, major = gss_wrap_aead(&minor, nego_ctx_handle(ctx), confidential, GSS_C_QOP_DEFAULT, &a, &msg, &got, &out);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	r.flags = got != 0;
	return r;
}

nego_result nego_unwrap_aead(void *ctx, const void *assoc, size_t assoc_len, const void *in, size_t in_len)
{
	nego_result r = { 0 };
	gss_buffer_desc a = { assoc_len, (void *)assoc }, token = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	int got = 0;
	if (deadly_stream(nego_ctx_handle(ctx), in, in_len)) {
		r.major = GSS_S_DEFECTIVE_TOKEN;
		return r;
	}
	OM_uint32 minor, major = gss_unwrap_aead(&minor, nego_ctx_handle(ctx), &token, &a, &out, &got, NULL);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	r.flags = got != 0;
	return r;
}
#endif

nego_result nego_prf(void *ctx, int full, const void *in, size_t in_len, size_t want)
{
	nego_result r = { 0 };
	gss_buffer_desc seed = { in_len, (void *)in }, out = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, major = gss_pseudo_random(&minor, nego_ctx_handle(ctx), full ? GSS_C_PRF_KEY_FULL : GSS_C_PRF_KEY_PARTIAL,
	    &seed, (ssize_t)want, &out);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_out_gss(&r, &out);
	return r;
}
