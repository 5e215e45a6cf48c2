# The simulation: the whole daemon on a seed (tests/sim), always with sanitizers and self-checks.
#
#	make sim SEED=7		replays one seed, with its trace
#	make sim-run SEEDS=2000	runs many
#	make sim-mutants	one mistake at a time, each to be found within 1,000 seeds

SEED ?= 1
SEEDS ?= 2000
SIM := build/san/bin/sim
# Everything of the daemon but the Linux side of its seams and its main.
SIM_OBJS := $(filter-out %/actors/main.o,$(WIRED) $(call objs,runtime/dns runtime/actor runtime/flow runtime/vmm tests/sim) \
	$(O)/obj/tests/lib/dns_look.o $(call objs_deep,actors) $(O)/obj/tests/lib/fc_rules.o)

$(O)/bin/sim: $(SIM_OBJS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -Wl,--wrap=getpid,--wrap=must_failed $^ -o $@ $(LIBS_wire) -ljansson

.PHONY: sim sim-bin sim-run sim-mutants
sim-bin:
	$(SAN_MAKE) build/san/bin/sim

sim: sim-bin
	@$(SIM) --seed $(SEED) --trace

sim-run: sim-bin
	@$(SIM) --seeds $(SEEDS)

sim-mutants: sim-bin
	@tools/sim-mutants
