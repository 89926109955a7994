//go:build cgo && unix

#include "shim.h"

static void put_set(nego_pack *p, gss_OID_set set)
{
	size_t n = set == GSS_C_NO_OID_SET ? 0 : set->count;
	nego_put_u32(p, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		nego_put_oid(p, &set->elements[i]);
}

/* A plug-in need not have each of the functions. */
static int absent(OM_uint32 major) { return GSS_ROUTINE_ERROR(major) == GSS_S_UNAVAILABLE; }

/* Name in SASL, name, description; attributes, attributes that the library knows, types of names. */
nego_result nego_mech_info(const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_buffer_desc sasl = GSS_C_EMPTY_BUFFER, name = GSS_C_EMPTY_BUFFER, description = GSS_C_EMPTY_BUFFER;
	gss_OID_set attrs = GSS_C_NO_OID_SET, known = GSS_C_NO_OID_SET, types = GSS_C_NO_OID_SET;
	OM_uint32 minor, ignored, major = gss_inquire_saslname_for_mech(&minor, &m, &sasl, &name, &description);
	if (!GSS_ERROR(major) || absent(major))
		major = gss_inquire_attrs_for_mech(&minor, &m, &attrs, &known);
	if (!GSS_ERROR(major) || absent(major))
		major = gss_inquire_names_for_mech(&minor, &m, &types);
	if (absent(major))
		major = GSS_S_COMPLETE;
	nego_status(&r, major, minor, &m);
	nego_put(&p, sasl.value, sasl.length);
	nego_put(&p, name.value, name.length);
	nego_put(&p, description.value, description.length);
	put_set(&p, attrs);
	put_set(&p, known);
	put_set(&p, types);
	gss_release_buffer(&ignored, &sasl);
	gss_release_buffer(&ignored, &name);
	gss_release_buffer(&ignored, &description);
	gss_release_oid_set(&ignored, &attrs);
	gss_release_oid_set(&ignored, &known);
	gss_release_oid_set(&ignored, &types);
	nego_out_pack(&r, &p);
	return r;
}

/* An OID set from packed OIDs; none stands for no set. The caller releases it. */
static OM_uint32 make_set(OM_uint32 *minor, const void *packed, size_t n, gss_OID_set *set)
{
	OM_uint32 major = GSS_S_COMPLETE;
	if (n > 0)
		major = gss_create_empty_oid_set(minor, set);
	for (const unsigned char *p = packed, *end = p + n; !GSS_ERROR(major) && p < end; p += 1 + p[0]) {
		gss_OID_desc oid = { p[0], (void *)(p + 1) };
		major = gss_add_oid_set_member(minor, &oid, set);
	}
	return major;
}

nego_result nego_mechs_by_attrs(const void *desired, size_t desired_len, const void *except, size_t except_len, const void *critical, size_t critical_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_set d = GSS_C_NO_OID_SET, e = GSS_C_NO_OID_SET, c = GSS_C_NO_OID_SET, mechs = GSS_C_NO_OID_SET;
	OM_uint32 minor = 0, ignored, major = make_set(&minor, desired, desired_len, &d);
	if (!GSS_ERROR(major))
		major = make_set(&minor, except, except_len, &e);
	if (!GSS_ERROR(major))
		major = make_set(&minor, critical, critical_len, &c);
	if (!GSS_ERROR(major))
		major = gss_indicate_mechs_by_attrs(&minor, d, e, c, &mechs);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; mechs != GSS_C_NO_OID_SET && i < mechs->count; i++)
		nego_put_oid(&p, &mechs->elements[i]);
	gss_release_oid_set(&ignored, &d);
	gss_release_oid_set(&ignored, &e);
	gss_release_oid_set(&ignored, &c);
	gss_release_oid_set(&ignored, &mechs);
	nego_out_pack(&r, &p);
	return r;
}

/* Name, short and long description of an attribute of mechanisms. */
nego_result nego_mech_attr(const void *attr, size_t attr_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_desc a = { (OM_uint32)attr_len, (void *)attr };
	gss_buffer_desc name = GSS_C_EMPTY_BUFFER, brief = GSS_C_EMPTY_BUFFER, full = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored, major = gss_display_mech_attr(&minor, &a, &name, &brief, &full);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	nego_put(&p, name.value, name.length);
	nego_put(&p, brief.value, brief.length);
	nego_put(&p, full.value, full.length);
	gss_release_buffer(&ignored, &name);
	gss_release_buffer(&ignored, &brief);
	gss_release_buffer(&ignored, &full);
	nego_out_pack(&r, &p);
	return r;
}
