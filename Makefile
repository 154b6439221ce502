# `make` alone lists the verbs. CI runs the same ones (.ci/run).

TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY_VERSION := 0.20.2

.DEFAULT_GOAL := help
.PHONY: help setup up cluster build models bench test storm lint openapi

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the build needs and is not here: compilers, cmake, nasm, libtorch
	@scripts/setup

# Without the models, which no failure to fetch them may keep from starting, rules analyse captions.
up: build ## Build and start the farm on this machine; ARGS="--port 9000" goes to `farm up`
	@[ "$$AI_TIER" = rules ] || [ "$$ENABLE_AI_ANALYSIS" = false ] \
		|| $(TARGET)/release/farm models pull lite --quiet --within 2m || true
	@exec $(TARGET)/release/farm up $(ARGS)

cluster: build ## Build and start a cluster on this machine; ARGS="--workers 4" goes to `farm cluster`
	@scripts/setup servers
	@exec $(TARGET)/release/farm cluster $(ARGS)

build: setup ## Build the release binaries: farm, and codec, which decodes pictures for it
	cargo build --release --locked --package farm --package codec

models: build ## Fetch the models of all tiers, about 3.3 GB; `make up` fetches the lite ones
	$(TARGET)/release/farm models pull lite
	$(TARGET)/release/farm models pull full

bench: build ## Measure this machine, beside the peers; ARGS="--rounds 5" goes to each benchmark
	@scripts/setup servers
	$(TARGET)/release/farm bench queue --peers $(ARGS)
	$(TARGET)/release/farm bench api --peers $(ARGS)
	$(TARGET)/release/farm bench ai --peers $(ARGS)
	$(TARGET)/release/farm bench media --peers $(ARGS)
	$(TARGET)/release/farm bench export $(ARGS)
	$(TARGET)/release/farm bench credits $(ARGS)

test: ## Run every test, the stories also as a cluster, by cargo-nextest when it is here
	@scripts/setup servers
	@run="cargo test $(if $(CI),--no-fail-fast)"; \
	if cargo nextest --version >/dev/null 2>&1; then \
		run="cargo nextest run $(if $(CI),--profile ci)"; \
	fi; \
	set -ex; $$run --workspace --locked; \
	TEST_STACK=cluster $$run --workspace --locked --test engine --test front

storm: ## The long form of the storms, with the table they end in; half an hour
	@scripts/setup servers
	TEST_STORM=long cargo test --release --locked --package tests --test storms -- --nocapture --test-threads 1

lint: setup ## Check formatting, clippy, api/openapi.json and the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run --locked --package farm -- openapi > $(TARGET)/openapi.json
	@diff -u api/openapi.json $(TARGET)/openapi.json \
		|| { echo "api/openapi.json is not what the code says: run make openapi" >&2; exit 1; }
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny@$(CARGO_DENY_VERSION)
	cargo deny --locked --log-level error check bans licenses sources

openapi: setup ## Write api/openapi.json from the code
	@mkdir -p $(TARGET)
	cargo run --locked --package farm -- openapi > $(TARGET)/openapi.json
	@cp $(TARGET)/openapi.json api/openapi.json
