# Live tests: real machines with Debian's kernel under QEMU. As root or not, in directories of their
# own; what they boot is made once and kept under build/cache.

# make live       real machines, every command, crashes at every step (minutes)
.PHONY: live live-inputs
live-inputs: build/tests/flush_fails.so
	@tests/live/inputs

# Loaded into a daemon whose disk is to fail.
build/tests/flush_fails.so: tests/live/flush_fails.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O1 -shared -fPIC $< -o $@

live: all live-inputs $(O)/tests/tools/firecracker_double
	$(RUN) live
