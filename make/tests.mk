# Tests, fuzzers, house rules and the protocol page.
#
# One file is one program, found by wildcard: tests/unit/NAME.c, tests/torture/NAME.c,
# tests/fuzz/NAME.c. It links with tests/lib, with what every program has (WIRED), and with what
# its own line adds, in any make/*.mk:
#	UNIT_OBJS_NAME := $(call objs,runtime/conf)	UNIT_LIBS_NAME := -lyaml
# and the same with TORTURE_ and FUZZ_. Programs report in TAP; tests/run runs them and counts.

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

$(O)/tests/tools/%: $(O)/obj/tests/tools/%.o $(TEST_LIB) $(WIRED_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_wire)

.PRECIOUS: $(O)/obj/tests/%.o
.PHONY: unit unit-bins torture torture-bins foreign foreign-bins fuzz fuzz-bins house lint docs \
	lint-gcc lint-clang

SAN_MAKE = +$(MAKE) --no-print-directory SAN=1
FUZZ_MAKE = +$(MAKE) --no-print-directory O=build/fuzz CC=clang SAN= LDFLAVOUR= \
	FLAVOUR='-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
	-DDEV_CHECKS=1' LDFLAGS='-pie -fsanitize=$(1)address,undefined'
RUN = $(PYTHON) tests/run

unit-bins: $(UNITS:%=$(O)/tests/unit/%)
torture-bins: $(TORTURES:%=$(O)/tests/torture/%)
foreign-bins: $(O)/tests/tools/standin
fuzz-bins: $(FUZZERS:%=$(O)/tests/fuzz/%)

unit:
	$(SAN_MAKE) unit-bins
	$(RUN) unit

torture:
	$(SAN_MAKE) torture-bins
	$(RUN) torture

foreign: $(O)/tests/tools/standin
	$(SAN_MAKE) foreign-bins
	$(RUN) foreign

fuzz:
	$(call FUZZ_MAKE,) build/fuzz/tests/tools/seeds
	$(call FUZZ_MAKE,fuzzer$(comma)) fuzz-bins
	@rm -rf build/fuzz/seeds; build/fuzz/tests/tools/seeds build/fuzz/seeds
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) fuzz

PROTODOC := $(O)/tests/tools/protodoc

docs: $(PROTODOC)
	@mkdir -p docs
	$(PROTODOC) > docs/protocol.md

house: $(PROTODOC) $(call objs_deep,actors)
	$(RUN) house
