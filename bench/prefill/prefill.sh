#!/usr/bin/env bash
# The prefill benchmark: ours, then the peers at the same points, then one result of both with figures and tables. About 7 minutes on a GPU,
# half of them for the peers, of which FlexAttention compiles for each point.
#
#     bench/prefill/prefill.sh OUT_DIR [plan=variant:folder ...]
#
# Packages are found and named as by bench/decode/decode.sh, and it wants the same.
#
#     STEPS="check ours peers report"     which steps; all but check by default. check: whether the peers compute what they should
#     OURS="--lengths 4096,16384"         more arguments of ours.js
#     PEERS="--seconds flex=60"           more arguments of peers.py
#
# Leaves prefill-ours.json, prefill-peers.json, prefill.json, prefill-<plan>.svg and prefill.log; the tables come last on standard output.
set -u
benchmark=prefill
ours_limit=600
peers_limit=600
. "$(dirname "$0")/../lib/benchmark.sh"
