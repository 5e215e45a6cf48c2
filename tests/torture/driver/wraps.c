/*
 * wraps.c - what the linker puts in place of each call of wraps.def (--wrap): fail when the driver
 * says so, else do the real thing.
 */
#include <dirent.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/torture/driver/driver.h"

#define PROTOTYPES(name, result, params) \
	result __real_##name params;     \
	result __wrap_##name params;

#define MEM(name, result, bad, e, params, args)     \
	PROTOTYPES(name, result, params)            \
	result __wrap_##name params                 \
	{                                           \
		if (torture_fails(KIND_MEMORY)) {   \
			errno = e;                  \
			return bad;                 \
		}                                   \
		return __real_##name args;          \
	}
#define CALL(name, result, bad, e, params, args)    \
	PROTOTYPES(name, result, params)            \
	result __wrap_##name params                 \
	{                                           \
		if (torture_fails(KIND_CALLS)) {    \
			errno = e;                  \
			return bad;                 \
		}                                   \
		return __real_##name args;          \
	}
#define AGAIN(name, result, bad, e, params, args)   \
	PROTOTYPES(name, result, params)            \
	result __wrap_##name params                 \
	{                                           \
		if (torture_fails(KIND_SIGNALS)) {  \
			errno = EINTR;              \
			return bad;                 \
		}                                   \
		if (torture_fails(KIND_CALLS)) {    \
			errno = e;                  \
			return bad;                 \
		}                                   \
		return __real_##name args;          \
	}
#define DONE(name, result, bad, e, params, args)    \
	PROTOTYPES(name, result, params)            \
	result __wrap_##name params                 \
	{                                           \
		result got = __real_##name args;    \
                                                    \
		if (got == bad || !torture_fails(KIND_CALLS)) \
			return got;                 \
		errno = e;                          \
		return bad;                         \
	}
#define VAR(name)
#include "tests/torture/driver/wraps.def"

static int failed(int e)
{
	errno = e;
	return -1;
}

/* The one optional argument of open, openat, fcntl and ioctl: a number or a pointer. */
#define ARGUMENT(last, arg)          \
	do {                         \
		va_list ap_;         \
		va_start(ap_, last); \
		arg = va_arg(ap_, unsigned long); \
		va_end(ap_);         \
	} while (0)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	unsigned long mode;

	ARGUMENT(flags, mode);
	return torture_fails(KIND_CALLS) ? failed(EMFILE) : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	unsigned long mode;

	ARGUMENT(flags, mode);
	return torture_fails(KIND_CALLS) ? failed(EMFILE) : __real_openat(dir, path, flags, mode);
}

int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
	unsigned long arg;

	ARGUMENT(cmd, arg);
	return torture_fails(KIND_CALLS) ? failed(EMFILE) : __real_fcntl(fd, cmd, arg);
}

int __real_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
	unsigned long arg;

	ARGUMENT(what, arg);
	return torture_fails(KIND_CALLS) ? failed(ENOTTY) : __real_ioctl(fd, what, arg);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	unsigned long a[6];
	va_list ap;

	va_start(ap, number);
	for (size_t i = 0; i < COUNT(a); i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (torture_fails(KIND_CALLS))
		return failed(EMFILE);
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
