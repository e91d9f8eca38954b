#!/usr/bin/env bash
# Tests against other people's programs, and tests that need root or namespaces. They live in *_test.go files
# with `//go:build interop` and are named TestInterop...; such a test asks for its programs with exec.LookPath
# and skips without them, unless JURYMAST_INTEROP=strict says that everything has been installed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin # Debian's servers lie there

loud() { printf '\n*** %s\n\n' "$*" >&2; }

if scripts/packages.sh install; then
  export JURYMAST_INTEROP=strict
else
  loud "test-interop: LEFT OUT what needs these packages:" $(scripts/packages.sh missing || true)
fi
if [ "$(id -u)" != 0 ]; then
  loud "test-interop: LEFT OUT what needs root (network namespaces, small file systems)"
  unset JURYMAST_INTEROP
fi

dirs=$({ grep -rl --include='*_test.go' '^//go:build .*interop' . || true; } | xargs -r -n1 dirname | sort -u)
if [ -z "$dirs" ]; then
  loud "test-interop: there is no test with the build tag interop yet; nothing was run"
  exit 0
fi
# shellcheck disable=SC2086 # a list of folders
go test -tags interop -shuffle=on -count=1 -timeout 10m -run '^TestInterop' $dirs
