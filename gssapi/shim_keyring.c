//go:build cgo && unix && !heimdal

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim_krb5.h"

#ifdef __linux__
#define OPEN_FILES "/proc/self/fd/"
#else
#define OPEN_FILES "/dev/fd/"
#endif

/* The keys of a keytab file, in a keytab in memory. */
typedef struct nego_keys {
	krb5_context k; /* without krb5.conf, which it would keep in memory as it is now */
	krb5_keytab kt;
	void *watch; /* the file */
} nego_keys;

static krb5_context context_alone(void)
{
	krb5_context k = NULL;
	profile_t empty = NULL;
	if (profile_init(NULL, &empty) == 0) {
		krb5_init_context_profile(empty, 0, &k);
		profile_release(empty);
	}
	return k;
}

static int same_key(const krb5_keyblock *a, const krb5_keyblock *b)
{
	return a->enctype == b->enctype && a->length == b->length && memcmp(a->contents, b->contents, a->length) == 0;
}

/*
 * Reports whether each ticket that a key of the service opens is told to be for the same name: that of the first entry with its key.
 * A name with a host admits fewer of them, as the library has it, so then all have to be of one name.
 */
static int is_single(krb5_context k, const krb5_keytab_entry *all, size_t n, krb5_const_principal service, int host)
{
	const krb5_keytab_entry *first = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!krb5_sname_match(k, service, all[i].principal))
			continue;
		if (first == NULL)
			first = &all[i];
		if (krb5_principal_compare(k, first->principal, all[i].principal))
			continue;
		size_t before = host ? i : 0;
		while (before < i && !(same_key(&all[before].key, &all[i].key) && krb5_sname_match(k, service, all[before].principal)))
			before++;
		if (before == i)
			return 0;
	}
	return first != NULL;
}

typedef struct keys_list {
	krb5_keytab_entry *all;
	size_t n;
} keys_list;

static int list_keys(krb5_context k, krb5_keytab kt, keys_list *l)
{
	krb5_keytab_entry *more, entry;
	krb5_kt_cursor cursor;
	krb5_error_code code = 0;
	int ok = krb5_kt_start_seq_get(k, kt, &cursor) == 0;
	if (!ok)
		return 0;
	while (ok && (code = krb5_kt_next_entry(k, kt, &entry, &cursor)) == 0) {
		more = realloc(l->all, (l->n + 1) * sizeof *more);
		if (more != NULL) {
			l->all = more;
			l->all[l->n++] = entry;
		} else {
			krb5_free_keytab_entry_contents(k, &entry);
			ok = 0;
		}
	}
	krb5_kt_end_seq_get(k, kt, &cursor);
	return ok && code == KRB5_KT_END;
}

/* Which of several equal keys the library takes is a question of their order, and a keytab in memory has the last one first. */
static int add_keys(krb5_context k, krb5_keytab kt, const keys_list *l)
{
	int ok = 1;
	for (size_t i = l->n; i > 0; i--)
		ok = ok && krb5_kt_add_entry(k, kt, &l->all[i - 1]) == 0;
	return ok;
}

/* Reports whether the library would read something else, or nothing. */
static int has_changed(const nego_keys *keys)
{
	int fd = nego_watch_open(keys->watch);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/*
 * Takes the keys of a keytab that is a file of this machine. In out are the name of the keytab in memory, and whether all tickets for
 * the service, on the host if that is one, will be told to be for the same name; an empty service is any. Where there is no
 * box, flags say why. No name of a keytab comes twice: what the library has lost of one that had it would be found again.
 */
nego_result nego_keys_new(const void *name, size_t name_len, const void *service, size_t service_len, int host)
{
	static _Atomic unsigned long long made;
	nego_result r = { .flags = NEGO_SNAPSHOT_NEVER };
	nego_pack p = { 0 };
	keys_list list = { 0 };
	krb5_keytab file = NULL;
	krb5_principal of = NULL;
	int fd = -1;
	char memory[64], opened[64], *asked = strndup(name, name_len), *s = strndup(service, service_len);
	nego_keys *keys = calloc(1, sizeof *keys);
	if (asked == NULL || s == NULL || keys == NULL) {
		free(asked);
		free(s);
		free(keys);
		return r;
	}
	nego_born();
	snprintf(memory, sizeof memory, "MEMORY:nego-%p-%llu", (void *)&made, ++made);
	int ok = strncmp(asked, "FILE:", 5) == 0 && (keys->k = context_alone()) != NULL &&
	    (s[0] == '\0' || krb5_build_principal(keys->k, &of, 0, "", s, "", NULL) == 0);
	if (ok) {
		nego_result watch = nego_watch_file(asked + 5);
		keys->watch = watch.box;
		r.flags = watch.flags;
		ok = keys->watch != NULL;
	}
	if (ok) {
		if (of != NULL)
			of->type = KRB5_NT_SRV_HST;
		r.flags = NEGO_SNAPSHOT_LATER;
		fd = nego_watch_open(keys->watch);
		snprintf(opened, sizeof opened, "FILE:" OPEN_FILES "%d", fd);
		ok = fd >= 0 && krb5_kt_resolve(keys->k, opened, &file) == 0 && list_keys(keys->k, file, &list) &&
		    krb5_kt_resolve(keys->k, memory, &keys->kt) == 0 && add_keys(keys->k, keys->kt, &list) && !has_changed(keys);
		nego_put(&p, memory, strlen(memory));
		nego_put_u32(&p, (uint32_t)is_single(keys->k, list.all, list.n, of, host));
	}
	if (fd >= 0)
		close(fd);
	while (list.n > 0)
		krb5_free_keytab_entry_contents(keys->k, &list.all[--list.n]);
	free(list.all);
	if (file != NULL)
		krb5_kt_close(keys->k, file);
	krb5_free_principal(keys->k, of);
	free(asked);
	free(s);
	if (ok) {
		nego_out_pack(&r, &p);
		r.box = keys;
	} else {
		free(p.p);
		nego_keys_free(keys);
	}
	return r;
}

int nego_keys_changed(void *keys) { return has_changed(keys); }

/* Credentials on it have it for as long as they live. */
nego_result nego_keys_free(void *p)
{
	nego_result r = { 0 };
	nego_keys *keys = p;
	if (keys->kt != NULL)
		krb5_kt_close(keys->k, keys->kt);
	if (keys->watch != NULL)
		nego_watch_free(keys->watch);
	krb5_free_context(keys->k);
	free(keys);
	nego_died();
	return r;
}
