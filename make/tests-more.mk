# What the tests and fuzzers link with beyond the libraries that all programs have.

WORKER_PARTS := $(filter-out %/main.o,$(call objs,actors/worker))
LIBS_parts := -larchive -lext2fs -lcom_err -lcrypto -lseccomp -ljansson -lisal -lzstd -lcurl
AGENT_PARTS := $(O)/obj/agent/conf.o $(O)/obj/agent/account.o $(O)/obj/agent/image.o \
	$(O)/obj/agent/sockets.o $(O)/obj/agent/procfs.o $(call objs,runtime/tree)
CLI_PARTS := $(filter-out %/main.o,$(call objs,cli)) $(call objs,runtime/conf runtime/tree)

FUZZ_OBJS_yaml := $(call objs,runtime/conf)
FUZZ_LIBS_yaml := -lyaml
FUZZ_OBJS_qmp := $(O)/obj/actors/vm/qmp.o
FUZZ_LIBS_qmp := -ljansson
FUZZ_OBJS_firecracker := $(O)/obj/actors/vm/fc_api.o $(call objs,runtime/vmm)
FUZZ_LIBS_firecracker := -ljansson
FUZZ_OBJS_kernel := $(WORKER_PARTS)
FUZZ_LIBS_kernel := $(LIBS_parts)
FUZZ_OBJS_unpack := $(WORKER_PARTS)
FUZZ_LIBS_unpack := $(LIBS_parts)
FUZZ_OBJS_manifest := $(WORKER_PARTS)
FUZZ_LIBS_manifest := $(LIBS_parts)
FUZZ_OBJS_ext4 := $(WORKER_PARTS)
FUZZ_LIBS_ext4 := $(LIBS_parts)
UNIT_OBJS_bundles := $(WORKER_PARTS)
UNIT_LIBS_bundles := $(LIBS_parts)
UNIT_OBJS_services := $(WORKER_PARTS)
UNIT_LIBS_services := $(LIBS_parts)
FUZZ_OBJS_registry := $(WORKER_PARTS) $(O)/obj/cli/docker_file.o
FUZZ_LIBS_registry := $(LIBS_parts)
UNIT_OBJS_challenge := $(O)/obj/actors/worker/challenge.o
UNIT_OBJS_docker := $(O)/obj/cli/docker_file.o
UNIT_LIBS_docker := -ljansson
FUZZ_OBJS_etc := $(O)/obj/actors/worker/etc.o $(O)/obj/actors/worker/whiteout.o
FUZZ_OBJS_tree := $(call objs,runtime/tree)
FUZZ_OBJS_agent := $(AGENT_PARTS)
SSH_PARTS := $(AGENT_PARTS) $(O)/obj/agent/authorized.o $(O)/obj/cli/ssh_files.o $(O)/obj/cli/file.o
FUZZ_OBJS_ssh := $(SSH_PARTS)

UNIT_OBJS_flow := $(call objs,runtime/flow)
UNIT_OBJS_kv := $(call objs,runtime/kv)
UNIT_LIBS_kv := -llmdb
# LMDB statically, so that its own calls can be made to fail.
UNIT_OBJS_store_breaks := $(call objs,runtime/kv runtime/world)
UNIT_LIBS_store_breaks := -Wl,-Bstatic -llmdb -Wl,-Bdynamic -lpthread -lcurl \
	-Wl,--wrap=pwrite,--wrap=pwritev,--wrap=writev,--wrap=fdatasync,--wrap=fallocate,--wrap=fsync \
	-Wl,--wrap=syncfs
