# `make check` after the packages are there: everything is built first, then one run of all suites,
# cheap ones first and real machines last, so that one sum stands at the end. The suite `smoke` runs
# SMOKE_SHARDS (`make smoke` runs all), SMOKE_JOBS hosts at once.

.PHONY: check-built check-programs
CHECK_SUITES ?= unit torture foreign dns house fuzz sim helper registry live smoke
export SMOKE_SHARDS ?= system machines
export SMOKE_JOBS ?= 2

check-built:
	@$(MAKE) --no-print-directory check-programs
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) $(CHECK_SUITES)

check-programs: all $(O)/tests/tools/protodoc $(O)/tests/tools/privdoc \
		$(O)/tests/tools/standin $(O)/tests/tools/firecracker_double \
		$(O)/tests/tools/fc_requests helper-bins
	$(SAN_MAKE) unit-bins torture-bins foreign-bins dns-bins
	$(call FUZZ_MAKE,) build/fuzz/tests/tools/seeds
	$(call FUZZ_MAKE,fuzzer$(comma)) fuzz-bins
	@rm -rf build/fuzz/seeds; build/fuzz/tests/tools/seeds build/fuzz/seeds
	@$(MAKE) --no-print-directory sim-bin live-inputs

# make helper     the root helper as root, in namespaces of its own
.PHONY: helper helper-bins
helper-bins: $(O)/tests/tools/resolved $(O)/tests/tools/jailbird $(O)/tests/tools/opening

helper: all helper-bins live-inputs
	$(RUN) helper
