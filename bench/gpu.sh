#!/usr/bin/env bash
# What needs a GPU, in one call: property tests, sanitizer and speeds. Results go to $OUT as JSON and logs; a short table comes last. Peers are measured by
# bench/prefill and bench/decode.
#
#     OUT=results bench/gpu.sh [tests] [sanitize] [speed] [counters]
#
# It wants what can be made on a machine without a GPU: dist/, dist-bench/ (npm run build:bench), build/Release/moa.node, packages with
# cubins under generated/, .gpu/tests (node scripts/bundle-gpu-tests.mjs), published plans in .gpu/plans, and node: on the PATH, or
# packed as .gpu/node.xz. nvcc, compute-sanitizer, ncu and torch are the GPU machine's.
#
# MOA_PROPERTY_RUNS scales the number of random cases. SANITIZER_RUNS does so for the sanitizer, SANITIZER_TOOLS and SANITIZER_ONLY choose among its tools and kinds.
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-bench/out}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
steps=${*:-tests sanitize speed}

. bench/lib/node.sh
command -v node >"$OUT/node.txt"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$OUT/gpu.txt" 2>&1
packages=""
for folder in generated/*/; do
  [ -e "${folder}cubin" ] && packages="$packages $(basename "$folder")=$PWD/${folder%/}"
done
export MOA_PLANS=${MOA_PLANS:-$PWD/.gpu/plans}
parts=14

build_tests() {
  [ -e .gpu/tests/packages/vicuna.sm_90a.cubin ] && return
  (cd .gpu/tests/packages && ls ./*.cu | xargs -P "$(nproc)" -I{} sh -c \
    'a=${1%.cu}; a=${a##*.sm_}; nvcc -cubin -gencode "arch=compute_$a,code=sm_$a" -std=c++20 -O3 -lineinfo -I ../../../templates/include -I ../../../templates/cuda -o "${1%.cu}.cubin" "$1" || echo "FAILED $1"' _ {}) >"$OUT/build.log" 2>&1
}

run_tests() {
  build_tests
  for part in $(seq 0 $((parts - 1))); do
    node --max-old-space-size=8000 .gpu/tests/gpu-tests.mjs run .gpu/tests/packages --part "$part/$parts" --json "$OUT/tests-$part.json" >"$OUT/tests-$part.log" 2>&1 &
  done
  wait
  node bench/mergeTests.mjs "$OUT/tests.json" "$OUT"/tests-*.json >"$OUT/tests.log" 2>&1
  grep -h FAILED "$OUT"/tests-*.log >>"$OUT/tests.log"
  rm -f "$OUT"/tests-*.json "$OUT"/tests-*.log
}

# Cases of $2, those of part $3 ("0/4"), under sanitizer tool $1: a line for the log.
sanitize_part() {
  one="$OUT/sanitize-$1-${2// /_}-${3%/*}.log"
  MOA_PROPERTY_RUNS=${SANITIZER_RUNS:-0.05} timeout 300 compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 3 \
    node .gpu/tests/gpu-tests.mjs run .gpu/tests/packages --only "$2" --part "$3" >"$one" 2>&1
  echo "$1, $2 $3: exit $?, $(grep -h 'SUMMARY' "$one" | sed 's/=* *//' | head -n 1), $(grep -ho '[0-9]* cases, [0-9]* failed' "$one")" >>"$OUT/sanitize.log"
  grep -h -A 12 '=========' "$one" | head -n 40 >"$one-details"
}

# The sanitizer slows kernels down by tens: a few small cases of each kind, of kinds with many cases the parts, side by side. racecheck takes longest.
sanitize() {
  build_tests
  : >"$OUT/sanitize.log"
  for tool in ${SANITIZER_TOOLS:-racecheck memcheck synccheck initcheck}; do
    for kind in e4m3 'chunks ' invariant 'prefill ' 'decode ' RoPE capture 'sequences ' 'learned sinks' 'headDim 256'; do
      case $kind in *${SANITIZER_ONLY:-}*) ;; *) continue ;; esac
      case $kind in e4m3) pieces=4 ;; 'chunks ') pieces=2 ;; *) pieces=1 ;; esac
      for piece in $(seq 0 $((pieces - 1))); do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        sanitize_part "$tool" "$kind" "$piece/$pieces" &
      done
    done
  done
  wait
  sort -o "$OUT/sanitize.log" "$OUT/sanitize.log"
  cat "$OUT"/sanitize-*-details >"$OUT/sanitize-details.log"
  rm -f "$OUT"/sanitize-*-*.log "$OUT"/sanitize-*-details
}

for step in $steps; do
  start=$(date +%s)
  case $step in
    tests) run_tests ;;
    sanitize) sanitize ;;
    speed) node dist-bench/speed.js "$OUT/speed.json" $packages >"$OUT/speed.log" 2>&1 ;;
    counters) ncu --clock-control none --set full -k regex:moa_ -c 6 -o "$OUT/counters" node dist-bench/speed.js "$OUT/ncu-speed.json" $packages >"$OUT/counters.log" 2>&1 ;;
    *) echo "unknown step $step" >&2; exit 2 ;;
  esac
  echo "$step: exit $? after $(($(date +%s) - start)) s"
done
# Few files to carry home: the logs become one.
for log in gpu.txt node.txt build.log tests.log sanitize.log sanitize-details.log speed.log counters.log; do
  [ -e "$OUT/$log" ] && { echo "== $log"; cat "$OUT/$log"; } >>"$OUT/all.log"
done
for log in gpu.txt build.log tests.log sanitize.log speed.log; do [ -e "$OUT/$log" ] && tail -n 40 "$OUT/$log"; done
rm -f "$OUT"/*.txt "$OUT"/[b-z]*.log
exit 0
