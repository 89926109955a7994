#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include "cfloor.h"

static gss_OID_desc spnego = { 6, "\x2b\x06\x01\x05\x05\x02" };

/* A thread, and what is its own. */
struct worker {
	pthread_t thread;
	krb5_context kept; /* while there is one, the library does not read krb5.conf again for each of its own */
	krb5_ccache memory;
	gss_cred_id_t cred;
	int n;              /* tokens to make or to accept */
	const char *name;   /* initiator: service@host */
	int both;           /* acceptor: asks for both names */
	const char *tokens; /* acceptor */
	const size_t *lengths;
	cf_error err;
};

struct cf_program {
	enum cf_kind kind;
	int threads;
	struct worker workers[];
};

static void gss_failed(cf_error *err, const char *call, OM_uint32 major, OM_uint32 minor)
{
	OM_uint32 ignored, more = 0;
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	gss_display_status(&ignored, minor != 0 ? minor : major, minor != 0 ? GSS_C_MECH_CODE : GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &text);
	snprintf(err->text, sizeof err->text, "%s: %.*s", call, (int)text.length, (char *)text.value);
	gss_release_buffer(&ignored, &text);
}

int cf_krb5_failed(krb5_context k, const char *call, krb5_error_code code, cf_error *err)
{
	if (code == 0)
		return 0;
	const char *text = krb5_get_error_message(k, code);
	snprintf(err->text, sizeof err->text, "%s: %s", call, text);
	krb5_free_error_message(k, text);
	return 1;
}

/* Copies the default cache into one in memory and acquires a credential on that. */
static void acquire_in_memory(struct worker *w)
{
	krb5_context k = w->kept;
	krb5_ccache file = NULL;
	krb5_principal client = NULL;
	char *name = NULL;
	if (!cf_krb5_failed(k, "krb5_cc_default", krb5_cc_default(k, &file), &w->err) &&
	    !cf_krb5_failed(k, "krb5_cc_get_principal", krb5_cc_get_principal(k, file, &client), &w->err) &&
	    !cf_krb5_failed(k, "krb5_cc_new_unique", krb5_cc_new_unique(k, "MEMORY", NULL, &w->memory), &w->err) &&
	    !cf_krb5_failed(k, "krb5_cc_initialize", krb5_cc_initialize(k, w->memory, client), &w->err) &&
	    !cf_krb5_failed(k, "krb5_cc_copy_creds", krb5_cc_copy_creds(k, file, w->memory), &w->err) &&
	    !cf_krb5_failed(k, "krb5_cc_get_full_name", krb5_cc_get_full_name(k, w->memory, &name), &w->err)) {
		gss_key_value_element_desc element = { "ccache", name };
		gss_key_value_set_desc store = { 1, &element };
		OM_uint32 minor, major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
		    GSS_C_INITIATE, &store, &w->cred, NULL, NULL);
		if (GSS_ERROR(major))
			gss_failed(&w->err, "gss_acquire_cred_from", major, minor);
	}
	krb5_free_string(k, name);
	krb5_free_principal(k, client);
	if (file != NULL)
		krb5_cc_close(k, file);
}

static void acquire(struct worker *w, gss_cred_usage_t usage)
{
	OM_uint32 minor, major = gss_acquire_cred(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET, usage,
	    &w->cred, NULL, NULL);
	if (GSS_ERROR(major))
		gss_failed(&w->err, "gss_acquire_cred", major, minor);
}

cf_program *cf_open(enum cf_kind kind, int threads, cf_error *err)
{
	cf_program *p = calloc(1, sizeof *p + threads * sizeof p->workers[0]);
	err->text[0] = 0;
	p->kind = kind;
	p->threads = threads;
	for (int i = 0; i < threads && err->text[0] == 0; i++) {
		struct worker *w = &p->workers[i];
		w->cred = GSS_C_NO_CREDENTIAL;
		w->both = kind == CF_INQUIRER;
		if (kind == CF_FLOOR || kind == CF_ACCEPTOR || kind == CF_INQUIRER)
			cf_krb5_failed(NULL, "krb5_init_context", krb5_init_context(&w->kept), &w->err);
		if (w->err.text[0] == 0) {
			switch (kind) {
			case CF_DEFAULT: break;
			case CF_ACQUIRED: acquire(w, GSS_C_INITIATE); break;
			case CF_FLOOR: acquire_in_memory(w); break;
			case CF_ACCEPTOR: case CF_INQUIRER: acquire(w, GSS_C_ACCEPT); break;
			}
		}
		*err = w->err;
	}
	return p; /* for the life of the process */
}

