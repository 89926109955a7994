/*
 * libkrb5 of the same family as the GSSAPI library, and what the two families call differently. The
 * symbols of both must never meet in one process: the pkg-config files of c_mit.go and c_heimdal.go
 * decide about both libraries at once.
 */
#ifndef NEGO_SHIM_KRB5_H
#define NEGO_SHIM_KRB5_H

#include "shim.h"

#ifdef NEGO_HEIMDAL
#include <krb5.h>
#define krb5_free_string(k, s) krb5_xfree(s)
#define krb5_free_default_realm(k, s) krb5_xfree(s)
#define krb5_free_unparsed_name(k, s) krb5_xfree(s)
#define krb5_free_keytab_entry_contents krb5_kt_free_entry
#ifndef __KRB5_H__
#error "the build tag heimdal is set, and krb5.h is not Heimdal's"
#endif
#define SESSION_ENCTYPE(cred) ((cred)->session.keytype)
#define KEY_ENCTYPE(entry) ((entry)->keyblock.keytype)
#define SET_TYPE(principal, t) krb5_principal_set_type(k, principal, t)
#define krb5_sname_match nego_heimdal_sname_match
#define TICKET_FLAGS(cred) nego_heimdal_flags(TicketFlags2int((cred)->flags.b))
uint32_t nego_heimdal_flags(uint32_t flags);
#else
#include <krb5/krb5.h>
#include <profile.h>
#define SESSION_ENCTYPE(cred) ((cred)->keyblock.enctype)
#define KEY_ENCTYPE(entry) ((entry)->key.enctype)
#define SET_TYPE(principal, t) ((principal)->type = (t))
#define TICKET_FLAGS(cred) ((cred)->ticket_flags)
#endif

/* What a ticket says in clear of the key that it is sealed with, and whether a keytab has that key. */
typedef struct ticket_seal {
	krb5_principal server;
	uint32_t kvno;
	krb5_enctype enctype;
	int opens;
} ticket_seal;

#ifdef NEGO_HEIMDAL
krb5_boolean nego_heimdal_sname_match(krb5_context k, krb5_const_principal matching, krb5_const_principal principal);
krb5_error_code nego_heimdal_seal(krb5_context k, krb5_keytab kt, const void *ticket, size_t n, ticket_seal *seal);
#endif

#ifndef NEGO_HEIMDAL
int nego_watch_names_other_cache(void *watch, krb5_context k);
#endif

void nego_krb5_failed(nego_result *r, krb5_context k, krb5_error_code code);

#endif
