#ifndef NEGO_BENCH_CFLOOR_H
#define NEGO_BENCH_CFLOOR_H

#include <stddef.h>
#include <krb5.h>

/* What a C program calls the library with. */
enum cf_kind {
	CF_DEFAULT,  /* initiator, no credential: the library's default each time */
	CF_ACQUIRED, /* initiator, a credential acquired once on the default cache */
	CF_FLOOR,    /* initiator, a credential acquired once on a cache in memory, and a krb5_context kept alive */
	CF_ACCEPTOR, /* acceptor, a credential acquired once on the default keytab, and a krb5_context kept alive */
	CF_INQUIRER  /* the same, which asks for both names as nego does: of the context once it is complete */
};

typedef struct { char text[512]; } cf_error; /* text[0] == 0: none */

/* Whether code is a failure, which err then has the words for. */
int cf_krb5_failed(krb5_context k, const char *call, krb5_error_code code, cf_error *err);

typedef struct cf_program cf_program;

/* A program of so many threads, each with a credential, a cache and a krb5_context of its own. */
cf_program *cf_open(enum cf_kind kind, int threads, cf_error *err);

/* n initiator tokens for service@host, divided among the threads. The name is imported for each. */
void cf_initiate(cf_program *p, const char *service, int n, cf_error *err);

/* Accepts n tokens, which stand one after the other in data, divided among the threads. */
void cf_accept(cf_program *p, const void *data, const size_t *lengths, int n, cf_error *err);

/*
 * Gets a ticket for each of n services into the default cache, which has a TGT: the first one's last, as the newest one,
 * with padding bytes of authorization data in it.
 */
void cf_fill(const char *const *services, int n, size_t padding, cf_error *err);

#endif
