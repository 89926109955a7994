//go:build cgo && unix

#include <sys/types.h>
#include "shim.h"

/* A name in the text of another type. */
nego_result nego_name_display(const void *text, size_t text_len, const void *type, size_t type_len, const void *as, size_t as_len)
{
	nego_result r = { 0 };
#ifdef NEGO_HEIMDAL
	(void)text, (void)text_len, (void)type, (void)type_len, (void)as, (void)as_len;
	r.major = GSS_S_UNAVAILABLE;
#else
	gss_OID_desc t = { (OM_uint32)as_len, (void *)as };
	gss_name_t name = GSS_C_NO_NAME;
	gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = gss_display_name_ext(&minor, name, &t, &b);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	gss_release_name(&ignored, &name);
	nego_out_gss(&r, &b);
#endif
	return r;
}

nego_result nego_name_mechs(const void *text, size_t text_len, const void *type, size_t type_len)
{
	nego_result r = { 0 };
	nego_pack p = { 0 };
	gss_name_t name = GSS_C_NO_NAME;
	gss_OID_set set = GSS_C_NO_OID_SET;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = gss_inquire_mechs_for_name(&minor, name, &set);
	nego_status(&r, major, minor, GSS_C_NO_OID);
	for (size_t i = 0; set != GSS_C_NO_OID_SET && i < set->count; i++)
		nego_put_oid(&p, &set->elements[i]);
	gss_release_name(&ignored, &name);
	gss_release_oid_set(&ignored, &set);
	nego_out_pack(&r, &p);
	return r;
}

/* In flags whether the mechanism lets the name log in to an account. */
nego_result nego_name_may_log_in(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len,
    const void *user, size_t user_len)
{
	nego_result r = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t imported = GSS_C_NO_NAME, name = GSS_C_NO_NAME, account = GSS_C_NO_NAME;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &imported);
	if (!GSS_ERROR(major))
		major = nego_canonicalize(&minor, imported, &m, &name);
	if (!GSS_ERROR(major))
		major = nego_import(&minor, user, user_len, GSS_C_NT_USER_NAME->elements, GSS_C_NT_USER_NAME->length, &account);
	if (!GSS_ERROR(major)) {
		major = gss_authorize_localname(&minor, name, account);
		r.flags = major == GSS_S_COMPLETE;
		/* MIT's mechglue asks an attribute of the name after the mechanism has said no, and reports that there is none. */
		if (GSS_ROUTINE_ERROR(major) == GSS_S_UNAUTHORIZED || GSS_ROUTINE_ERROR(major) == GSS_S_UNAVAILABLE)
			major = GSS_S_COMPLETE;
	}
	nego_status(&r, major, minor, &m);
	gss_release_name(&ignored, &imported);
	gss_release_name(&ignored, &name);
	gss_release_name(&ignored, &account);
	return r;
}

/* In flags the number of the account that a name has. */
nego_result nego_name_uid(const void *text, size_t text_len, const void *type, size_t type_len, const void *mech, size_t mech_len)
{
	nego_result r = { 0 };
	gss_OID_desc m = { (OM_uint32)mech_len, (void *)mech };
	gss_name_t name = GSS_C_NO_NAME;
	uid_t uid = 0;
	OM_uint32 minor, ignored, major = nego_import(&minor, text, text_len, type, type_len, &name);
	if (!GSS_ERROR(major))
		major = gss_pname_to_uid(&minor, name, &m, &uid);
	nego_status(&r, major, minor, &m);
	r.flags = (uint32_t)uid;
	gss_release_name(&ignored, &name);
	return r;
}
