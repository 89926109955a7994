//go:build cgo && unix && !heimdal

/*
 * An alarm that rings when something happens to a file that is watched, or to what leads to it. Asking whether it has rung takes a
 * tenth of the time that looking at three files takes.
 *
 * There is one for the process, because the system gives a user few of them and takes milliseconds to close one: inotify for what
 * happens to files and directories, and the table of mounts for what is mounted over them. Who hears it looks at the files, so it
 * may ring too often, and never too seldom.
 */
#include "shim.h"

#ifdef __linux__
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* What happens to a file or a directory itself. A file's names and a directory's modes are attributes. */
	ITSELF = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF,
	ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
	/* Marks go with what they mark. More than these are left behind by something that this file does not expect. */
	MAX_MARKS = 512,
	/* Others may make events as fast as they are read; what is left rings again. */
	MAX_READS = 16
};

static struct {
	pthread_mutex_t lock;
	int state; /* 0: not tried, 1: works, -1: does not */
	int any, files, mounts; /* descriptors: of both, of inotify, of the table of mounts */
	int marks, last;
	uint64_t rings;
} bell = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int listens_to(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };
	return fd >= 0 && epoll_ctl(bell.any, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void install(void)
{
	bell.rings = 1;
	bell.any = epoll_create1(EPOLL_CLOEXEC);
	bell.files = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	bell.mounts = open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC);
	bell.state = bell.any >= 0 && listens_to(bell.files, EPOLLIN) && listens_to(bell.mounts, EPOLLPRI | EPOLLERR) ? 1 : -1;
	if (bell.state > 0)
		return;
	int all[] = { bell.any, bell.files, bell.mounts };
	for (int i = 0; i < 3; i++)
		if (all[i] >= 0)
			close(all[i]);
}

/* Takes what is there, so that it rings again when there is more. */
static void take_events(void)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;
	for (int i = 0; i < MAX_READS && (n = read(bell.files, buffer, sizeof buffer)) > 0; i++) {
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *e = (const struct inotify_event *)at;
			if (e->mask & IN_IGNORED)
				bell.marks--;
			at += sizeof *e + e->len;
		}
	}
}

uint64_t nego_alarm_rings(void)
{
	struct epoll_event e;
	pthread_mutex_lock(&bell.lock);
	if (bell.state == 0)
		install();
	/* Whoever asks the table of mounts takes its event away with that, so the lock is held until it has been counted. */
	int n = bell.state > 0 ? epoll_wait(bell.any, &e, 1, 0) : 0;
	if (n > 0) {
		if (e.data.fd == bell.files)
			take_events();
		bell.rings++;
	} else if (n < 0 && errno != EINTR) {
		bell.state = -1; /* somebody has closed it */
	}
	uint64_t rings = bell.state > 0 ? bell.rings : 0;
	pthread_mutex_unlock(&bell.lock);
	return rings;
}

/* The last component of the path, a link, is marked itself. */
static int mark(const char *path, uint32_t events)
{
	pthread_mutex_lock(&bell.lock);
	errno = ENOSYS;
	int wd = bell.state > 0 ? inotify_add_watch(bell.files, path, events | IN_MASK_ADD | IN_DONT_FOLLOW) : -1;
	int why = errno;
	if (wd > bell.last) {
		bell.last = wd;
		if (++bell.marks > MAX_MARKS)
			bell.state = -1;
	}
	pthread_mutex_unlock(&bell.lock);
	errno = why;
	return wd >= 0;
}

/*
 * What the first n bytes of a path name: marked first and looked at then, so that each later change rings. Returns its mode, 0
 * where there is nothing, and 1 where it cannot be watched.
 */
static mode_t mark_itself(char *path, size_t n)
{
	struct stat st;
	char next = path[n];
	mode_t mode = 1;
	path[n] = '\0';
	if (!mark(path, ITSELF))
		mode = errno == ENOENT ? 0 : 1;
	else if (lstat(path, &st) == 0 && nego_file_system(path) == NEGO_FS_LOCAL)
		mode = st.st_mode;
	path[n] = next;
	return mode;
}

/*
 * What happens to the entries of a directory, which is the first n bytes of a path. One that is removed while somebody
 * has it open tells only the directory above it, of which above are the bytes.
 */
static int mark_entries(char *path, size_t n, size_t above, uint32_t events)
{
	char next = path[n], up = path[above];
	path[above] = '\0';
	int marked = above == n || mark(path, IN_DELETE);
	path[above] = up;
	path[n] = '\0';
	marked = marked && mark(path, events);
	path[n] = next;
	return marked;
}

int nego_alarm_watch(const char *of)
{
	char path[PATH_MAX];
	size_t length = strlen(of), above = 1, directory = 1; /* the bytes of the last directory, and of the one above it */
	if (of[0] != '/' || length >= sizeof path)
		return 0;
	memcpy(path, of, length + 1);
	/* Where the root cannot be watched, only what is mounted in it can. */
	mode_t is = mark_itself(path, 1);
	for (;;) {
		size_t begin = directory + strspn(path + directory, "/"), end = begin + strcspn(path + begin, "/");
		if (end == begin)
			return S_ISDIR(is) && mark_entries(path, directory, above, ENTRIES);
		if (path[begin] == '.' && (end - begin == 1 || (end - begin == 2 && path[begin + 1] == '.')))
			return 0;
		mode_t mode = mark_itself(path, end);
		if (mode == 0) {
			int marked = S_ISDIR(is) && mark_entries(path, directory, above, IN_CREATE | IN_MOVED_TO);
			mode = mark_itself(path, end);
			if (!marked || mode == 0)
				return marked;
		}
		if (S_ISREG(mode) && path[end] == '\0')
			return mark(path, IN_MODIFY);
		if (!S_ISDIR(mode)) /* nor is a link, which leads where nothing is marked */
			return 0;
		is = mode;
		above = directory;
		directory = end;
	}
}

#else

uint64_t nego_alarm_rings(void) { return 0; }
int nego_alarm_watch(const char *path) { return (void)path, 0; }

#endif
