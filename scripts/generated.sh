#!/usr/bin/env bash
# Fails when `go generate` changes a file: what is generated is committed fresh.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() {
  find . -type f -not -path './.git/*' -not -path './bin/*' -not -path './data/*' -print0 | sort -z | xargs -0 sha256sum
}

before=$(sums)
go generate ./...
after=$(sums)
if [ "$before" != "$after" ]; then
  echo "generated: these files were stale and have been written anew; commit them:" >&2
  diff <(echo "$before") <(echo "$after") | sed -n 's/^> [0-9a-f]*  /  /p' >&2 || true
  exit 1
fi
echo "generated: fresh"
