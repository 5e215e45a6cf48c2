/*
 * proto/check.h - the checks that types.def names. Pure; each answers NULL when the text is right,
 * else what is wrong with it ("must be ...").
 */
#ifndef PROTO_CHECK_H
#define PROTO_CHECK_H

#include "letter/shape.h"

type_check check_env, check_abs_path, check_rel_path, check_vm_id, check_vm_name, check_vm_ref,
	check_image_name, check_kernel_name, check_digest, check_user, check_term, check_signal,
	check_cidr, check_subnet, check_mac, check_ipv4, check_publish, check_ssh_key, check_local,
	check_service, check_sha256, check_bundle_url, check_reference; /* the last: reference.c */
/* check_priv.c: what root acts on */
type_check check_printable, check_disk_id, check_bridge_name, check_tap_name, check_resolver,
	check_loop_dev, check_dm_name, check_dm_dev, check_dm_target, check_any_loop_dev,
	check_any_dm_name, check_any_dm_dev;

/* Dotted quad, nothing else; host byte order. */
bool parse_ipv4(const char *s, size_t n, uint32_t *ret);

/* The subnet of machines where no other is configured (row D1). */
#define SUBNET_DEFAULT "10.87.48.0/20"

/*
 * The hardware address that a guest of this address (host byte order) has on the bridge: 02:62 and
 * the address's four bytes. The helper pins it to the guest's tap.
 */
void guest_mac(uint32_t addr, uint8_t out[6]);

/* ADDR/BITS; the address in host byte order, its host bits kept. */
bool parse_cidr(const char *s, size_t n, uint32_t *addr, unsigned *bits);

/* Prefix 16 to 30, no host bits: addresses for machines, a bridge and nothing else. */
bool parse_subnet(const char *s, size_t n, uint32_t *net, unsigned *bits);

/* 127.A.B.C:PORT. */
bool parse_local(const char *s, uint32_t *addr, uint16_t *port);

/* NAME:PORT; name is as in [a-z0-9._-], begins with a letter or digit. */
enum { SERVICE_NAME_MAX = 32 };
bool parse_service(const char *s, size_t n, char name[SERVICE_NAME_MAX + 1], uint16_t *port);

/* [ADDR:]HOST:GUEST; addr is 127.0.0.1 when absent. */
bool parse_publish(const char *s, uint32_t *addr, uint16_t *host, uint16_t *guest);

/* The number of a signal's name (without SIG), 0 when unknown; and back, NULL when unknown. */
int signal_number(const char *name);
const char *signal_word(int number);

#endif
