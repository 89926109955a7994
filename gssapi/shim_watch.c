//go:build cgo && unix && !heimdal

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* secure_getenv, as libkrb5 reads the environment */
#endif
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/vfs.h>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#include <sys/param.h>
#include <sys/mount.h>
#endif
#include "shim_krb5.h"

/* Exported by libkrb5 since 1.0, declared in no installed header. */
extern krb5_error_code krb5_get_default_config_files(char ***files);
extern void krb5_free_config_files(char **files);

#ifdef __GLIBC__
#define environment secure_getenv
#else
#define environment getenv
#endif

#ifdef __APPLE__
#define MODIFIED(st) ((st)->st_mtimespec)
#define CHANGED(st) ((st)->st_ctimespec)
#else
#define MODIFIED(st) ((st)->st_mtim)
#define CHANGED(st) ((st)->st_ctim)
#endif

enum { MAX_FILES = 64 };

/* In nanoseconds: how often a thread looks at the files in any case, and how often the alarm is set where it rings for nothing. */
#define LOOK_AGAIN INT64_C(1000000000)
#define SET_AGAIN INT64_C(10000000)

typedef struct watched {
	char *path;
	int there;
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t modified, changed; /* in nanoseconds */
} watched;

/* Everything that decides what the default credential is, as it was; or krb5.conf alone. */
typedef struct nego_watch {
	krb5_context k;      /* krb5.conf alone: keeps it in memory */
	char *cache;         /* the name of the default cache */
	char *config, *home; /* KRB5_CONFIG and HOME; NULL: not set */
	uid_t uid;
	gid_t gid;
	int n;
	int looked_at; /* of the files, the first ones are looked at each time: whose ticket it is, no event is asked */
	watched files[MAX_FILES];
	_Atomic uint64_t heard; /* how often the alarm had rung before it was set and the files were looked at; 0: it is not set */
	_Atomic int64_t next;   /* when it may be set again */
} nego_watch;

static _Atomic int64_t looks; /* at the other files, for tests */

static char *copy(const char *s) { return s == NULL ? NULL : strdup(s); }

static int same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static void note(watched *f, const struct stat *st)
{
	f->device = st->st_dev;
	f->inode = st->st_ino;
	f->size = st->st_size;
	f->modified = nanoseconds(MODIFIED(st));
	f->changed = nanoseconds(CHANGED(st));
}

static void look(watched *f)
{
	struct stat st;
	f->there = stat(f->path, &st) == 0;
	if (f->there)
		note(f, &st);
}

static int is_same(const watched *a, const watched *b)
{
	if (!a->there || !b->there)
		return a->there == b->there;
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified == b->modified && a->changed == b->changed;
}

static int is_as_it_was(const watched *f)
{
	watched now = { .path = f->path };
	look(&now);
	return is_same(f, &now);
}

int nego_file_system(const char *path)
{
#if defined(__linux__)
	struct statfs fs;
	if (statfs(path, &fs) != 0)
		return NEGO_FS_REMOTE;
	switch ((unsigned long)fs.f_type & 0xffffffff) {
	case 0xef53:     /* ext2, ext3, ext4 */
	case 0x58465342: /* XFS */
	case 0x9123683e: /* btrfs */
	case 0x01021994: /* tmpfs */
	case 0x858458f6: /* ramfs */
	case 0xf2f52010: /* F2FS */
	case 0x2fc12fc1: /* ZFS */
	case 0xca451a4e: /* bcachefs */
		return NEGO_FS_LOCAL;
	case 0x794c7630: /* overlayfs */
		return NEGO_FS_LAYERED;
	}
	return NEGO_FS_REMOTE;
#elif defined(MNT_LOCAL)
	struct statfs fs;
	return statfs(path, &fs) == 0 && (fs.f_flags & MNT_LOCAL) != 0 ? NEGO_FS_LOCAL : NEGO_FS_REMOTE;
#else
	(void)path;
	return NEGO_FS_REMOTE;
#endif
}

