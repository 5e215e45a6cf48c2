/*
 * cli/create.h - making a machine: begin, stages, Ctrl-C, the end (rows B1, B3, B8).
 */
#ifndef CLI_CREATE_H
#define CLI_CREATE_H

#include "cli/interrupts.h"
#include "cli/op.h"

/* The flags that say what machine; a command lists them first. */
#define CREATE_FLAGS \
	{ .name = "image", \
		.type = &type_image_name, \
		.value = "IMAGE", \
		.offer = OFFER_IMAGES, \
		.doc = "what to boot; config's default_image when absent" }, \
		{ .name = "name", \
			.type = &type_vm_name, \
			.value = "NAME", \
			.doc = "the machine's name; two words are picked when absent" }, \
		{ .name = "kernel", \
			.type = &type_kernel_name, \
			.value = "NAME", \
			.offer = OFFER_KERNELS, \
			.doc = "kernel to boot; the image's own, else the default" }, \
		{ .name = "vcpus", \
			.type = &type_u64, \
			.value = "N", \
			.doc = "virtual CPUs, 1 to 64" }, \
		{ .name = "memory", \
			.type = &type_size, \
			.value = "SIZE", \
			.doc = "memory, like 512M or 2G" }, \
		{ .name = "disk", \
			.type = &type_size, \
			.value = "SIZE", \
			.doc = "work disk, like 20G" }, \
		{ .name = "driver", \
			.type = &type_driver, \
			.value = "NAME", \
			.offer = OFFER_WORDS, \
			.doc = "auto, qemu or firecracker" }, \
		{ .name = "accel", \
			.type = &type_accel, \
			.value = "NAME", \
			.offer = OFFER_WORDS, \
			.doc = "auto, kvm or tcg" }, \
		{ .name = "net", \
			.type = &type_net, \
			.value = "NAME", \
			.offer = OFFER_WORDS, \
			.doc = "nat or none" }, \
		{ .name = "layer", \
			.type = &type_layer, \
			.value = "NAME", \
			.offer = OFFER_WORDS, \
			.doc = "how writes are kept: auto, qcow2, reflink, copy or dm" }, \
		{ .name = "publish", \
			.letter = 'p', \
			.type = &type_publish, \
			.value = "[ADDR:]HOST:GUEST", \
			.many = true, \
			.doc = "HOST's port leads to the guest's; ADDR is 127.0.0.1" }, \
		{ .name = "offline", .doc = "fetch nothing: image and kernel must be here" }, \
		{ .name = "no-services", .doc = "do not wait for the image's required services" }, \
	{ \
		.name = "force", .doc = "also when the host seems to have too little room" \
	}

struct create {
	struct cli *c;
	struct interrupts *interrupts;
	struct vm_create body; /* filled by the command */
	struct vm_begun begun;
	struct op op;
};

/* Sends the letter; with body.detach the answer is the end of it. Answers 0 or the exit code. */
int create_begin(struct create *k);
/* Waits until the machine is ready; answers 0, or the exit code after it said why. */
int create_wait(struct create *k);

#endif
