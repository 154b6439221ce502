# `make` alone lists the verbs. CI runs the same ones (.ci/run).

TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY_VERSION := 0.20.2

.DEFAULT_GOAL := help
.PHONY: help setup up build test lint openapi

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the build needs and is not here: a C compiler
	@scripts/setup

up: build ## Build and start the farm on this machine; ARGS="--port 9000" goes to `farm up`
	@exec $(TARGET)/release/farm up $(ARGS)

build: setup ## Build the release binary
	cargo build --release --locked --package farm

test: setup ## Run every test, by cargo-nextest when it is here
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --workspace --locked $(if $(CI),--profile ci); \
	else \
		set -x; cargo test --workspace --locked $(if $(CI),--no-fail-fast); \
	fi

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
