#!/usr/bin/env bash
# Latency tables for the search, from our own kernels. Under a minute for each model.
#
#     bench/search/latency.sh OUT_DIR [queryHeads x kvHeads x headDim = lengths ...]
#     bench/search/latency.sh out 8x4x64=1024,2048,4096 32x8x64=4096,8192,16384 32x8x128=4096,8192,16384
#
# Without models it takes the first of these, that of bench/search/evidence.
#
#     STEPS="compile measure"     which steps; both by default. compile: the package generated/latency-<model>, where there are npm packages and nvcc.
#                                 measure: on a GPU machine; wants that package, dist/, dist-bench/ (npm run build:bench) and build/Release/moa.node
#     ARCH=sm_90a                 of the package
#     MEASURE="--batch 8"         more arguments of measureLatency.js
#
# Leaves latency-<model>-decode.json and -prefill.json, the tables, -rows.json, what was measured, and latency.log; tables of all come last on
# standard output.
set -u
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { echo "usage: bench/search/latency.sh OUT_DIR [8x4x64=1024,2048,4096 ...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
log=$out/latency.log
shift
[ $# -ge 1 ] || set -- 8x4x64=1024,2048,4096
. bench/lib/node.sh

compile() {
  node dist-bench/search/latencyPlan.js "$out/latency-$model-plan.json" --lengths "$lengths" --query-heads "$query_heads" --kv-heads "$kv_heads" --head-dim "$head_dim" &&
    node bin/moa-compile.js "$out/latency-$model-plan.json" --arch "${ARCH:-sm_90a}" --no-rope -q -o "generated/latency-$model"
}

measure() {
  timeout 200 node dist-bench/search/measureLatency.js "$out/latency-$model" "generated/latency-$model" --lengths "$lengths" ${MEASURE:-}
}

: >"$log"
failed=0
for argument in "$@"; do
  model=${argument%%=*}
  lengths=${argument#*=}
  IFS=x read -r query_heads kv_heads head_dim <<<"$model"
  for name in ${STEPS:-compile measure}; do
    case $name in compile | measure) ;; *) echo "unknown step $name" >&2; exit 2 ;; esac
    start=$(date +%s)
    "$name" >>"$log" 2>&1
    status=$?
    echo "$name $model: exit $status after $(($(date +%s) - start)) s" | tee -a "$log" >&2
    [ $status -eq 0 ] || { failed=1; tail -n 5 "$log" >&2; }
  done
done
# The tables, without the line of each point.
grep -hE '^(\||bench/|decode: |prefill: )' "$log"
exit $failed