/*
 * Reports whether stat asks this machine alone: elsewhere a file may have changed already. Where there is no file, the next
 * directory above it counts, where it could appear.
 */
static int is_near(const char *path)
{
	char *at = strdup(path), *slash;
	struct stat st;
	while (at != NULL && stat(at, &st) != 0 && (errno == ENOENT || errno == ENOTDIR) && (slash = strrchr(at, '/')) != NULL)
		slash[slash == at] = '\0';
	int near = at != NULL && nego_file_system(at) != NEGO_FS_REMOTE;
	free(at);
	return near;
}

/* Adds a file, or the place where there is none. Takes the path over. */
static watched *add(nego_watch *w, char *path)
{
	if (path == NULL || w->n == MAX_FILES) {
		free(path);
		return NULL;
	}
	watched *f = &w->files[w->n++];
	f->path = path;
	look(f);
	return is_near(path) ? f : NULL;
}

static char *join(const char *directory, const char *name)
{
	size_t n = strlen(directory) + strlen(name) + 2;
	char *s = malloc(n);
	if (s != NULL)
		snprintf(s, n, "%s/%s", directory, name);
	return s;
}

static int add_config(nego_watch *w, char *path);

/* What libkrb5 does not read of a directory does no harm here. */
static int add_directory(nego_watch *w, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int ok = d != NULL;
	while (ok && (e = readdir(d)) != NULL)
		ok = e->d_name[0] == '.' || add_config(w, join(path, e->d_name));
	if (d != NULL)
		closedir(d);
	return ok;
}

