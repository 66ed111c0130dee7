# Sourced by decode.sh and prefill.sh with their arguments, OUT_DIR [plan=variant:folder ...]. Wants the name of the benchmark in $benchmark and
# the seconds that ours and the peers may take in $ours_limit and $peers_limit. Runs its steps, and exits with 1 when one failed.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -ge 1 ] || { echo "usage: bench/$benchmark/$benchmark.sh OUT_DIR [plan=variant:folder ...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
results=$out/$benchmark
log=$results.log
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

step() {
  case $1 in
    check) timeout 120 python3 "bench/$benchmark/check_peers.py" >>"$log" 2>&1 ;;
    ours) rm -f "$results-ours.json" "$results-peers.json"; timeout "$ours_limit" node "dist-bench/$benchmark/ours.js" "$results-ours.json" ${OURS:-} $packages >>"$log" 2>&1 ;;
    peers) rm -f "$results-peers.json"; timeout "$peers_limit" python3 "bench/$benchmark/peers.py" "$results-peers.json" "$results-ours.json" ${PEERS:-} >>"$log" 2>&1 ;;
    report) node "dist-bench/$benchmark/report.js" "$out" 2>&1 | tee -a "$log"; return "${PIPESTATUS[0]}" ;;
    *) echo "unknown step $1" >&2; exit 2 ;;
  esac
}

: >"$log"
failed=0
for name in ${STEPS:-ours peers report}; do
  start=$(date +%s)
  step "$name"
  status=$?
  echo "$name: exit $status after $(($(date +%s) - start)) s" | tee -a "$log" >&2
  # A step that failed shows why; what it measured before is kept, and the next steps go on with it.
  [ $status -eq 0 ] || { failed=1; tail -n 5 "$log" >&2; }
done
exit $failed
