# `make bench`: what banger costs, each figure beside its peer's in the same run. The programs are
# bench/*.c in the flavour that is installed; bench/run drives them and prints the table.

BENCHES := $(basename $(notdir $(wildcard bench/*.c)))
BENCH_OBJS_letters := $(call objs,runtime/actor)

.SECONDEXPANSION:

$(O)/bench/%: $(O)/obj/bench/%.o $$(BENCH_OBJS_$$*) $$(WIRED_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LIBS_wire)

.PRECIOUS: $(O)/obj/bench/%.o
.PHONY: bench bench-bins bench-peers

bench-bins: all $(BENCHES:%=$(O)/bench/%) $(O)/tests/tools/namesd

# A peer that cannot be installed is a row of the table that says so.
bench-peers:
	-@tools/deps bench/packages.txt

bench: bench-peers
	@$(MAKE) --no-print-directory bench-bins
	@$(PYTHON) bench/run
