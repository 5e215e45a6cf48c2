/*
 * vm/driver_qemu.h - QEMU's control socket (QMP): JSON lines, one command at a time.
 */
#ifndef VM_DRIVER_QEMU_H
#define VM_DRIVER_QEMU_H

#include "actors/vm/vm.h"

struct qmp;

/* The way to the machine's control socket; events are told to the machine. */
enum err qmp_open(struct machine *m, uint64_t parcel, struct qmp **ret, struct why *why) MUST_CHECK;
void qmp_close(struct qmp *q);
/* Asks for a bigger work disk: the answer is told by set_disk_grew, unless the way breaks. */
enum err qmp_grow(struct qmp *q, uint64_t size, struct why *why) MUST_CHECK;

/* One line of QMP, for the fuzzer: what it means for the machine. */
enum qmp_event {
	QMP_OTHER,
	QMP_GREETING,
	QMP_SHUTDOWN,
	QMP_RESET,
	QMP_PORT_OPENED,
	QMP_PORT_CLOSED,
	QMP_GREW, /* the work disk, as it was asked to */
	QMP_GREW_NOT,
	QMP_BAD
};
enum qmp_event qmp_line(const uint8_t *p, size_t n);

#endif
