# Beamkeeper. `make help` lists what there is.
SHELL := /bin/sh
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PKG ?= ./...
FUZZTIME ?= 20s

.PHONY: help build packages run stop test race fuzz bench endurance lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the one static binary, ./beamkeeper
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o beamkeeper ./cmd/beamkeeper

packages: ## build .deb and .rpm for amd64 and arm64 into dist/
	@packaging/build.sh $(VERSION) dist

run: ## install what is missing, deploy two replicas of a sample app from ./run, show their status
	@testdata/testbed/install.sh run
	@$(MAKE) --no-print-directory -s build
	@testdata/demo/run.sh

stop: ## stop what `make run` started
	@testdata/demo/stop.sh

test: ## install what is missing, then lint and run every test, against real BEAMs, with the race detector
	@testdata/testbed/install.sh test
	@$(MAKE) --no-print-directory lint
	REQUIRE_OTP=1 $(GO) test -race -timeout 40m $(PKG)

race: ## the same tests for one package: make race PKG=./node
	$(GO) test -race -count=1 $(PKG)

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## run every fuzz target for FUZZTIME (20s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; \
	  done; done

bench: ## measure against the BEAM in the same run: terms, distribution over TCP and TLS, actors, logs, buckets, the daemon
	@testdata/testbed/install.sh test
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./etf ./node ./tlsdist ./actors/bridge ./internal/applog ./cmd/beamkeeper

endurance: ## 5,000 deployments, each followed by a crash: nothing may leak (15 minutes)
	$(GO) test ./actors -run '^TestEndurance$$' -endurance 5000 -v -timeout 60m

clean: stop ## stop the demo, remove what was built
	rm -rf beamkeeper run dist
