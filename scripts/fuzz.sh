#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh [DURATION], default 5s.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}

# Go's fuzzer sometimes reports the end of its own time as a failure while it makes an interesting input smaller. So inputs
# are not made smaller here, and a run that names no failing input and says nothing but that is tried once more.
fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 1x "$1" 2>&1 | tee "$log"; }
run() {
  fuzz "$1" "$2" && return
  if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
    echo "fuzz: the fuzzer ran over its own time; once more"
    fuzz "$1" "$2"
    return
  fi
  return 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
found=0
while IFS=: read -r file line; do
  name=${line#func }
  name=${name%%(*}
  found=$((found + 1))
  echo "fuzz $(dirname "$file") $name $time"
  run "$(dirname "$file")" "$name"
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*(' . | sort)
echo "fuzz: $found targets"
