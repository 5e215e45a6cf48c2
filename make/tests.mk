# Tests, fuzzers, house rules and the protocol page.
#
# One file is one program, found by wildcard: tests/unit/NAME.c, tests/torture/NAME.c,
# tests/fuzz/NAME.c. It links with tests/lib, with what every program has (WIRED), and with what
# its own line adds, in any make/*.mk:
#	UNIT_OBJS_NAME := $(call objs,runtime/conf)	UNIT_LIBS_NAME := -lyaml
# and the same with TORTURE_, FUZZ_ and TOOL_. Programs report in TAP; tests/run runs them and counts.

PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
FUZZ_SECONDS ?= 60

names = $(basename $(notdir $(wildcard tests/$(1)/*.c)))
UNITS := $(call names,unit)
TORTURES := $(call names,torture)
FUZZERS := $(call names,fuzz)

TEST_LIB := $(O)/tests/lib.a
WIRED_LIB := $(O)/tests/wired.a
WRAPS := tests/torture/driver/wraps.def
DRIVER := $(O)/obj/tests/torture/driver/torture.o $(O)/obj/tests/torture/driver/wraps.o

$(TEST_LIB): $(call objs,tests/lib)
$(WIRED_LIB): $(WIRED)
$(TEST_LIB) $(WIRED_LIB):
	@mkdir -p $(@D); rm -f $@
	$(Q)ar rcsD $@ $^

.SECONDEXPANSION:

$(O)/tests/unit/%: $(O)/obj/tests/unit/%.o $$(UNIT_OBJS_$$*) $(TEST_LIB) $(WIRED_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(UNIT_LIBS_$*) -lcmocka $(LIBS_wire)

# libev is shared here, so that only banger's own allocations and system calls are made to fail:
# libev ends the process when it gets no memory.
$(O)/tests/torture/%: $(O)/obj/tests/torture/%.o $$(TORTURE_OBJS_$$*) $(DRIVER) $(TEST_LIB) \
		$(WIRED_LIB) $(WRAPS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $(filter-out %.def,$^) -o $@ \
		$(shell sed -n 's/^[A-Z]*(\([a-z0-9_]*\)[,)].*/-Wl,--wrap=\1/p' $(WRAPS)) \
		$(TORTURE_LIBS_$*) -lev -lmsgpackc -lm
comma := ,

$(O)/tests/fuzz/%: $(O)/obj/tests/fuzz/%.o $$(FUZZ_OBJS_$$*) $(TEST_LIB) $(WIRED_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(FUZZ_LIBS_$*) $(LIBS_wire)

$(O)/tests/tools/%: $(O)/obj/tests/tools/%.o $$(TOOL_OBJS_$$*) $(TEST_LIB) $(WIRED_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(TOOL_LIBS_$*) $(LIBS_wire)

.PRECIOUS: $(O)/obj/tests/%.o
.PHONY: unit unit-bins torture torture-bins foreign foreign-bins dns dns-bins fuzz fuzz-bins house lint docs

SAN_MAKE = +$(MAKE) --no-print-directory SAN=1
FUZZ_MAKE = +$(MAKE) --no-print-directory O=build/fuzz CC=clang SAN= LDFLAVOUR= \
	FLAVOUR='-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
	-DDEV_CHECKS=1' LDFLAGS='-pie -fsanitize=$(1)address,undefined'
RUN = $(PYTHON) tests/run

unit-bins: $(UNITS:%=$(O)/tests/unit/%)
torture-bins: $(TORTURES:%=$(O)/tests/torture/%)
foreign-bins: $(O)/tests/tools/standin
dns-bins: $(O)/tests/tools/namesd
fuzz-bins: $(FUZZERS:%=$(O)/tests/fuzz/%)

unit:
	$(SAN_MAKE) unit-bins
	$(RUN) unit

torture:
	$(SAN_MAKE) torture-bins
	$(RUN) torture

foreign: $(O)/tests/tools/standin $(O)/tests/tools/fc_requests
	$(SAN_MAKE) foreign-bins
	$(RUN) foreign

dns:
	$(SAN_MAKE) dns-bins
	$(RUN) dns

fuzz:
	$(call FUZZ_MAKE,) build/fuzz/tests/tools/seeds
	$(call FUZZ_MAKE,fuzzer$(comma)) fuzz-bins
	@rm -rf build/fuzz/seeds; build/fuzz/tests/tools/seeds build/fuzz/seeds
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) fuzz

PROTODOC := $(O)/tests/tools/protodoc
PRIVDOC := $(O)/tests/tools/privdoc

docs: $(PROTODOC) $(PRIVDOC)
	@mkdir -p docs
	$(PROTODOC) > docs/protocol.md
	$(PRIVDOC) > docs/privileges.md

# An actor that does not compile is a fault of its own among the others.
house: $(PROTODOC) $(PRIVDOC) $(INC_DONE)
	-@$(MAKE) --no-print-directory -ks $(call objs_deep,actors) >/dev/null 2>&1
	$(RUN) house

# Lint: every object with gcc at -O0 and with all that clang can warn of, then the two checkers.
# What they shall not say stands here, in .clang-tidy and in tests/cppcheck.txt, each with its reason.
LINT_SRC = $(sort $(wildcard $(addsuffix /*.c,runtime/* proto actors actors/* helper agent agent/stub cli bench \
	tests/* tests/torture/driver)))
LINT_OBJS = $(LINT_SRC:%.c=$(O)/obj/%.o)
LINT_CLANG := -Weverything
LINT_CLANG += -Wno-padded # layout is not the wire's
LINT_CLANG += -Wno-disabled-macro-expansion -Wno-reserved-identifier # libc's and the linker's names
LINT_CLANG += -Wno-gnu-empty-struct -Wno-gnu-empty-initializer -Wno-gnu-statement-expression # GNU C
LINT_CLANG += -Wno-c++-compat -Wno-declaration-after-statement -Wno-pedantic # not C++, not C89
LINT_CLANG += -Wno-missing-noreturn # functions that end in exec or exit say so where it matters
LINT_CLANG += -Wno-conditional-uninitialized # OK means that the result is set; gcc follows it
LINT_CLANG += -Wno-bad-function-cast # an enum as a number, to switch on some of its words
LINT_CLANG += -Wno-string-conversion # text and truth in tables
LINT_CLANG += -Wno-missing-variable-declarations # an actor's class has no header (house checks it)
LINT_CLANG += -Wno-missing-field-initializers -Wno-class-varargs # libseccomp's macros
LINT_QUEUE := $(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h))

.PHONY: lint-objs lint-gcc lint-clang lint-tidy lint-cppcheck
lint-objs: $(LINT_OBJS)

lint-gcc:
	+$(MAKE) --no-print-directory O=build/lint-gcc CC=gcc SAN= FLAVOUR=-O0 lint-objs

lint-clang:
	+$(MAKE) --no-print-directory O=build/lint-clang CC=clang SAN= FLAVOUR=-O2 \
		EXTRA_CFLAGS='$(LINT_CLANG)' lint-objs

lint-tidy: $(INC_DONE)
	@printf '%s\n' $(filter-out %/build.c,$(LINT_SRC)) | xargs -P$(shell nproc) -n8 sh -c \
		'clang-tidy --quiet "$$@" -- -std=gnu17 -D_GNU_SOURCE -I$(INC)/tests $(CFLAGS_helper) 2>/dev/null' tidy

lint-cppcheck: $(INC_DONE)
	@cppcheck --std=c11 --enable=warning,performance,portability --inline-suppr -q \
		-j$(shell nproc) --suppressions-list=tests/cppcheck.txt --error-exitcode=1 \
		$(addprefix --include=,$(LINT_QUEUE)) -I$(INC)/tests \
		$(wildcard runtime proto actors helper agent cli bench tests)

lint: house lint-gcc lint-clang lint-tidy lint-cppcheck
