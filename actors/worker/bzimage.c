/*
 * bzimage.c - reads the boot protocol's header (Documentation/x86/boot.rst of Linux). Pure.
 */
#include "worker/bzimage.h"

enum {
	SETUP_SECTS = 0x1f1, MAGIC = 0x202, PROTOCOL = 0x206, VERSION_AT = 0x20e,
	PAYLOAD_AT = 0x248, PAYLOAD_N = 0x24c,
	SECTOR = 512, PROTOCOL_WITH_PAYLOAD = 0x208
};

static uint32_t le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

bool bzimage_is(struct bytes file)
{
	return file.n >= BZIMAGE_HEAD && memcmp(file.p + MAGIC, "HdrS", 4) == 0;
}

static void read_release(struct bytes file, char *out, size_t size)
{
	size_t at = le16(file.p + VERSION_AT), n = 0;

	out[0] = '\0';
	if (at == 0)
		return;
	for (at += SECTOR; at + n < file.n && n < size - 1 && file.p[at + n] > ' ' &&
		file.p[at + n] < 127; n++)
		out[n] = (char)file.p[at + n];
	out[n] = '\0';
}

enum err bzimage_read(struct bytes file, struct bzimage *ret, struct why *why)
{
	uint64_t sects, at, n;

	if (!bzimage_is(file))
		return fail(why, ERR_invalid_value, "not a bzImage");
	if (le16(file.p + PROTOCOL) < PROTOCOL_WITH_PAYLOAD)
		return fail(why, ERR_unsupported, "a bzImage of before Linux 2.6.26");
	sects = file.p[SETUP_SECTS] ? file.p[SETUP_SECTS] : 4;
	at = (sects + 1) * SECTOR + le32(file.p + PAYLOAD_AT);
	n = le32(file.p + PAYLOAD_N);
	if (at > file.n || n > file.n - at || n < 16)
		return fail(why, ERR_invalid_value, "a bzImage whose kernel lies outside of it");
	/* gzip brings its own size; behind the others, the build appends it. */
	if (file.p[at] != 0x1f || file.p[at + 1] != 0x8b)
		n -= 4;
	ret->payload = (struct bytes){ file.p + at, (size_t)n };
	read_release(file, ret->release, sizeof(ret->release));
	return OK;
}
