/*
 * elf.c - reads headers, notes and sections of ELF files. Pure.
 */
#include "worker/elf.h"

enum {
	EHDR = 64, PHDR = 56, SHDR = 64, /* bytes */
	MACHINE_X86_64 = 62, MACHINE_AARCH64 = 183,
	PT_NOTES = 4, SHT_NOTES = 7, SHT_EMPTY = 8,
	NOTE_PVH = 18, /* XEN_ELFNOTE_PHYS32_ENTRY */
	NOTES_MAX = 4096
};

static uint64_t le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* The stretch [off, off + n) of the file, when it is all there. */
static bool part(struct bytes file, uint64_t off, uint64_t n, struct bytes *ret)
{
	if (off > file.n || n > file.n - off)
		return false;
	*ret = (struct bytes){ file.p + off, (size_t)n };
	return true;
}

bool elf_is(struct bytes file)
{
	return file.n >= 4 && memcmp(file.p, "\177ELF", 4) == 0;
}

static bool is_64_little(struct bytes file)
{
	return elf_is(file) && file.n >= EHDR && file.p[4] == 2 && file.p[5] == 1;
}

/* The i-th program or section header; false behind the last one. */
static bool header(struct bytes file, bool section, uint32_t i, struct bytes *ret)
{
	uint64_t at = le(file.p + (section ? 40 : 32), 8);
	uint64_t size = le(file.p + (section ? 58 : 54), 2);
	uint64_t count = le(file.p + (section ? 60 : 56), 2);
	uint64_t least = section ? SHDR : PHDR;

	if (i >= count || size < least || at > file.n)
		return false;
	return part(file, at + i * size, least, ret);
}

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~UINT64_C(3);
}

static bool has_pvh_note(struct bytes notes)
{
	for (int i = 0; i < NOTES_MAX && notes.n >= 12; i++) {
		uint64_t name_n = le(notes.p, 4), desc_n = le(notes.p + 4, 4);
		uint64_t all = 12 + align4(name_n) + align4(desc_n);

		if (all > notes.n)
			return false;
		if (le(notes.p + 8, 4) == NOTE_PVH && name_n == 4 &&
			memcmp(notes.p + 12, "Xen", 4) == 0 && desc_n >= 4)
			return true;
		notes.p += all;
		notes.n -= (size_t)all;
	}
	return false;
}

static bool find_pvh(struct bytes file)
{
	struct bytes h, notes;

	for (uint32_t i = 0; header(file, false, i, &h); i++)
		if (le(h.p, 4) == PT_NOTES && part(file, le(h.p + 8, 8), le(h.p + 32, 8), &notes) &&
			has_pvh_note(notes))
			return true;
	for (uint32_t i = 0; header(file, true, i, &h); i++)
		if (le(h.p + 4, 4) == SHT_NOTES &&
			part(file, le(h.p + 24, 8), le(h.p + 32, 8), &notes) && has_pvh_note(notes))
			return true;
	return false;
}

/* The kernel's banner is in its read-only data, uncompressed: "Linux version RELEASE (". */
static void find_release(struct bytes file, char *out, size_t size)
{
	static const char banner[] = "Linux version ";
	const uint8_t *at = file.p, *end = file.p + file.n;
	size_t n;

	out[0] = '\0';
	while ((at = memmem(at, (size_t)(end - at), banner, sizeof(banner) - 1)) != NULL) {
		at += sizeof(banner) - 1;
		for (n = 0; at + n < end && n < size - 1 && at[n] > ' ' && at[n] < 127; n++)
			out[n] = (char)at[n];
		out[n] = '\0';
		/* The format string of the same words begins with %. */
		if (n > 0 && out[0] >= '0' && out[0] <= '9' && at + n < end && at[n] == ' ')
			return;
		out[0] = '\0';
	}
}

enum err elf_kernel_read(struct bytes file, struct elf_kernel *ret, struct why *why)
{
	uint64_t type, machine;

	if (!is_64_little(file))
		return fail(why, ERR_invalid_value, "not a 64-bit little-endian ELF file");
	type = le(file.p + 16, 2);
	machine = le(file.p + 18, 2);
	if (type != 2 && type != 3)
		return fail(why, ERR_invalid_value, "an ELF file that is no program");
	if (machine != MACHINE_X86_64 && machine != MACHINE_AARCH64)
		return fail(why, ERR_unsupported, "a kernel for machine type %llu",
			(unsigned long long)machine);
	ret->arch = machine == MACHINE_X86_64 ? "x86_64" : "aarch64";
	ret->pvh = find_pvh(file);
	find_release(file, ret->release, sizeof(ret->release));
	return OK;
}

bool elf_section(struct bytes file, const char *name, struct bytes *ret)
{
	struct bytes h, names;
	size_t n = strlen(name) + 1;

	if (!is_64_little(file) || !header(file, true, (uint32_t)le(file.p + 62, 2), &h) ||
		!part(file, le(h.p + 24, 8), le(h.p + 32, 8), &names))
		return false;
	for (uint32_t i = 0; header(file, true, i, &h); i++) {
		uint64_t at = le(h.p, 4);

		if (at >= names.n || n > names.n - at || memcmp(names.p + at, name, n) != 0)
			continue;
		return le(h.p + 4, 4) != SHT_EMPTY &&
			part(file, le(h.p + 24, 8), le(h.p + 32, 8), ret);
	}
	return false;
}

bool modinfo_next(struct bytes *left, struct bytes *key, const char **value)
{
	while (left->n > 0) {
		const uint8_t *nul = memchr(left->p, '\0', left->n), *p = left->p, *eq;
		size_t n;

		if (!nul)
			return false;
		n = (size_t)(nul - p);
		left->p += n + 1;
		left->n -= n + 1;
		eq = n ? memchr(p, '=', n) : NULL;
		if (!eq)
			continue;
		*key = (struct bytes){ p, (size_t)(eq - p) };
		*value = (const char *)eq + 1;
		return true;
	}
	return false;
}
