# Live tests: real machines with Debian's kernel under QEMU. As root or not, in directories of their
# own; what they boot is made once and kept under build/cache.

# make live       real machines, every command, crashes at every step (minutes)
.PHONY: live live-inputs
live-inputs:
	@tests/live/inputs

live: all live-inputs
	$(RUN) live
