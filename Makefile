# banger's build. `make help` lists the targets; everything that is made lies under build/.
#
# Layers: every directory is compiled with an include path that holds only what it may see (LAYER_*
# below), so a forbidden include is "No such file".

VERSION := 0.1.0
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

PREFIX ?= /usr/local
DESTDIR ?=

ifeq ($(origin CC),default)
CC := gcc
endif
V ?=
Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-5s %s\n' $(1) $(2))
SAN ?=
# Flavours live beside each other: build/obj (what is installed), build/san (sanitizers, self-checks).
ifeq ($(SAN),1)
O := build/san
FLAVOUR := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -DDEV_CHECKS=1
LDFLAVOUR := -fsanitize=address,undefined
else
O := build
FLAVOUR := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
LDFLAVOUR := -Wl,-z,relro,-z,now
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wswitch-enum -Wformat=2 -Wundef -Wvla -Wunused-result
CFLAGS := -std=gnu17 -g -fPIE -ffunction-sections -fdata-sections -D_GNU_SOURCE \
	$(FLAVOUR) $(WARN) $(EXTRA_CFLAGS)
LDFLAGS := -pie -Wl,--gc-sections $(LDFLAVOUR)

# Who may see whom (ARCHITECTURE.md). Words are directories of runtime/, or proto.
LAYER_base   := base
LAYER_sys    := base sys
LAYER_letter := base letter
LAYER_loop   := base sys loop
LAYER_wire   := base sys letter loop wire
LAYER_actor  := base sys letter loop wire actor
LAYER_dns    := base dns
LAYER_kv     := base sys letter loop wire actor kv
LAYER_world  := base sys letter loop wire actor kv world
LAYER_flow   := base sys letter loop wire actor kv world flow
LAYER_tree   := base sys letter loop wire tree proto
LAYER_vmm    := base vmm
LAYER_proto  := base letter proto
LAYER_conf   := base letter proto conf
LAYER_actors := base sys letter loop wire dns actor kv world flow vmm proto conf actors
LAYER_worker := base sys letter loop wire proto worker
LAYER_helper := base sys letter loop wire actor vmm proto helper
LAYER_agent  := base letter loop wire tree proto agent
LAYER_cli    := base letter loop wire tree proto conf cli
LAYER_tests  := base sys letter loop wire dns actor kv world flow tree vmm proto conf actors worker helper agent cli tests
LAYER_bench  := $(LAYER_tests) bench

DIR_proto := proto
DIR_actors := actors
DIR_worker := actors/worker
DIR_helper := helper
DIR_agent := agent
DIR_cli := cli
DIR_tests := tests
DIR_bench := bench
LAYERS := base sys letter loop wire dns actor kv world flow tree vmm proto conf actors worker helper agent cli \
	tests bench
$(foreach l,$(LAYERS),$(eval DIR_$(l) ?= runtime/$(l)))

INC := build/include
INC_DONE := $(INC)/.done

.DEFAULT_GOAL := all

$(INC_DONE): Makefile
	@rm -rf $(INC)
	@$(foreach l,$(LAYERS),mkdir -p $(INC)/$(l);$(foreach s,$(LAYER_$(l)),ln -sfn $(CURDIR)/$(DIR_$(s)) $(INC)/$(l)/$(s);))
	@touch $@

# The version tuple is one object, made anew when commit or time changes (row A8).
BUILD_ID := $(VERSION) $(COMMIT) $(SOURCE_DATE_EPOCH)
$(O)/build-id: FORCE
	@mkdir -p $(O); echo '$(BUILD_ID)' | cmp -s - $@ || echo '$(BUILD_ID)' > $@
FORCE:

# $(call layer_rule,layer)
define layer_rule
$(O)/obj/$(DIR_$(1))/%.o: $(DIR_$(1))/%.c $(INC_DONE)
	@mkdir -p $$(dir $$@)
	$$(call say,CC,$$<)
	$$(Q)$$(CC) $$(CFLAGS) $$(CFLAGS_$(1)) -I$(INC)/$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rule,$(l))))

