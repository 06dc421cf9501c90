# Everything CI does is a target here. `make help` lists them.

GO          ?= go
LINTER      := github.com/golangci/golangci-lint/v2
LINTER_V    := v2.15.0
GOLANGCI    := $(LINTER)/cmd/golangci-lint@$(LINTER_V)
COVER_MIN   ?= 95.0
FUZZTIME    ?= 30s
STRESS      := -run Stress -count=20 -cpu 1,2,8 -timeout 60m
BENCH       ?= .
BENCHFLAGS  ?=

# The race detector needs a C compiler; where there is none, Go turns cgo off
# and the tests run without it rather than not at all.
RACE := $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

# Every directory with a go.mod, the root first; all but the root are modules
# of their own, so that users of the core never see what those depend on.
PRUNE   := -name .git -o -name node_modules -o -name testdata
MODULES := . $(sort $(patsubst ./%/go.mod,%,$(shell find . \( $(PRUNE) \) -prune -o -mindepth 2 -name go.mod -print)))

# These have a target of their own: what they depend on takes minutes to build, and a
# quarter of an hour with the race detector.
TEMPORAL := temporal temporal/embedded examples/farm
OWN      := $(filter-out . $(TEMPORAL),$(MODULES))

.DEFAULT_GOAL := check

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: check
check: tidy lint test ## what to run before a commit: tidy, lint and test (the default)

.PHONY: test
test: ## all tests of the root module, with the race detector, in random order
	@$(if $(RACE),:,echo "no C compiler: testing without the race detector")
	$(GO) test $(RACE) -shuffle=on ./...
	$(if $(RACE),$(GO) test -run '^TestCost' ./...)
	@$(MAKE) --no-print-directory browser

# One package after the other: pages are timed. .ci/browser says what it installs,
# and ends with 1 when there is no browser: then that has been said, and all is well.
.PHONY: browser
browser: ## the pages in a real Chromium; installs Node's modules, and Chromium where it may
	@.ci/browser || { code=$$?; test $$code = 1; exit; }; \
		echo "npm run check (is the bundle what web/ builds?)" && npm --prefix web run --silent check && \
		echo "$(GO) test -run '^TestBrowser' (in Chromium)" && \
		TRAIGO_BROWSER=1 $(GO) test -trimpath -p 1 -count=1 -run '^TestBrowser' ./view/... ./live/... ./cmd/...

.PHONY: own
own: ## vet and test the modules that have a go.mod of their own, but for Temporal's
	@set -e; for dir in $(OWN); do \
		echo "== $$dir"; \
		(cd $$dir && $(GO) vet ./... && $(GO) test $(RACE) -shuffle=on -timeout 30m ./...); \
	done

# Temporal's server is built once, without the race detector, into a program that the tests of
# package temporal run beside them. Packages go one after the other: they are timed. Tests go
# six at a time, since most of them wait for a lease.
.PHONY: temporal
temporal: ## vet and test temporal, temporal/embedded and examples/farm, beside an embedded server
	@echo "building Temporal's server: the first time, that takes up to a quarter of an hour on two cores"
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
		echo "== temporal/embedded"; \
		(cd temporal/embedded && $(GO) build -o "$$tmp/server" ./internal/server && \
			$(GO) vet ./... && $(GO) test -p 1 -shuffle=on -timeout 30m ./...); \
		echo "== temporal"; \
		(cd temporal && $(GO) vet ./... && \
			TRAIGO_TEMPORAL_SERVER="$$tmp/server" $(GO) test $(RACE) -p 1 -parallel 6 -shuffle=on -timeout 30m ./...); \
		echo "== examples/farm"; \
		(cd examples/farm && $(GO) vet ./... && $(GO) test -shuffle=on -timeout 30m ./...)

.PHONY: cross
cross: ## does the root module build for other systems?
	@set -e; for os in darwin windows; do echo "GOOS=$$os $(GO) build ./..."; GOOS=$$os CGO_ENABLED=0 $(GO) build ./...; done

.PHONY: stress
stress: ## the stress tests twenty times on 1, 2 and 8 processors, with and without the race detector
	$(GO) test $(STRESS) ./...
	$(if $(RACE),$(GO) test $(RACE) $(STRESS) ./...)

# An empty profile would be 100 % of nothing, hence the first check.
.PHONY: cover
cover: ## how much of the core its own tests reach; fails below COVER_MIN percent
	$(GO) test -covermode=atomic -coverpkg=. -coverprofile=cover.out .
	@test "$$(wc -l < cover.out)" -gt 1 || { echo "cover: the profile is empty" >&2; exit 1; }
	@$(GO) tool cover -func=cover.out | awk -v min=$(COVER_MIN) ' \
		$$1 == "total:" { total = $$NF; sub(/%/, "", total); seen = 1 } \
		$$NF != "100.0%" && $$1 != "total:" { print } \
		END { \
			if (!seen) { print "cover: no total"; exit 1 } \
			printf "total %.1f %%, at least %.1f %% wanted\n", total, min; \
			exit total + 0 < min + 0 \
		}'

.PHONY: vet
vet: ## go vet, all modules
	@set -e; for dir in $(MODULES); do (cd $$dir && echo "$(GO) vet ($$dir)" && $(GO) vet ./...); done

.PHONY: lint
lint: vet ## go vet and the pinned golangci-lint (its first build takes a minute or two), all modules
	@set -e; for dir in $(MODULES); do (cd $$dir && echo "golangci-lint run ($$dir)" && $(GO) run $(GOLANGCI) run ./...); done

.PHONY: linter
linter: ## name the linter's module and version
	@echo $(LINTER)@$(LINTER_V)

.PHONY: lint-config
lint-config: ## is .golangci.yml a valid configuration?
	$(GO) run $(GOLANGCI) config verify

.PHONY: tidy
tidy: ## is everything formatted, and every go.mod as `go mod tidy` would have it?
	@unformatted=$$(find . \( $(PRUNE) \) -prune -o -name '*.go' -print | xargs gofmt -l); \
		test -z "$$unformatted" || { echo "gofmt -l lists:"; echo "$$unformatted"; exit 1; }
	@set -e; for dir in $(MODULES); do (cd $$dir && echo "$(GO) mod tidy -diff ($$dir)" && $(GO) mod tidy -diff); done

.PHONY: bench
bench: ## what traigo costs beside its peers (minutes): prints the ratios, rewrites docs/performance.md
	cd bench && $(GO) run ./cmd/compare -doc ../docs/performance.md

.PHONY: bench-temporal
bench-temporal: ## what temporal costs beside the same by hand (minutes, and the first time the server is built)
	cd temporal && $(GO) run ./bench

.PHONY: benchmarks
benchmarks: ## the same works as Go benchmarks, for benchstat: BENCH=pattern BENCHFLAGS='-cpu 1,2 -count=10'
	cd bench && $(GO) test -run '^$$' -bench '$(BENCH)' $(BENCHFLAGS) .

.PHONY: fuzz
fuzz: ## every fuzz target of the root module, each for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

.PHONY: api
api: ## rewrite testdata/api.txt, when a change of the exported API is meant
	UPDATE=1 $(GO) test -count=1 -run '^TestAPI' ./internal/policy
