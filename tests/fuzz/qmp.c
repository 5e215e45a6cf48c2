/*
 * fuzz/qmp.c - lines of QEMU's monitor, of any bytes: each means one word, and the same word when
 * blanks follow it.
 */
#include "tests/fuzz/fuzz.h"

#include "actors/vm/driver_qemu.h"

/* What the driver would do with a machine; none of it is reached from a line alone. */
void set_disk_grew(struct machine *m UNUSED, bool did UNUSED)
{
}

void link_reopen(struct machine *m UNUSED)
{
	must(false);
}

enum err machine_chan(struct machine *m UNUSED, enum vmm_channel ch UNUSED, uint64_t parcel UNUSED,
	const struct chan_user *user UNUSED, void *ctx UNUSED, struct chan **ret UNUSED,
	struct why *why UNUSED)
{
	must_failed("a parser connects nowhere", __FILE__, __LINE__);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	enum qmp_event e = qmp_line(p, n);
	uint8_t *more = malloc(n + 2);

	must(e >= QMP_OTHER && e <= QMP_BAD);
	must(more);
	if (n > 0)
		memcpy(more, p, n);
	memcpy(more + n, "\r ", 2);
	must(qmp_line(more, n + 2) == e);
	free(more);
	return 0;
}
