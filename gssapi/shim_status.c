//go:build cgo && unix

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "shim.h"

static atomic_int_fast64_t live;

void nego_born(void) { atomic_fetch_add_explicit(&live, 1, memory_order_relaxed); }
void nego_died(void) { atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed); }
int64_t nego_live(void) { return atomic_load_explicit(&live, memory_order_relaxed); }

void nego_text(nego_result *r, const char *p, size_t n)
{
	while (n > 0 && p[n - 1] == '\0')
		n--;
	if (n == 0)
		return;
	size_t old = r->text_len, sep = old > 0 ? 2 : 0;
	char *t = realloc(r->text, old + sep + n);
	if (t == NULL)
		return;
	if (old == 0)
		nego_born();
	else
		memcpy(t + old, "; ", sep);
	memcpy(t + old + sep, p, n);
	r->text = t;
	r->text_len = old + sep + n;
}

void nego_status(nego_result *r, OM_uint32 major, OM_uint32 minor, gss_OID mech)
{
	r->major = major;
	r->minor = minor;
	if (!GSS_ERROR(major) || minor == 0)
		return;
	OM_uint32 more = 0, ignored;
	do {
		gss_buffer_desc b = GSS_C_EMPTY_BUFFER;
		if (GSS_ERROR(gss_display_status(&ignored, minor, GSS_C_MECH_CODE, mech, &more, &b)))
			break;
		/* Mechanisms also fail with a minor status of zero, whose text com_err has from strerror. */
		if (b.length != strlen(strerror(0)) || memcmp(b.value, strerror(0), b.length) != 0)
			nego_text(r, b.value, b.length);
		gss_release_buffer(&ignored, &b);
	} while (more != 0);
}

#ifndef NEGO_HEIMDAL
struct status {
	nego_result *r;
	OM_uint32 major, minor;
};

static void *status_thread(void *p)
{
	struct status *s = p;
	nego_status(s->r, s->major, s->minor, GSS_C_NO_OID);
	return NULL;
}

/*
 * For calls that fail without a text of their own. This thread may still have one for the same number, of another
 * failure and with another's name in it; a new thread has the general one.
 */
void nego_status_general(nego_result *r, OM_uint32 major, OM_uint32 minor)
{
	struct status s = { r, major, minor };
	pthread_t t;
	sigset_t all, old;
	r->major = major;
	r->minor = minor;
	if (!GSS_ERROR(major) || minor == 0)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads of Go */
	if (pthread_create(&t, NULL, status_thread, &s) == 0)
		pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
#endif

void nego_out_gss(nego_result *r, gss_buffer_t b)
{
	if (b->value == NULL)
		return;
	r->out = b->value;
	r->out_len = b->length;
	r->gss_out = 1;
	nego_born();
}

void nego_out_pack(nego_result *r, nego_pack *p)
{
	if (p->failed) {
		free(p->p);
		r->major = GSS_S_FAILURE;
		nego_text(r, "out of memory", 13);
		return;
	}
	if (p->p == NULL)
		return;
	r->out = p->p;
	r->out_len = p->n;
	nego_born();
}

void nego_put(nego_pack *p, const void *s, size_t n)
{
	nego_put_u32(p, (uint32_t)n);
	if (p->failed || n == 0)
		return;
	if (p->cap - p->n < n) {
		char *q = realloc(p->p, p->n + n + 256);
		if (q == NULL) {
			p->failed = 1;
			return;
		}
		p->p = q;
		p->cap = p->n + n + 256;
	}
	memcpy(p->p + p->n, s, n);
	p->n += n;
}

void nego_put_u32(nego_pack *p, uint32_t v)
{
	if (p->failed)
		return;
	if (p->cap - p->n < sizeof v) {
		char *q = realloc(p->p, p->n + 256);
		if (q == NULL) {
			p->failed = 1;
			return;
		}
		p->p = q;
		p->cap = p->n + 256;
	}
	memcpy(p->p + p->n, &v, sizeof v);
	p->n += sizeof v;
}

void nego_put_oid(nego_pack *p, gss_OID oid)
{
	if (oid == GSS_C_NO_OID)
		nego_put(p, "", 0);
	else
		nego_put(p, oid->elements, oid->length);
}

void nego_release(void *out, size_t out_len, int gss_out, void *text)
{
	if (out != NULL) {
		nego_died();
		if (gss_out) {
			OM_uint32 ignored;
			gss_buffer_desc b = { out_len > 0 ? out_len : 1, out }; /* MIT frees no buffer of length 0 */
			gss_release_buffer(&ignored, &b);
		} else {
			free(out);
		}
	}
	if (text != NULL) {
		nego_died();
		free(text);
	}
}
