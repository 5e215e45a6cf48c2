# What the tests and fuzzers link with beyond the libraries that all programs have.

WORKER_PARTS := $(filter-out %/main.o,$(call objs,actors/worker))
LIBS_parts := -larchive -lext2fs -lcom_err -lcrypto -lseccomp -ljansson
AGENT_PARTS := $(O)/obj/agent/conf.o $(O)/obj/agent/account.o $(O)/obj/agent/image.o \
	$(O)/obj/agent/sockets.o $(O)/obj/agent/procfs.o $(call objs,runtime/tree)

FUZZ_OBJS_yaml := $(call objs,runtime/conf)
FUZZ_LIBS_yaml := -lyaml
FUZZ_OBJS_qmp := $(O)/obj/actors/vm/qmp.o
FUZZ_LIBS_qmp := -ljansson
FUZZ_OBJS_kernel := $(WORKER_PARTS)
FUZZ_LIBS_kernel := $(LIBS_parts)
FUZZ_OBJS_manifest := $(WORKER_PARTS)
FUZZ_LIBS_manifest := $(LIBS_parts)
FUZZ_OBJS_etc := $(O)/obj/actors/worker/etc.o $(O)/obj/actors/worker/whiteout.o
FUZZ_OBJS_tree := $(call objs,runtime/tree)
FUZZ_OBJS_agent := $(AGENT_PARTS)

UNIT_OBJS_flow := $(call objs,runtime/flow)
