#!/usr/bin/env bash
# Debian packages of packages.txt.
#   packages.sh install   installs what is missing (root and apt only)
#   packages.sh missing   prints what is missing, one package per line, and exits 1 when there is any
set -euo pipefail
cd "$(dirname "$0")"

missing() {
  local package command _
  while read -r package command _; do
    case "$package" in '' | '#'*) continue ;; esac
    if [ "$command" != - ]; then
      command -v "$command" >/dev/null 2>&1 || echo "$package"
    elif command -v dpkg-query >/dev/null 2>&1; then
      dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
    fi
  done <packages.txt
}

PATH=$PATH:/usr/sbin:/sbin
case "${1:-}" in
  missing)
    list=$(missing)
    [ -z "$list" ] || { echo "$list"; exit 1; }
    ;;
  install)
    list=$(missing)
    [ -n "$list" ] || exit 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
      echo "packages: not root or no apt-get here; missing:" $list >&2
      exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d # the daemons among them are for tests: none is started
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    apt-get -q update </dev/null
    # shellcheck disable=SC2086 # a list of names
    apt-get -q install -y --no-install-recommends $list </dev/null
    ;;
  *)
    echo "usage: packages.sh install | missing" >&2
    exit 2
    ;;
esac
