# Registry tests: image.pull against Debian's docker-registry and a registry that misbehaves, both on
# the loopback. REGISTRY_STACKS=200 stacks of layers are compared with umoci's, REGISTRY_KILLS=50
# pulls are interrupted; REGISTRY_SEED repeats these.

# make registry   pulls of images: layers, cache, passwords, lies, kills (minutes)
.PHONY: registry
registry: all live-inputs
	$(RUN) registry
