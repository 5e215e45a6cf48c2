#!/bin/sh
# seeds.sh - the whole daemon on 2,000 seeds (SIM_SEEDS); a failing seed replays with `make sim SEED=n`.
exec build/san/bin/sim --seeds "${SIM_SEEDS:-2000}"