/* The name behind a directive of krb5.conf, which begins its line; NULL where the line is another. */
static char *operand(char *line, const char *directive)
{
	size_t n = strlen(directive);
	if (strncmp(line, directive, n) != 0 || !isspace((unsigned char)line[n]))
		return NULL;
	char *s = line + n, *end = line + strlen(line);
	while (isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

/* Adds a file or a directory of krb5.conf and what it includes. */
static int add_config(nego_watch *w, char *path)
{
	struct stat st;
	char line[2048], *s; /* of libkrb5's own size */
	watched *added = add(w, path);
	if (added == NULL)
		return 0;
	if (!added->there)
		return 1;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_directory(w, path);
	FILE *f = fopen(path, "re");
	int ok = f != NULL;
	while (ok && fgets(line, sizeof line, f) != NULL) {
		if ((s = operand(line, "include")) != NULL)
			ok = add_config(w, strdup(s));
		else if ((s = operand(line, "includedir")) != NULL)
			ok = add_config(w, strdup(s));
		else if (operand(line, "module") != NULL)
			ok = 0; /* the configuration is wherever that module has it */
	}
	if (f != NULL)
		fclose(f);
	return ok;
}

static char *parsed(const char *file)
{
	const_profile_filespec_t one[] = { file, NULL };
	profile_t p = NULL;
	char *text = NULL;
	if (profile_init(one, &p) == 0) {
		profile_flush_to_buffer(p, &text);
		profile_release(p);
	}
	return text;
}

/*
 * Reports whether libkrb5 has a file of krb5.conf as it is. It parses one again when that itself has changed, and so a context
 * that is alive can be older than what the file includes. Under another name it is parsed in any case.
 */
static int is_current(const char *file)
{
	char *alias = join(file[0] == '/' ? "/." : ".", file);
	char *has = parsed(file), *is = alias == NULL ? NULL : parsed(alias);
	int current = has != NULL && is != NULL && strcmp(has, is) == 0;
	if (has != NULL)
		profile_free_buffer(NULL, has);
	if (is != NULL)
		profile_free_buffer(NULL, is);
	free(alias);
	return current;
}

static int add_configs(nego_watch *w)
{
	char **files = NULL;
	int ok = krb5_get_default_config_files(&files) == 0;
	for (char **f = files; ok && *f != NULL; f++) {
		char *path = strncmp(*f, "~/", 2) != 0 ? strdup(*f) : w->home != NULL ? join(w->home, *f + 2) : NULL;
		int first = w->n;
		ok = add_config(w, path) && (!w->files[first].there || is_current(path));
	}
	if (files != NULL)
		krb5_free_config_files(files);
	return ok;
}

/* Without this file, and without plug-ins for it, the target has no say in whose tickets are used. */
static int add_identity(nego_watch *w)
{
	struct passwd pw, *found = NULL;
	char buffer[8192];
	const char *home = w->home;
	if (home == NULL && getpwuid_r(w->uid, &pw, buffer, sizeof buffer, &found) == 0 && found != NULL)
		home = pw.pw_dir;
	if (home == NULL)
		return 1;
	watched *f = add(w, join(home, ".k5identity"));
	return f != NULL && !f->there;
}

static int has_selectors(krb5_context k)
{
	const char *path[] = { "plugins", "ccselect", "module", NULL };
	profile_t profile = NULL;
	char **values = NULL;
	if (krb5_get_profile(k, &profile) != 0)
		return 1;
	int there = profile_get_values(profile, path, &values) == 0;
	if (there)
		profile_free_list(values);
	profile_release(profile);
	return there;
}

static int add_cache(nego_watch *w, krb5_context k)
{
	krb5_ccache cc = NULL;
	watched *f = NULL;
	w->cache = copy(krb5_cc_default_name(k));
	if (w->cache == NULL || krb5_cc_default(k, &cc) != 0)
		return 0;
	if (strcmp(krb5_cc_get_type(k, cc), "FILE") == 0)
		f = add(w, strdup(krb5_cc_get_name(k, cc)));
	w->looked_at = w->n;
	krb5_cc_close(k, cc);
	return f != NULL && f->there;
}

/*
 * Reports whether every file is older than the clock of its file system stands still, so that it will have another time when it
 * changes again: a tick of the kernel's, or two seconds where the times are whole ones.
 */
static int is_settled(const nego_watch *w)
{
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return 0;
	int64_t now = nanoseconds(t);
	for (int i = 0; i < w->n; i++) {
		const watched *f = &w->files[i];
		int64_t last = f->modified > f->changed ? f->modified : f->changed;
		if (f->there && now - last < (f->changed % 1000000000 == 0 ? 2000000000 : 20000000))
			return 0;
	}
	return 1;
}

int64_t nego_watch_looks(void) { return looks; }

static int are_as_they_were(const nego_watch *w, int from, int to)
{
	for (int i = from; i < to; i++)
		if (!is_as_it_was(&w->files[i]))
			return 0;
	return 1;
}

static int64_t coarse_time(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
	struct timespec t;
	return clock_gettime(CLOCK_MONOTONIC_COARSE, &t) == 0 ? nanoseconds(t) : 0;
#else
	return 0;
#endif
}

/*
 * Sets the alarm, which had rung so often before that, unless it was set just now. What happened before it was set shows in the
 * files, which are looked at behind it. Reports whether they are as they were.
 */
static int set_alarm(nego_watch *w, uint64_t rings, int64_t now)
{
	int64_t next = w->next;
	if (now < next || !atomic_compare_exchange_strong(&w->next, &next, now + SET_AGAIN))
		return 1;
	for (int i = w->looked_at; i < w->n; i++) {
		if (!nego_alarm_watch(w->files[i].path)) {
			w->heard = 0;
			w->next = now + LOOK_AGAIN;
			return 1;
		}
	}
	if (!are_as_they_were(w, w->looked_at, w->n))
		return 0;
	w->heard = rings;
	return 1;
}

static int is_same_process(const nego_watch *w)
{
	return same(environment("KRB5_CONFIG"), w->config) && same(environment("HOME"), w->home) && geteuid() == w->uid && getegid() == w->gid;
}

/*
 * Reports whether a file, the environment or the user of the process is another than it was. What no event tells of other
 * files than the first, such as a write through mmap or a root that this thread has of its own, is seen within a second.
 */
int nego_watch_changed(void *watch)
{
	static _Thread_local int64_t looked[2]; /* when, at krb5.conf alone and at all */
	nego_watch *w = watch;
	if (!is_same_process(w) || !are_as_they_were(w, 0, w->looked_at))
		return 1;
	uint64_t rings = nego_alarm_rings();
	int64_t now = coarse_time(), *last = &looked[w->looked_at > 0];
	if (rings != 0 && rings == w->heard && now - *last < LOOK_AGAIN)
		return 0;
	looks++;
	*last = now;
	return !are_as_they_were(w, w->looked_at, w->n) || (rings != 0 && !set_alarm(w, rings, now));
}

/* The default cache as libkrb5 has it now, from the environment or from krb5.conf. */
int nego_watch_names_other_cache(void *watch, krb5_context k)
{
	nego_watch *w = watch;
	return krb5_cc_set_default_name(k, NULL) != 0 || !same(krb5_cc_default_name(k), w->cache);
}

nego_result nego_watch_free(void *watch)
{
	nego_result r = { 0 };
	nego_watch *w = watch;
	for (int i = 0; i < w->n; i++)
		free(w->files[i].path);
	krb5_free_context(w->k);
	free(w->cache);
	free(w->config);
	free(w->home);
	free(w);
	nego_died();
	return r;
}

static nego_watch *new_watch(void)
{
	nego_watch *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	nego_born();
	w->config = copy(environment("KRB5_CONFIG"));
	w->home = copy(environment("HOME"));
	w->uid = geteuid();
	w->gid = getegid();
	return w;
}

/* Notes what is to be watched; flags say why that cannot be. Without the credential, krb5.conf is kept in memory as well. */
nego_result nego_watch_new(int credential)
{
	nego_result r = { .flags = NEGO_SNAPSHOT_NEVER };
	krb5_context k = NULL;
	nego_watch *w = new_watch();
	if (w == NULL)
		return r;
	int ok = krb5_init_context(&k) == 0 && (!credential || add_cache(w, k)) && add_configs(w) &&
	    (!credential || (add_identity(w) && !has_selectors(k)));
	if (ok) {
		r.flags = NEGO_SNAPSHOT_LATER;
		if (is_settled(w))
			r.box = w;
	}
	if (!credential) {
		w->k = k;
		if (r.box != NULL && nego_watch_changed(w))
			r.box = NULL; /* what is in memory may be older than what was looked at */
	} else {
		krb5_free_context(k);
	}
	if (r.box == NULL)
		nego_watch_free(w);
	return r;
}

/*
 * Opens the one file of a watch for reading, if that and the process are what they were, and returns -1 otherwise: a path may lead
 * elsewhere for a moment, and there is no other way to know what may be read.
 */
int nego_watch_open(void *watch)
{
	nego_watch *w = watch;
	watched is = { .there = 1 };
	struct stat st;
	int fd = is_same_process(w) ? open(w->files[0].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0) {
		note(&is, &st);
		if (is_same(&w->files[0], &is))
			return fd;
	}
	close(fd);
	return -1;
}

/* Notes one file, for nego_watch_open. */
nego_result nego_watch_file(const char *path)
{
	nego_result r = { .flags = NEGO_SNAPSHOT_NEVER };
	nego_watch *w = new_watch();
	if (w == NULL)
		return r;
	watched *f = add(w, strdup(path));
	if (f != NULL) {
		r.flags = NEGO_SNAPSHOT_LATER;
		if (f->there && is_settled(w))
			r.box = w;
	}
	if (r.box == NULL)
		nego_watch_free(w);
	return r;
}
