/*
 * proto/proto.h - everything that may be said, made from the .def tables.
 *
 * For each shape S: `struct S` and `shape_S`. For each letter L: `LETTER_L`, an index into
 * letter_kinds. For each word list W: `enum W` with W_<word>, and `type_W`.
 * Strings are NUL-terminated; who owns what is told in letter/shape.h.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "letter/letter.h"

#include "proto/words.def"

#include "proto/common.def"

#include "proto/cli.def"
#include "proto/config.def"
#include "proto/dns.def"
#include "proto/image.def"
#include "proto/kernel.def"
#include "proto/net.def"
#include "proto/vm.def"
#include "proto/doctor.def"

#include "proto/agent.def"
#include "proto/inside.def"
#include "proto/priv.def"
#include "proto/space.def"
#include "proto/store.def"
#include "proto/worker.def"

#define ALL_SHAPES(S)                                                                          \
	COMMON_SHAPES(S) CLI_SHAPES(S) IMAGE_SHAPES(S) KERNEL_SHAPES(S) VM_SHAPES(S)            \
	AGENT_SHAPES(S) WORKER_SHAPES(S) STORE_SHAPES(S) INSIDE_SHAPES(S) CONFIG_SHAPES(S) \
	PRIV_SHAPES(S) DNS_SHAPES(S) NET_SHAPES(S) SPACE_SHAPES(S) DOCTOR_SHAPES(S)

/* T(name, list): each conversation and its letters. */
#define ALL_TALKS(T)                                                                           \
	T(common, COMMON_LETTERS) T(cli, CLI_LETTERS) T(vm, VM_LETTERS) T(image, IMAGE_LETTERS) \
	T(kernel, KERNEL_LETTERS) T(agent, AGENT_LETTERS) T(worker, WORKER_LETTERS)             \
	T(store, STORE_LETTERS) T(inside, INSIDE_LETTERS) T(priv, PRIV_LETTERS) \
	T(dns, DNS_LETTERS) T(net, NET_LETTERS) T(space, SPACE_LETTERS) \
	T(doctor, DOCTOR_LETTERS)

/* C types of values: ct_<type>. */
#define CT_BOOL bool
#define CT_U64 uint64_t
#define CT_I64 int64_t
#define CT_STR const char *
#define CT_OSSTR const char *
#define CT_BIN struct bytes

#define T(name, base, lo, hi, check, doc) typedef CT_##base ct_##name;
#define AS_WORD(list, word) list##_##word,
#define W(name, doc)         \
	enum name {          \
		WORDS_##name(AS_WORD) name##_COUNT \
	};                   \
	typedef enum name ct_##name;
#include "proto/types.def"
#undef T
#undef W
#undef AS_WORD

/* Structs. */
#define MEMBER_REQ(type, name) ct_##type name;
#define MEMBER_OPT(type, name) ct_##type name;
#define MEMBER_MAY(type, name) ct_##type name; bool has_##name;
#define MEMBER_LIST(type, name) struct { ct_##type *v; uint32_t n; } name;
#define MEMBER_SUB(shape, name) struct shape name;
#define MEMBER_OPTSUB(shape, name) struct shape *name;
#define MEMBER_MANY(shape, name) struct { struct shape *v; uint32_t n; } name;
#define AS_MEMBER(S, op, type, name, lo, hi, doc) MEMBER_##op(type, name)
#define AS_STRUCT(name, doc)              \
	struct name {                     \
		SHAPE_##name(AS_MEMBER, name) \
	};                                \
	extern const struct shape shape_##name;
ALL_SHAPES(AS_STRUCT)
#undef AS_STRUCT

/* Letters. */
enum letter_id {
#define AS_ID(id, method, way, in, out, doc) LETTER_##id,
#define AS_TALK(name, LETTERS) LETTERS(AS_ID)
	ALL_TALKS(AS_TALK)
#undef AS_TALK
#undef AS_ID
	LETTER_COUNT
};

extern const struct letter_kind letter_kinds[LETTER_COUNT];

/* The conversations in the order of the letters: the first talk's letters come first. */
struct talk {
	const char *name;
	uint32_t count; /* letters */
};
extern const struct talk all_talks[]; /* ends with a NULL name */

/* The letter of that method; LETTER_COUNT when there is none. The method need not end in NUL. */
enum letter_id letter_by_method(const char *method, size_t n);

#define T(name, base, lo, hi, check, doc) extern const struct type type_##name;
#define W(name, doc) extern const struct type type_##name;
#include "proto/types.def"
#undef T
#undef W

/* The word of an enum's value, as on the wire: word_of(vm_state, s). */
#define word_of(list, value) (type_##list.names[value])

/* Every type and shape, for documents, fuzzing and tests; NULL-terminated. */
extern const struct type *const all_types[];
extern const struct shape *const all_shapes[];

/* A failure as the wire's error map; its strings live in why. */
struct error error_of(const struct why *why);
/* And back: fills why from an error map that a peer sent; returns its code. */
enum err why_of(const struct error *e, struct why *why);

#endif
