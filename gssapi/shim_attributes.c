//go:build cgo && unix

#include <string.h>
#include "shim.h"

#ifndef NEGO_HEIMDAL
/* Each value as a record: name, authenticated, complete, value, text. One that the name does not have is left out. */
static OM_uint32 put_attribute(OM_uint32 *minor, nego_pack *p, gss_name_t name, gss_buffer_t attribute)
{
	int more = -1; /* the first value; then where the library left off */
	while (more != 0) {
		gss_buffer_desc value = GSS_C_EMPTY_BUFFER, display = GSS_C_EMPTY_BUFFER;
		OM_uint32 ignored;
		int authenticated = 0, complete = 0;
		OM_uint32 major = gss_get_name_attribute(minor, name, attribute, &authenticated, &complete, &value, &display, &more);
		if (GSS_ERROR(major))
			return GSS_ROUTINE_ERROR(major) == GSS_S_UNAVAILABLE ? GSS_S_COMPLETE : major;
		nego_put(p, attribute->value, attribute->length);
		nego_put_u32(p, authenticated != 0);
		nego_put_u32(p, complete != 0);
		nego_put(p, value.value, value.length);
		nego_put(p, display.value, display.length);
		gss_release_buffer(&ignored, &value);
		gss_release_buffer(&ignored, &display);
	}
	return GSS_S_COMPLETE;
}
/* Packs the attributes of a name, those named or else all. The names end in a NUL each. */
OM_uint32 nego_put_attributes(OM_uint32 *minor, nego_pack *p, gss_name_t name, const void *names, size_t names_len)
{
	gss_buffer_set_t all = GSS_C_NO_BUFFER_SET;
	OM_uint32 ignored, major = GSS_S_COMPLETE;
	if (names_len == 0)
		major = gss_inquire_name(minor, name, NULL, NULL, &all);
	for (size_t i = 0; !GSS_ERROR(major) && all != GSS_C_NO_BUFFER_SET && i < all->count; i++)
		major = put_attribute(minor, p, name, &all->elements[i]);
	for (const char *s = names, *end = s + names_len; !GSS_ERROR(major) && s < end; s += strlen(s) + 1) {
		gss_buffer_desc attribute = { strlen(s), (void *)s };
		major = put_attribute(minor, p, name, &attribute);
	}
	gss_release_buffer_set(&ignored, &all);
	return major;
}
#endif

nego_result nego_name_attributes(const void *text, size_t text_len, const void *type, size_t type_len, const void *names, size_t names_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)text, (void)text_len, (void)type, (void)type_len, (void)names, (void)names_len;
	r.major = GSS_S_UNAVAILABLE;
#else
	nego_pack p = { 0 };
	gss_name_t name = GSS_C_NO_NAME;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = nego_put_attributes(&minor, &p, name, names, names_len);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	gss_release_name(&ignored, &name);
	nego_out_pack(&r, &p);
#endif
	return r;
}

/*
 * The name of Kerberos with an attribute set to packed values, or deleted where there are none, as a composite
 * token. The attribute ends in a NUL, as libkrb5 reads on behind its length.
 */
nego_result nego_name_set(const void *text, size_t text_len, const void *type, size_t type_len, const void *attribute,
    const void *values, size_t values_len, int complete)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)text, (void)text_len, (void)type, (void)type_len, (void)attribute, (void)values, (void)values_len, (void)complete;
	r.major = GSS_S_UNAVAILABLE;
#else
	gss_name_t imported = GSS_C_NO_NAME, name = GSS_C_NO_NAME;
	gss_buffer_desc a = { strlen(attribute), (void *)attribute }, out = GSS_C_EMPTY_BUFFER;
	const char *p = values, *end = p + values_len;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &imported);
	if (!GSS_ERROR(major))
		major = gss_canonicalize_name(&minor, imported, &nego_krb5, &name);
	if (!GSS_ERROR(major) && values_len == 0)
		major = gss_delete_name_attribute(&minor, name, &a);
	while (!GSS_ERROR(major) && p < end) {
		uint32_t n;
		memcpy(&n, p, sizeof n);
		gss_buffer_desc value = { n, (void *)(p + sizeof n) };
		major = gss_set_name_attribute(&minor, name, complete, &a, &value);
		p += sizeof n + n;
	}
	if (!GSS_ERROR(major))
		major = gss_export_name_composite(&minor, name, &out);
	nego_status(&r, major, minor, &nego_krb5);
	gss_release_name(&ignored, &imported);
	gss_release_name(&ignored, &name);
	nego_out_gss(&r, &out);
#endif
	return r;
}

/* The initiator's name with its attributes, as a composite token. Only Kerberos is asked, as in nego_ctx_attributes. */
nego_result nego_ctx_composite(void *ctx)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)ctx;
	r.major = GSS_S_UNAVAILABLE;
#else
	static const unsigned char krb5[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };
	gss_name_t initiator = GSS_C_NO_NAME;
	gss_OID mech = GSS_C_NO_OID;
	gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored;
	OM_uint32 major = gss_inquire_context(&minor, nego_ctx_handle(ctx), &initiator, NULL, NULL, &mech, NULL, NULL, NULL);
	if (!GSS_ERROR(major)) {
		int asked = initiator != GSS_C_NO_NAME && mech != GSS_C_NO_OID && mech->length == sizeof krb5 && memcmp(mech->elements, krb5, sizeof krb5) == 0;
		minor = asked ? minor : 0;
		major = asked ? gss_export_name_composite(&minor, initiator, &out) : GSS_S_UNAVAILABLE;
	}
	nego_status(&r, major, minor, mech);
	gss_release_name(&ignored, &initiator);
	nego_out_gss(&r, &out);
#endif
	return r;
}
