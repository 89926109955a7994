//go:build cgo && unix && !heimdal

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "shim_krb5.h"

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

/* Copies all keys. Which of several equal ones the library takes is a question of their order, and memory has the last one first. */
static int copy_keys(krb5_context k, krb5_keytab from, krb5_keytab to)
{
	krb5_keytab_entry *all = NULL, *more, entry;
	krb5_kt_cursor cursor;
	size_t n = 0;
	int ok = 1;
	if (krb5_kt_start_seq_get(k, from, &cursor) != 0)
		return 0;
	krb5_error_code code = 0;
	while (ok && (code = krb5_kt_next_entry(k, from, &entry, &cursor)) == 0) {
		more = realloc(all, (n + 1) * sizeof *all);
		if (more != NULL) {
			all = more;
			all[n++] = entry;
		} else {
			krb5_free_keytab_entry_contents(k, &entry);
			ok = 0;
		}
	}
	krb5_kt_end_seq_get(k, from, &cursor);
	ok = ok && code == KRB5_KT_END;
	while (n > 0) {
		ok = ok && krb5_kt_add_entry(k, to, &all[--n]) == 0;
		krb5_free_keytab_entry_contents(k, &all[n]);
	}
	free(all);
	return ok;
}

/*
 * Takes the keys of a keytab that is a file of this machine. The name of the keytab in memory is in out; where there is no box, flags
 * say why. No name comes twice: what the library has lost of one that had it would be found again.
 */
nego_result nego_keys_new(const void *name, size_t name_len)
{
	static _Atomic unsigned long long made;
	nego_result r = { .flags = NEGO_SNAPSHOT_NEVER };
	nego_pack p = { 0 };
	krb5_keytab file = NULL;
	char memory[64], *asked = strndup(name, name_len);
	nego_keys *keys = calloc(1, sizeof *keys);
	if (asked == NULL || keys == NULL) {
		free(asked);
		free(keys);
		return r;
	}
	nego_born();
	snprintf(memory, sizeof memory, "MEMORY:nego-%p-%llu", (void *)&made, ++made);
	int ok = strncmp(asked, "FILE:", 5) == 0 && (keys->k = context_alone()) != NULL;
	if (ok) {
		nego_result watch = nego_watch_file(asked + 5);
		keys->watch = watch.box;
		r.flags = watch.flags;
		ok = keys->watch != NULL;
	}
	if (ok) {
		r.flags = NEGO_SNAPSHOT_LATER;
		ok = krb5_kt_resolve(keys->k, asked, &file) == 0 && krb5_kt_resolve(keys->k, memory, &keys->kt) == 0 &&
		    copy_keys(keys->k, file, keys->kt) && !nego_watch_changed(keys->watch);
	}
	if (file != NULL)
		krb5_kt_close(keys->k, file);
	free(asked);
	if (ok) {
		nego_put(&p, memory, strlen(memory));
		nego_out_pack(&r, &p);
		r.box = keys;
	} else {
		nego_keys_free(keys);
	}
	return r;
}

int nego_keys_changed(void *keys) { return nego_watch_changed(((nego_keys *)keys)->watch); }

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