static int initiate(struct worker *w)
{
	OM_uint32 ignored, minor, major;
	gss_name_t target = GSS_C_NO_NAME;
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_buffer_desc name = { strlen(w->name), (char *)w->name }, token = GSS_C_EMPTY_BUFFER;
	major = gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, &target);
	if (GSS_ERROR(major)) {
		gss_failed(&w->err, "gss_import_name", major, minor);
		return 0;
	}
	major = gss_init_sec_context(&minor, w->cred, &ctx, target, &spnego, 0, 0, GSS_C_NO_CHANNEL_BINDINGS,
	    GSS_C_NO_BUFFER, NULL, &token, NULL, NULL);
	if (GSS_ERROR(major))
		gss_failed(&w->err, "gss_init_sec_context", major, minor);
	gss_release_buffer(&ignored, &token);
	gss_release_name(&ignored, &target);
	gss_delete_sec_context(&ignored, &ctx, GSS_C_NO_BUFFER);
	return !GSS_ERROR(major);
}

static OM_uint32 show(OM_uint32 *minor, gss_name_t *name)
{
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	OM_uint32 ignored, major = gss_display_name(minor, *name, &text, NULL);
	gss_release_buffer(&ignored, &text);
	gss_release_name(&ignored, name);
	return major;
}

/* Both names, as texts, and what else a context tells. */
static OM_uint32 inquire(OM_uint32 *minor, gss_ctx_id_t ctx)
{
	gss_name_t from = GSS_C_NO_NAME, to = GSS_C_NO_NAME;
	gss_OID mech = GSS_C_NO_OID;
	OM_uint32 lifetime, flags, major;
	int local, open;
	major = gss_inquire_context(minor, ctx, &from, &to, &lifetime, &mech, &flags, &local, &open);
	if (major == GSS_S_COMPLETE)
		major = show(minor, &from);
	if (major == GSS_S_COMPLETE)
		major = show(minor, &to);
	return major;
}

/* Accepts a token, with the name of its sender as a text, which every server wants; or with both names. */
static int accept(struct worker *w)
{
	OM_uint32 ignored, minor, major;
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_name_t from = GSS_C_NO_NAME;
	gss_buffer_desc in = { *w->lengths, (char *)w->tokens }, out = GSS_C_EMPTY_BUFFER;
	major = gss_accept_sec_context(&minor, &ctx, w->cred, &in, GSS_C_NO_CHANNEL_BINDINGS, w->both ? NULL : &from, NULL, &out, NULL, NULL, NULL);
	if (major == GSS_S_COMPLETE)
		major = w->both ? inquire(&minor, ctx) : show(&minor, &from);
	if (major != GSS_S_COMPLETE)
		gss_failed(&w->err, "gss_accept_sec_context", major, minor);
	gss_release_buffer(&ignored, &out);
	gss_release_name(&ignored, &from);
	gss_delete_sec_context(&ignored, &ctx, GSS_C_NO_BUFFER);
	w->tokens += *w->lengths++;
	return major == GSS_S_COMPLETE;
}

static void *initiate_all(void *arg)
{
	struct worker *w = arg;
	while (w->n > 0 && initiate(w))
		w->n--;
	return NULL;
}

static void *accept_all(void *arg)
{
	struct worker *w = arg;
	while (w->n > 0 && accept(w))
		w->n--;
	return NULL;
}

/* Runs all threads to their end. A single one is the caller's own. */
static void run(cf_program *p, void *(*all)(void *), cf_error *err)
{
	int started = 0;
	err->text[0] = 0;
	if (p->threads == 1) {
		all(&p->workers[0]);
		*err = p->workers[0].err;
		return;
	}
	for (; started < p->threads && err->text[0] == 0; started++) {
		struct worker *w = &p->workers[started];
		if (pthread_create(&w->thread, NULL, all, w) != 0) {
			snprintf(err->text, sizeof err->text, "pthread_create failed");
			break;
		}
	}
	for (int i = 0; i < started; i++) {
		pthread_join(p->workers[i].thread, NULL);
		if (p->workers[i].err.text[0] != 0)
			*err = p->workers[i].err;
	}
}

/* The share of n that thread i has. */
static int share(const cf_program *p, int n, int i) { return n / p->threads + (i < n % p->threads); }

void cf_initiate(cf_program *p, const char *name, int n, cf_error *err)
{
	for (int i = 0; i < p->threads; i++) {
		p->workers[i].name = name;
		p->workers[i].n = share(p, n, i);
	}
	run(p, initiate_all, err);
}

void cf_accept(cf_program *p, const void *data, const size_t *lengths, int n, cf_error *err)
{
	const char *at = data;
	for (int i = 0; i < p->threads; i++) {
		struct worker *w = &p->workers[i];
		w->tokens = at;
		w->lengths = lengths;
		w->n = share(p, n, i);
		for (int k = 0; k < w->n; k++)
			at += *lengths++;
	}
	run(p, accept_all, err);
}
