#!/usr/bin/env bash
# The decode benchmark: ours, then the peers at the same points, then one result of both with figures and tables. About 4 minutes on a GPU.
#
#     bench/decode/decode.sh OUT_DIR [plan=variant:folder ...]
#
# Without packages it takes every folder of generated/ that has cubins: generated/vicuna-7b-generic is variant `generic` of vicuna-7b, a
# plan being a name in examples/, and generated/vicuna-7b is named after its cubin. It wants dist/, dist-bench/ (npm run build:bench),
# build/Release/moa.node, those packages, and torch for the peers.
#
#     STEPS="check ours peers report"     which steps; all but check by default. check: whether the peers compute what they should
#     OURS="--batches 1,8,32"             more arguments of ours.js
#     PEERS="--seconds flex=30"           more arguments of peers.py
#
# Leaves decode-ours.json, decode-peers.json, decode.json, decode-<plan>.svg and decode.log; the tables come last on standard output.
set -u
benchmark=decode
ours_limit=300
peers_limit=220
. "$(dirname "$0")/../lib/benchmark.sh"
