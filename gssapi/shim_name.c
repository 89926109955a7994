//go:build cgo && unix

#include "shim.h"

gss_OID_desc nego_krb5 = { 9, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02" };

OM_uint32 nego_import(OM_uint32 *minor, const void *text, size_t text_len, const void *type, size_t type_len, gss_name_t *out)
{
	gss_buffer_desc b = { text_len, (void *)text };
	gss_OID_desc t = { (OM_uint32)type_len, (void *)type };
#ifdef NEGO_HEIMDAL
	if (nego_heimdal_bad_name(text, text_len, type, type_len)) {
		*minor = 0;
		return GSS_S_BAD_NAME;
	}
#endif
	return gss_import_name(minor, &b, type_len > 0 ? &t : GSS_C_NO_OID, out);
}

/* The text of a principal that a name stands for, by which no other one goes. */
OM_uint32 nego_principal_text(OM_uint32 *minor, gss_name_t name, gss_buffer_t text)
{
#ifdef NEGO_HEIMDAL
	return nego_heimdal_principal_text(minor, name, text);
#else
	return gss_display_name(minor, name, text, NULL);
#endif
}

/* Packs text and type of a name. */
OM_uint32 nego_put_name(OM_uint32 *minor, nego_pack *p, gss_name_t name)
{
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	gss_OID type = GSS_C_NO_OID;
	OM_uint32 major = gss_display_name(minor, name, &b, &type), ignored;
#ifdef NEGO_HEIMDAL
	if (!GSS_ERROR(major) && type != GSS_C_NO_OID && gss_oid_equal(type, GSS_KRB5_NT_PRINCIPAL_NAME)) {
		gss_release_buffer(&ignored, &b);
		major = nego_heimdal_principal_text(minor, name, &b);
	}
#endif
	if (GSS_ERROR(major))
		return major;
	nego_put(p, b.value, b.length);
	nego_put_oid(p, type);
	gss_release_buffer(&ignored, &b);
	return GSS_S_COMPLETE;
}

nego_result nego_name_equal(const void *a, size_t a_len, const void *at, size_t at_len, const void *b, size_t b_len, const void *bt, size_t bt_len)
{
	nego_result r = { 0 };
	gss_name_t x = GSS_C_NO_NAME, y = GSS_C_NO_NAME;
	OM_uint32 minor, ignored;
	int equal = 0;
	OM_uint32 major = nego_import(&minor, a, a_len, at, at_len, &x);
	if (!GSS_ERROR(major))
		major = nego_import(&minor, b, b_len, bt, bt_len, &y);
	if (!GSS_ERROR(major))
		major = gss_compare_name(&minor, x, y, &equal);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	r.flags = equal != 0;
	gss_release_name(&ignored, &x);
	gss_release_name(&ignored, &y);
	return r;
}

/* Heimdal's SPNEGO hands out a name that it frees as well. */
OM_uint32 nego_canonicalize(OM_uint32 *minor, gss_name_t name, gss_OID mech, gss_name_t *out)
{
#ifdef NEGO_HEIMDAL
	if (gss_oid_equal(mech, GSS_SPNEGO_MECHANISM)) {
		*minor = 0;
		return GSS_S_UNAVAILABLE;
	}
#endif
	return gss_canonicalize_name(minor, name, mech, out);
}

/* Imports a name and makes it a name of one mechanism. Both are the caller's to release, once the status is read. */
static OM_uint32 mech_name(OM_uint32 *minor, const void *text, size_t text_len, const void *type, size_t type_len, gss_OID mech,
    gss_name_t *imported, gss_name_t *out)
{
	OM_uint32 major = nego_import(minor, text, text_len, type, type_len, imported);
	if (GSS_ERROR(major))
		return major;
	return nego_canonicalize(minor, *imported, mech, out);
}

nego_result nego_name_canonical(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t imported = GSS_C_NO_NAME, name = GSS_C_NO_NAME;
	OM_uint32 minor, ignored, major = mech_name(&minor, text, text_len, type, type_len, &m, &imported, &name);
	if (!GSS_ERROR(major))
		major = nego_put_name(&minor, &p, name);
	nego_status(&r, major, minor, &m);
	gss_release_name(&ignored, &imported);
	gss_release_name(&ignored, &name);
	nego_out_pack(&r, &p);
	return r;
}

nego_result nego_name_export(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t imported = GSS_C_NO_NAME, name = GSS_C_NO_NAME;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored, major = mech_name(&minor, text, text_len, type, type_len, &m, &imported, &name);
	if (!GSS_ERROR(major))
		major = gss_export_name(&minor, name, &b);
	nego_status(&r, major, minor, &m);
	gss_release_name(&ignored, &imported);
	gss_release_name(&ignored, &name);
	nego_out_gss(&r, &b);
	return r;
}

nego_result nego_name_local(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t name = GSS_C_NO_NAME;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = gss_localname(&minor, name, &m, &b);
	nego_status(&r, major, minor, &m);
	gss_release_name(&ignored, &name);
	nego_out_gss(&r, &b);
	return r;
}
