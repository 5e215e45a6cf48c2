/*
 * names.c - ids and generated names. An id is random and never used twice at a time; a name is an
 * adjective and a noun, with a number when all short ones that were tried are taken.
 */
#include "actors/vm/vm.h"

static const char *const adjectives[] = { "able", "amber", "ample", "azure", "bold", "brave",
	"breezy", "bright", "brisk", "calm", "clear", "clever", "cosy", "crisp", "daring", "deft",
	"eager", "early", "easy", "fair", "fancy", "fast", "fine", "fleet", "fond", "free", "fresh",
	"gentle", "glad", "golden", "grand", "green", "handy", "happy", "hardy", "hearty", "honest",
	"humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "lucky", "merry", "mighty",
	"neat", "nimble", "noble", "patient", "plain", "plucky", "proud", "quick", "quiet", "rapid",
	"ready", "sharp", "shiny", "silent", "smart", "snug", "solid", "steady", "sunny", "swift",
	"tidy", "trusty", "vivid", "warm", "wise", "witty", "zesty" };

static const char *const nouns[] = { "acorn", "anchor", "anvil", "badger", "beacon", "birch",
	"bison", "breeze", "brook", "canyon", "cedar", "cliff", "clover", "comet", "condor",
	"coral", "crane", "cricket", "delta", "dune", "eagle", "ember", "falcon", "fern", "finch",
	"fjord", "forest", "fox", "gecko", "glacier", "grove", "harbor", "hawk", "hazel", "heron",
	"island", "ivy", "jay", "lagoon", "lark", "linden", "lynx", "maple", "marten", "meadow",
	"mesa", "moss", "newt", "oak", "orchid", "osprey", "otter", "owl", "pebble", "pine",
	"plover", "quail", "raven", "reef", "ridge", "river", "robin", "sparrow", "spruce", "stone",
	"summit", "swan", "thistle", "tide", "tiger", "trout", "valley", "willow", "wren" };

void name_generate(struct vmd *v, char out[64])
{
	uint32_t dice[3];

	for (int tries = 0;; tries++) {
		world_random(v->world, dice, sizeof(dice));
		snprintf(out, 64, "%s-%s", adjectives[dice[0] % COUNT(adjectives)],
			nouns[dice[1] % COUNT(nouns)]);
		if (tries >= 8)
			snprintf(out + strlen(out), 64 - strlen(out), "-%u", dice[2] % 10000);
		if (!machine_find(v, out))
			return;
	}
}

void id_generate(struct vmd *v, char out[11])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t dice[8];

	do {
		world_random(v->world, dice, sizeof(dice));
		for (size_t i = 0; i < sizeof(dice); i++)
			out[i] = letters[dice[i] % (i == 0 ? 24 : 32)];
		out[sizeof(dice)] = '\0';
	} while (machine_find(v, out));
}
