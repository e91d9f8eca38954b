#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: fuzz.sh [DURATION], default 5s.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}

found=0
while IFS=: read -r file line; do
  name=${line#func }
  name=${name%%(*}
  found=$((found + 1))
  echo "fuzz $(dirname "$file") $name $time"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$(dirname "$file")"
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*(' . | sort)
echo "fuzz: $found targets"