UNIT_OBJS_store_power := $(UNIT_OBJS_store_breaks)
UNIT_LIBS_store_power = $(filter-out -Wl$(comma)--wrap=syncfs,$(UNIT_LIBS_store_breaks)) -Wl,--wrap=renameat
UNIT_OBJS_asks := $(call objs,runtime/actor)
UNIT_OBJS_mailbox := $(call objs,runtime/actor)
UNIT_OBJS_house := $(call objs,runtime/actor)
UNIT_OBJS_catalog := $(call objs,runtime/conf) $(O)/obj/actors/shared/catalog.o
UNIT_LIBS_catalog := -lyaml
UNIT_OBJS_config := $(call objs,runtime/conf)
UNIT_LIBS_config := -lyaml
UNIT_OBJS_places := $(call objs,runtime/conf)
UNIT_LIBS_places := -lyaml
UNIT_OBJS_bench := $(CLI_PARTS)
UNIT_LIBS_bench := -ljansson -lyaml
UNIT_OBJS_ssh := $(SSH_PARTS)
UNIT_OBJS_http := $(call objs,runtime/world runtime/kv)
UNIT_LIBS_http := -lcurl -llmdb -lpthread
UNIT_OBJS_hybrid := $(call objs,runtime/vmm)
UNIT_OBJS_fc_api := $(O)/obj/actors/vm/fc_api.o
UNIT_LIBS_fc_api := -ljansson
UNIT_OBJS_qemu_args := $(call objs,runtime/vmm)
UNIT_OBJS_addresses := $(O)/obj/actors/net/addresses.o
UNIT_OBJS_tree := $(call objs,runtime/tree)

TORTURE_OBJS_kv := $(call objs,runtime/kv)
TORTURE_LIBS_kv := -llmdb
TORTURE_OBJS_house := $(call objs,runtime/actor)
TORTURE_OBJS_conf := $(call objs,runtime/conf)
TORTURE_LIBS_conf := -lyaml
TORTURE_OBJS_ssh := $(SSH_PARTS)
TORTURE_OBJS_tree := $(call objs,runtime/tree)
TORTURE_OBJS_worker := $(WORKER_PARTS)
TORTURE_LIBS_worker := $(LIBS_parts)
TORTURE_OBJS_world := $(call objs,runtime/kv runtime/world)
TORTURE_LIBS_world := -llmdb -lpthread -lcurl
TORTURE_OBJS_agent := $(AGENT_PARTS)
# jansson statically, so that its memory fails as well.
TORTURE_OBJS_cli := $(CLI_PARTS)
TORTURE_LIBS_cli := -Wl,-Bstatic -ljansson -Wl,-Bdynamic -lyaml

# The table of the helper's verbs brings all that serves them.
HELPER_PARTS := $(filter-out %/main.o,$(call objs,runtime/vmm helper))
TOOL_OBJS_privdoc := $(HELPER_PARTS)
TOOL_LIBS_privdoc := $(LIBS_helper)
TOOL_LIBS_resolved := -lsystemd
FUZZ_OBJS_priv := $(HELPER_PARTS)
FUZZ_LIBS_priv := $(LIBS_helper)
UNIT_OBJS_ledger := $(O)/obj/helper/ledger.o
TORTURE_OBJS_ledger := $(O)/obj/helper/ledger.o
UNIT_OBJS_edit := $(O)/obj/helper/edit.o
UNIT_LIBS_edit := -lext2fs -lcom_err

TOOL_OBJS_firecracker_double := $(call objs,runtime/vmm)
TOOL_LIBS_firecracker_double := -ljansson
TOOL_OBJS_fc_requests := $(O)/obj/actors/vm/fc_api.o
TOOL_LIBS_fc_requests := -ljansson

TORTURE_OBJS_dns := $(call objs,runtime/dns runtime/kv runtime/world) $(O)/obj/actors/dns/names.o \
	$(O)/obj/actors/dns/streams.o
TORTURE_LIBS_dns := -llmdb -lpthread

FUZZ_OBJS_dns := $(call objs,runtime/dns)
UNIT_OBJS_dns := $(call objs,runtime/dns)

TOOL_OBJS_namesd := $(call objs,runtime/dns runtime/actor runtime/kv runtime/world actors/dns)
TOOL_LIBS_namesd := -llmdb -lpthread

# Workspaces: pure rules of the command line, and trees that take effect whole.
SPACE_RULES := $(O)/obj/cli/secrets.o $(O)/obj/cli/space_paths.o
UNIT_OBJS_secrets := $(SPACE_RULES)
UNIT_OBJS_work := $(call objs,runtime/tree)
FUZZ_OBJS_space := $(SPACE_RULES) $(call objs,runtime/tree)
