# Smoke: banger installed on Debian hosts of its own, inside VMs with systemd and emulated KVM.
#
#	make smoke JOBS=2		two hosts at once
#	make smoke SHARDS='boots system'	some shards (modules of tests/smoke/inside)
#	FIRECRACKER_BIN=... JAILER_BIN=... make smoke

JOBS ?= 1
SHARDS ?=

.PHONY: smoke
smoke: all
	@SMOKE_SHARDS= $(PYTHON) tests/smoke.py --jobs $(JOBS) $(SHARDS)
