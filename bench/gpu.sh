#!/usr/bin/env bash
# Everything that needs a GPU, in one call: tests, sanitizer, speeds and peers. Results go to $OUT as JSON and logs; a short table
# comes last. Wants what was built elsewhere: dist/, dist-bench/, build/Release/moa.node, packages with cubins under generated/, and
# node, on the PATH or packed as .gpu/node.xz.
#
#     OUT=results bench/gpu.sh [tests] [sanitize] [speed] [peers] [counters]
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-bench/out}
mkdir -p "$OUT"
steps=${*:-tests sanitize speed peers}

if ! command -v node >"$OUT/which-node.log" 2>&1; then
  mkdir -p "$HOME/.moa-node"
  xz -dc .gpu/node.xz >"$HOME/.moa-node/node" && chmod +x "$HOME/.moa-node/node"
  export PATH="$HOME/.moa-node:$PATH"
fi
packages=""
for folder in generated/*/; do
  [ -e "${folder}cubin" ] && packages="$packages $(basename "$folder")=$PWD/${folder%/}"
done
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$OUT/gpu.txt" 2>&1

for step in $steps; do
  start=$(date +%s)
  case $step in
    tests) node .gpu/gpu-tests.mjs "$OUT/tests.json" $packages >"$OUT/tests.log" 2>&1 ;;
    sanitize)
      for tool in memcheck racecheck synccheck; do
        compute-sanitizer --tool $tool --error-exitcode 9 node .gpu/gpu-tests.mjs "$OUT/sanitize-$tool.json" --small $packages >"$OUT/sanitize-$tool.log" 2>&1
        echo "$tool: exit $?" >>"$OUT/sanitize.log"
      done ;;
    speed) node dist-bench/speed.js "$OUT/speed.json" $packages >"$OUT/speed.log" 2>&1 ;;
    peers) python3 bench/peers.py "$OUT/peers.json" >"$OUT/peers.log" 2>&1 ;;
    counters)
      ncu --clock-control none --set full -k regex:moa_ -c 6 -o "$OUT/counters" node dist-bench/speed.js "$OUT/ncu-speed.json" $packages >"$OUT/counters.log" 2>&1 ;;
    *) echo "unknown step $step" >&2; exit 2 ;;
  esac
  echo "$step: exit $? after $(($(date +%s) - start)) s"
done
cat "$OUT/gpu.txt"
for log in tests sanitize speed; do [ -e "$OUT/$log.log" ] && tail -n 40 "$OUT/$log.log"; done
[ -e "$OUT/peers.json" ] && python3 - "$OUT/peers.json" <<'PY'
import json, sys
results = json.load(open(sys.argv[1]))
print(results["device"], "torch", results["torch"], "read", round(results["readTbps"], 2), "TB/s")
for kind, unit in (("prefill", "tflops"), ("decode", "tbps")):
    for row in results[kind]:
        value = row.get("error") or f'{row["ms"]:.4f} ms {row[unit]:.2f} {unit}'
        print(row["model"], row["backend"], kind, row["tokens"], row.get("batch", 1), value)
PY
exit 0
