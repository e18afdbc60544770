# The project's tasks. `make` alone lists them.

CARGO ?= cargo
# What the tests install stands under target/, so `cargo clean` takes it away again.
INTEROP := target/interop
TOOLS := $(INTEROP)/venv/bin

.PHONY: help demo test lint unit interop bench
# One build at a time, in the order given.
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## list these tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## start the proxy with stand-ins on loopback and show what it does
	$(CARGO) run --release -- demo

test: lint unit interop ## everything that CI checks: lint, unit and integration tests, real programs

lint: $(INTEROP)/ready ## format, clippy, links in docs, and the licences and sources of dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --locked --quiet
	$(TOOLS)/cargo-deny --locked check bans licenses sources

unit: ## the tests in Rust: beside the code and in tests/it
	$(CARGO) test --locked

interop: $(INTEROP)/ready ## the program beside real ones: token services, vendors' SDKs, curl, Java
# Not `cargo build`: it would build the dependencies again, without the features that tests add.
	$(CARGO) test --locked --no-run --quiet
	$(TOOLS)/pytest -q tests/interop

bench: ## CPU per request beside nginx, HAProxy and Envoy, into benches/RESULTS.md
	benches/compare/run --write

$(INTEROP)/ready: $(addprefix tests/interop/,install requirements.txt requirements-alone.txt constraints.txt package-lock.json)
	tests/interop/install $(INTEROP)
	@touch $@