# Worker lies inside actors/ but is a program of its own.
objs = $(patsubst %.c,$(O)/obj/%.o,$(sort $(wildcard $(addsuffix /*.c,$(1)))))
objs_deep = $(patsubst %.c,$(O)/obj/%.o,$(sort $(shell find $(1) -name '*.c' -not -path 'actors/worker/*' 2>/dev/null)))

$(O)/obj/runtime/base/build.o: $(O)/build-id
CFLAGS_helper = -isystem /usr/include/libnl3
CFLAGS_base = -DBUILD_VERSION='"$(VERSION)"' -DBUILD_COMMIT='"$(COMMIT)"' -DBUILD_TIME=$(SOURCE_DATE_EPOCH)
# Every letter passes here several times: a tenth of its time for 10 KiB of code (make bench).
CFLAGS_letter = $(if $(filter -O2,$(FLAVOUR)),-O3)
CFLAGS_actor = $(CFLAGS_letter)

COMMON := $(call objs,runtime/base runtime/letter proto)
WIRED := $(COMMON) $(call objs,runtime/sys runtime/loop runtime/wire)
DAEMON_OBJS := $(WIRED) $(call objs,runtime/dns runtime/actor runtime/kv runtime/world runtime/flow runtime/vmm runtime/conf) $(call objs_deep,actors)
WORKER_OBJS := $(WIRED) $(call objs,actors/worker)
HELPER_OBJS := $(WIRED) $(call objs,runtime/vmm helper)
AGENT_OBJS := $(WIRED) $(call objs,runtime/tree agent)
STUB_OBJS := $(WIRED) $(call objs,agent/stub)
CLI_OBJS := $(WIRED) $(call objs,runtime/tree runtime/conf cli)

# Statically linked where a library costs start time or memory; glibc itself stays shared.
LIBS_wire := -Wl,-Bstatic -lev -lmsgpackc -Wl,-Bdynamic -lm
LIBS_daemon := -Wl,-Bstatic -lev -lmsgpackc -llmdb -lyaml -ljansson -Wl,-Bdynamic -lm -lpthread -lcurl
LIBS_cli := -Wl,-Bstatic -lev -lmsgpackc -lyaml -ljansson -Wl,-Bdynamic -lm
LIBS_helper := -Wl,-Bstatic -lev -lmsgpackc -lnl-3 -Wl,-Bdynamic -lm -lcap-ng -lseccomp \
	-lnftables -ljansson -lsystemd -lext2fs -lcom_err
LIBS_worker := -Wl,-Bstatic -lev -lmsgpackc -ljansson -Wl,-Bdynamic -lm -larchive -lext2fs -lcom_err -lcrypto -lseccomp \
	-lisal -lzstd -lcurl

BIN := $(O)/bin
PROGRAMS := $(BIN)/banger $(BIN)/bangerd $(BIN)/banger-helper $(BIN)/banger-worker $(BIN)/banger-agent \
	$(BIN)/banger-stub

.PHONY: all FORCE
all: $(PROGRAMS)

# It is in there byte for byte.
$(O)/obj/runtime/conf/catalog.o: images/catalog.yaml

$(BIN)/banger: $(CLI_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_cli)
$(BIN)/bangerd: $(DAEMON_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_daemon)
$(BIN)/banger-helper: $(HELPER_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_helper)
$(BIN)/banger-worker: $(WORKER_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_worker)
# Static: it runs in any guest, before there is a libc. Sanitizers do not link statically.
$(BIN)/banger-agent: $(AGENT_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(if $(SAN),$(LDFLAGS),-static -Wl,--gc-sections -s) $^ -o $@ -lev -lmsgpackc -lm
# Static: a thousand of them run at once.
$(BIN)/banger-stub: $(STUB_OBJS)
	@mkdir -p $(BIN)
	$(call say,LINK,$@)
	$(Q)$(CC) $(if $(SAN),$(LDFLAGS),-static -Wl,--gc-sections -s) $^ -o $@ -lev -lmsgpackc -lm

.PHONY: help deps demo check install uninstall clean
help:
	@sed -n 's/^#: //p' Makefile

#: make            builds build/bin/{banger,bangerd,banger-helper,banger-worker,banger-agent,banger-stub}
#: make deps       installs the Debian packages of packages.txt (sudo only when not root)
#: make demo       deps, build, image `debian`, kernel, and a command in a machine
#: make check      deps, build, all tests
#: make lint       house rules, compilers' and linters' warnings
#: make bench      the measured table
#: make smoke      JOBS=1: the system install on hosts of its own, in VMs
#: make install    DESTDIR= PREFIX=/usr/local
deps:
	@tools/deps

demo: deps
	@$(MAKE) --no-print-directory all
	@tools/demo

check: deps
	@$(MAKE) --no-print-directory check-built

PREFIXED := $(DESTDIR)$(PREFIX)
SYSTEM_UNITS := $(wildcard units/*.in)
COMPLETION_bash := share/bash-completion/completions/banger
COMPLETION_zsh := share/zsh/site-functions/_banger
COMPLETION_fish := share/fish/vendor_completions.d/banger.fish
COMPLETIONS := $(addprefix $(PREFIXED)/,$(COMPLETION_bash) $(COMPLETION_zsh) $(COMPLETION_fish))
LIBEXEC := bangerd banger-helper banger-worker banger-agent banger-stub
install: all
	install -d $(PREFIXED)/bin $(PREFIXED)/libexec/banger $(PREFIXED)/lib/banger/units
	install -m 0755 $(BIN)/banger $(PREFIXED)/bin/banger
	$(foreach p,$(LIBEXEC),install -m 0755 $(BIN)/$(p) $(PREFIXED)/libexec/banger/$(p);)
	install -m 0644 $(SYSTEM_UNITS) $(PREFIXED)/lib/banger/units
	install -d $(PREFIXED)/share/man/man1 $(dir $(COMPLETIONS))
	$(BIN)/banger __man $(PREFIXED)/share/man/man1
	$(foreach s,bash zsh fish,$(BIN)/banger completion $(s) > $(filter %$(COMPLETION_$(s)),$(COMPLETIONS));)
uninstall:
	rm -f $(PREFIXED)/share/man/man1/banger.1 $(PREFIXED)/share/man/man1/banger-*.1 $(COMPLETIONS)
	rm -f $(PREFIXED)/bin/banger $(addprefix $(PREFIXED)/libexec/banger/,$(LIBEXEC))
	rm -f $(addprefix $(PREFIXED)/lib/banger/,$(SYSTEM_UNITS))
	-rmdir $(PREFIXED)/libexec/banger $(PREFIXED)/lib/banger/units $(PREFIXED)/lib/banger 2>/dev/null

clean:
	rm -rf build/obj build/san build/fuzz build/bin build/include build/build-id

-include make/*.mk
-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
