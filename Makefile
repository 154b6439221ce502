# `make` alone lists the verbs. CI runs the same ones (.ci/run).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

CARGO_DENY_VERSION := 0.20.2
FARM := $(or $(CARGO_TARGET_DIR),target)/release/farm
PRINT_OPENAPI := cargo run --quiet --locked --package farm -- openapi

.PHONY: help setup up build test lint openapi

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the build needs and is not here (a C compiler)
	@scripts/setup

up: build ## Build and start the farm on this machine; ARGS="--port 9000" goes to `farm up`
	@exec $(FARM) up $(ARGS)

build: setup ## Build the release binary
	cargo build --release --locked --package farm

test: setup ## Run every test, with cargo-nextest when it is here
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo "cargo nextest run"; \
		cargo nextest run --workspace --locked $(if $(CI),--profile ci); \
	else \
		echo "cargo test"; \
		cargo test --workspace --locked $(if $(CI),--no-fail-fast); \
	fi

lint: setup ## Check formatting, clippy, api/openapi.json, and the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo "api/openapi.json is up to date?"
	@$(PRINT_OPENAPI) | diff -u api/openapi.json - \
		|| { echo "api/openapi.json is not what the code says: run make openapi" >&2; exit 1; }
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny@$(CARGO_DENY_VERSION)
	cargo deny --locked --log-level error check bans licenses sources

openapi: setup ## Write api/openapi.json from the code
	@$(PRINT_OPENAPI) > api/openapi.json.new || { rm -f api/openapi.json.new; exit 1; }
	@mv api/openapi.json.new api/openapi.json
