/*
 * fuzz/kernel.c - kernels and modules of any bytes: whatever is answered lies inside the file.
 */
#include "tests/fuzz/fuzz.h"

#include "worker/bzimage.h"
#include "worker/elf.h"
#include "worker/modset.h"

static bool inside(struct bytes part, struct bytes file)
{
	return part.n <= file.n && part.p >= file.p && part.p + part.n <= file.p + file.n;
}

static void release_is_plain(const char *release, size_t size)
{
	must(strnlen(release, size) < size);
	for (const char *s = release; *s; s++)
		must(*s > ' ' && *s < 127);
}

static void modinfo(struct bytes section)
{
	struct bytes left = section, key;
	const char *value;

	while (modinfo_next(&left, &key, &value)) {
		const uint8_t *v = (const uint8_t *)value;

		must(inside(key, section) && v > key.p && v + strlen(value) < left.p);
		must(left.p + left.n == section.p + section.n);
	}
}

static void names(struct bytes file)
{
	char path[256], name[64];
	size_t n = MIN(file.n, sizeof(path) - 1);

	memcpy(path, file.p, n);
	path[n] = '\0';
	if (module_name(path, name, sizeof(name)))
		must(name[0] && !strpbrk(name, "/-") && strlen(name) < sizeof(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes file = { p, n }, section;
	struct elf_kernel elf;
	struct bzimage image;
	struct why why;

	if (n == 0)
		return 0;
	if (bzimage_read(file, &image, &why) == OK) {
		must(inside(image.payload, file));
		release_is_plain(image.release, sizeof(image.release));
	}
	if (elf_kernel_read(file, &elf, &why) == OK)
		release_is_plain(elf.release, sizeof(elf.release));
	if (elf_section(file, ".modinfo", &section)) {
		must(inside(section, file));
		modinfo(section);
	}
	modinfo(file);
	names(file);
	return 0;
}
