#!/usr/bin/env bash
# Known vulnerabilities that our code reaches. Without a way to the database it says so and fails nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT
code=0
timeout 300 bin/tools/govulncheck ./... >"$out" 2>&1 || code=$?
if [ "$code" != 0 ] && [ "$code" != 3 ] && grep -q -E 'fetching vulnerabilities|dial tcp|no such host|HTTP GET|Client.Timeout' "$out"; then
  printf '\n*** govulncheck: LEFT OUT, its database cannot be reached from here\n\n' >&2
  exit 0
fi
cat "$out"
exit "$code"
