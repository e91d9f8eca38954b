#!/usr/bin/env bash
# Installs the pinned Go tools into bin/tools; a tool of the right version is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$PWD/bin/tools
mkdir -p "$dir"

version() { { go version -m "$1" 2>/dev/null || true; } | awk '$1 == "mod" { print $3 }'; }

# tool PACKAGE VERSION
tool() {
  local name have elsewhere
  name=$(basename "$1")
  have=$(version "$dir/$name")
  [ "$have" != "$2" ] || return 0
  elsewhere=$(go env GOPATH)/bin/$name
  if [ "$(version "$elsewhere")" = "$2" ]; then
    cp "$elsewhere" "$dir/$name"
  else
    echo "tools: building $name $2"
    GOBIN=$dir go install "$1@$2"
  fi
}

tool mvdan.cc/gofumpt v0.9.2
tool golang.org/x/vuln/cmd/govulncheck v1.1.4
tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0
