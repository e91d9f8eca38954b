# Everything a developer and CI need; `make help` lists it. Only Go and make are needed, save where a target says so.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TOOLS   := bin/tools
FUZZTIME ?= 5s

# The race detector needs a C compiler; Go itself says whether it found one.
ifeq ($(shell go env CGO_ENABLED),1)
RACE := -race
endif

.PHONY: help build test test-interop check check-format check-modules lint archtest check-generated fuzz \
  check-vulnerabilities fmt bench bench-dns bench-encrypted bench-failover bench-probing bench-proxy bench-scale bench-xdp soak-flood demo tools clean
.NOTPARALLEL:

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/jurymast, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/jurymast ./cmd/jurymast

test: ## all tests that need no root and nothing but Go
	$(if $(RACE),,@echo '*** no C compiler here: the race detector is LEFT OUT' >&2)
	go test $(RACE) -vet=off -shuffle=on -timeout 8m ./...
	go test -run Clusters ./internal/sim # all simulated clusters; under the race detector there are fewer
	go test -vet=off -run ManyNamesAreSignedSoon ./internal/nameserver # all names, likewise

test-interop: ## tests with Debian's DNS and HTTP tools, root and namespaces
	scripts/interop.sh

check: check-format check-modules lint archtest check-generated fuzz check-vulnerabilities ## all that CI checks beside tests

check-format: tools
	@stale=$$($(TOOLS)/gofumpt -l -modpath jurymast $(wildcard cmd internal bench)); \
	  [ -z "$$stale" ] || { echo "not formatted (make fmt):"; echo "$$stale"; exit 1; }

check-modules:
	go mod tidy -diff

lint: tools ## go vet and golangci-lint
	go vet ./...
	$(TOOLS)/golangci-lint run --allow-parallel-runners

archtest: ## the rules of the house: arrows, purity, comments, limits, documents
	go test -count=1 ./internal/archtest

check-generated:
	scripts/generated.sh

fuzz: ## every fuzz target for FUZZTIME (5s)
	scripts/fuzz.sh $(FUZZTIME)

check-vulnerabilities: tools
	scripts/govulncheck.sh

fmt: tools ## format the Go code
	$(TOOLS)/gofumpt -w -modpath jurymast $(wildcard cmd internal bench)

bench: ## all Go benchmarks, no tests
	go test -run '^$$' -bench . -benchmem ./...

bench-failover: build ## what clients notice when the primary is killed: five runs against the goals
	go run ./bench/failover

# BENCH_DNS='-only cost -pairs 3' for a part of it, '-strict' to fail when a goal is missed.
bench-dns: build ## the nameserver beside gdnsd, Knot and NSD: CPU time, rate, latency, events; about 20 minutes, two cores
	go run ./bench/dns -json bin/bench-dns.json $(BENCH_DNS)

# BENCH_PROXY='-part get64 -pairs 3' for a part of it, '-strict' to fail when a goal is missed.
bench-proxy: build ## the proxy beside HAProxy and nginx: CPU time, latency, memory; about 12 minutes, two cores
	go build -o bin/bench-proxy ./bench/proxy
	bin/bench-proxy -json bin/bench-proxy.json $(BENCH_PROXY)

bench-xdp: build ## answers in the driver beside answers from sockets: CPU time; root, about six minutes, two cores
	go build -o bin/bench-xdp ./bench/xdp
	bin/bench-xdp $(BENCH_XDP)

# SOAK=10m for longer or shorter.
soak-flood: ## forged and random floods against a nameserver for 10 minutes, in namespaces: root
	JURYMAST_INTEROP=strict JURYMAST_FLOOD=$(or $(SOAK),10m) go test -tags interop -count=1 -timeout 6h -v -run '^TestInteropFlood$$' ./internal/nameserver

bench-encrypted: build ## answers over TLS and HTTPS beside dnsdist: CPU time; about 3 minutes, two cores
	go run ./bench/encrypted $(BENCH_ENCRYPTED)

bench-scale: build ## one node with 10,000 profiles of 10 endpoints against the goals; a few minutes
	go run ./bench/scale

bench-probing: ## what 20,000 TCP and 10,000 HTTP checks every 10 s cost: at most one core; about 100 s
	go run ./bench/probing

demo: build ## a failover and a failback before your eyes (KEEP=1 stays up)
	bin/jurymast demo $(if $(KEEP),--keep)

tools: ## the pinned Go tools, in bin/tools
	scripts/tools.sh

clean: ## remove what make built
	rm -rf bin
