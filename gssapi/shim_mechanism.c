//go:build cgo && unix

#include "shim.h"

nego_result nego_mechs(void)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_OID_set set = GSS_C_NO_OID_SET;
	OM_uint32 minor, ignored, major = gss_indicate_mechs(&minor, &set);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; set != GSS_C_NO_OID_SET && i < set->count; i++)
		nego_put_oid(&p, &set->elements[i]);
	gss_release_oid_set(&ignored, &set);
	nego_out_pack(&r, &p);
	return r;
}

nego_result nego_mech_by_sasl_name(const void *name, size_t name_len)
{
	nego_result r = { 0 };
	gss_buffer_desc b = { name_len, (void *)name };
	gss_OID mech = GSS_C_NO_OID;
	OM_uint32 minor, major = gss_inquire_mech_for_saslname(&minor, &b, &mech);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	if (!GSS_ERROR(major) && mech != GSS_C_NO_OID) {
		r.mech = mech->elements;
		r.mech_len = mech->length;
	}
	return r;
}
