#!/usr/bin/env bash
# What the hardware counters say of decode at batch 32 and N = 16k: DRAM throughput, time, registers and shared memory of one launch.
#
#     bench/decode/counters.sh OUT_DIR plan=variant:folder ...
#
# It wants what decode.sh wants, and ncu. A launch under ncu runs alone and with cold caches: nothing of the launches around it helps.
set -u
cd "$(dirname "$0")/../.."
[ $# -ge 2 ] || { echo "usage: bench/decode/counters.sh OUT_DIR plan=variant:folder ..." >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
. bench/lib/node.sh
: >"$out/counters.txt"
for package in "$@"; do
  timeout 120 ncu --clock-control none -k regex:moa_decode --launch-skip 2 --launch-count 1 \
    --section SpeedOfLight --section MemoryWorkloadAnalysis --section LaunchStats --section WarpStateStats \
    node dist-bench/decode/ours.js "$out/counters-points.json" --batches 32 --lengths 16384 "$package" >"$out/counters.log" 2>&1
  {
    echo "$package: exit $?"
    grep -E 'moa_decode.*\(|Duration|DRAM Throughput|Memory Throughput  *Tbyte|Registers Per Thread|Dynamic Shared|Spilling Requests  ' "$out/counters.log" | sed 's/^ */  /'
  } | tee -a "$out/counters.txt"
done
rm -f "$out/counters.log" "$out/counters-points.json"
