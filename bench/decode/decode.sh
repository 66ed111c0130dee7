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
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { echo "usage: bench/decode/decode.sh OUT_DIR [plan=variant:folder ...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
. bench/lib/node.sh
export PYTHONUNBUFFERED=1

# plan=variant:folder of a package: the plan is the longest name in examples/ that the folder begins with.
describe() {
  local name plan=""
  name=$(basename "$1")
  for example in examples/*/; do
    example=$(basename "$example")
    case $name in "$example" | "$example"-*) [ ${#example} -gt ${#plan} ] && plan=$example ;; esac
  done
  local variant=${name#"${plan:-$name}"}
  variant=${variant#-}
  [ -n "$variant" ] || variant=$(basename -s .cubin "$1"/cubin/*.cubin | head -n 1)
  echo "${plan:-$name}=$variant:$1"
}

packages=$*
if [ -z "$packages" ]; then
  for folder in generated/*/; do
    [ -e "${folder}cubin" ] && packages="$packages $(describe "${folder%/}")"
  done
fi
[ -n "$packages" ] || { echo "no package with cubins under generated/: see CONTRIBUTING.md" >&2; exit 2; }

: >"$out/decode.log"
failed=0
for step in ${STEPS:-ours peers report}; do
  start=$(date +%s)
  case $step in
    check) timeout 120 python3 bench/decode/check_peers.py >>"$out/decode.log" 2>&1 ;;
    ours) rm -f "$out/decode-ours.json" "$out/decode-peers.json"; timeout 300 node dist-bench/decode/ours.js "$out/decode-ours.json" ${OURS:-} $packages >>"$out/decode.log" 2>&1 ;;
    peers) rm -f "$out/decode-peers.json"; timeout 220 python3 bench/decode/peers.py "$out/decode-peers.json" "$out/decode-ours.json" ${PEERS:-} >>"$out/decode.log" 2>&1 ;;
    report) node dist-bench/decode/report.js "$out" 2>&1 | tee -a "$out/decode.log"; [ "${PIPESTATUS[0]}" -eq 0 ] ;;
    *) echo "unknown step $step" >&2; exit 2 ;;
  esac
  status=$?
  echo "$step: exit $status after $(($(date +%s) - start)) s" | tee -a "$out/decode.log" >&2
  # A step that failed shows why; what it measured before is kept, and the next steps go on with it.
  [ $status -eq 0 ] || { failed=1; tail -n 5 "$out/decode.log" >&2; }
done
exit $failed
