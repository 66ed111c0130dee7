#!/usr/bin/env bash
# The evidence that the search works: trains a small model on associative retrieval, searches plans for it, and measures what they keep. About 9 minutes on a GPU.
#
#     bench/search/evidence/evidence.sh OUT_DIR
#
#     SECONDS_TO_TRAIN=240      of training
#     MODEL=/path/of/a/model    trained before: training is left out
#     SAMPLES=256               sequences of each length that plans are measured on
#     DENSITIES="0.5 0.25 0.125"
#     ONLY_TRAIN=1              nothing but the model, in $WORK/retrieval-20m
#
# Wants dist/ and dist-bench/ (npm run build:bench), and a Python with torch and transformers. Leaves plans, reports and evaluation.json in OUT_DIR; table.md comes last.
set -u
cd "$(dirname "$0")/../../.."
[ $# -eq 1 ] || { echo "usage: bench/search/evidence/evidence.sh OUT_DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
. bench/lib/node.sh
evidence=bench/search/evidence
work=${WORK:-$out/work}
model=${MODEL:-$work/retrieval-20m}
mkdir -p "$work"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD/python${PYTHONPATH:+:$PYTHONPATH}"

run() {
  local name=$1 start
  shift
  start=$(date +%s)
  "$@" >>"$out/$name.log" 2>&1 || { echo "$name: exit $? " >&2; tail -n 8 "$out/$name.log" >&2; return 1; }
  echo "$name: $(($(date +%s) - start)) s" >&2
}

[ -n "${MODEL:-}" ] || run train python3 $evidence/train.py --output "$model" --seconds "${SECONDS_TO_TRAIN:-240}" || exit 1
cp "$model/training.json" "$model/config.json" "$out/" 2>/dev/null
[ -z "${ONLY_TRAIN:-}" ] || exit 0

# Profiles know 1024 and 2048; 4096 is for the choice. Asks of all distances count alike, but for the profile that shows what that is worth.
run data python3 $evidence/task.py "$work/even.jsonl" --lengths 1024,2048 --samples "${PROFILE_SAMPLES:-64}" --seed 10001 --even
run data python3 $evidence/task.py "$work/task.jsonl" --lengths 1024,2048 --samples "${PROFILE_SAMPLES:-64}" --seed 10001
run data python3 $evidence/task.py "$work/choice.jsonl" --lengths 4096 --samples 32 --seed 10002 --even

masks=()
search() { # name density data target [more options]
  local name=$1 density=$2 data=$3 target=$4
  shift 4
  run "search-$name-$density" node bin/moa-compile.js search --model "$model" --data "$work/$data.jsonl" --lengths 1024,2048 --density "$density" --target "$target" --alpha-step 128 \
    --work "$work/$data-$target" -o "$out/plan-$name-$density.json" "$@" && masks+=("$name@$density=$out/plan-$name-$density.json")
}
for density in ${DENSITIES:-0.5 0.25 0.125}; do
  search ours "$density" even margin --validate 4096 --validation-data "$work/choice.jsonl" --json --report "$out/report-$density.html"
  run "query-head-$density" node dist-bench/search/equalBytes.js "$work/even-margin/profile.safetensors" "$out/plan-query-head-$density.json" --density "$density" --extend 4096 --alpha-step 128 &&
    masks+=("query-head@$density=$out/plan-query-head-$density.json")
  # The same without a choice by validation: by query head there is none either.
  run "unvalidated-$density" node bin/moa-compile.js search "$work/even-margin/profile.safetensors" --density "$density" --extend 4096 --alpha-step 128 -o "$out/plan-unvalidated-$density.json" &&
    masks+=("unvalidated@$density=$out/plan-unvalidated-$density.json")
done
# What the choice of samples and of the target is worth, beside `unvalidated`.
for density in ${ABLATIONS-0.25 0.125}; do
  search loss-even "$density" even cross-entropy --extend 4096
  search loss-task "$density" task cross-entropy --extend 4096
  search margin-task "$density" task margin --extend 4096
done
node bin/moa-compile.js check-plan "$out/plan-ours-0.25.json" --profile "$work/even-margin/profile.safetensors" >"$out/check-plan.txt" 2>&1

node dist-bench/search/planMasks.js --lengths 1024,2048,4096 "${masks[@]}" >"$work/masks.json"
densities=${DENSITIES:-0.5 0.25 0.125}
run evaluate python3 $evidence/evaluate.py --model "$model" --lengths 1024,2048,4096 --uniform "${densities// /,}" --masks "$work/masks.json" --samples "${SAMPLES:-256}" --output "$out/evaluation.json"
python3 $evidence/table.py "$out/evaluation.json" >"$out/table.md"
cat "$out/table.md"
