# Every target sets up what it needs on a machine that has Python >= 3.10 and Rust, and no more.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find src python -name '*.rs' -o -name '*.py' -o -name '*.pyi')

.DEFAULT_GOAL := help

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install -q --group dev 'cloudpickle>=3.0'
	touch $@

$(VENV)/.built: $(VENV)/.tools $(SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --quiet
	touch $@

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: build
build: $(VENV)/.built ## Build the extension and install it into $(VENV)

.PHONY: demo
demo: $(VENV)/.built ## Index the standard library with one actor per core, and query it
	$(BIN)/python -m futures_actors $(ARGS)

.PHONY: test
test: test-rust test-python ## Build and run every test

.PHONY: test-rust
test-rust: ## The engine's tests, without Python
	cargo test --locked --no-default-features --quiet

.PHONY: test-python
test-python: $(VENV)/.built ## The package's tests
	$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.built ## Formatting, clippy with and without Python, ruff, mypy, stubtest
	cargo fmt --check
	cargo clippy --locked --all-targets --quiet -- -D warnings
	cargo clippy --locked --all-targets --quiet --no-default-features -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest futures_actors._core

.PHONY: format
format: $(VENV)/.tools ## Format Rust and Python
	cargo fmt
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: bench
bench: $(VENV)/.built ## Measure against the standard library, in one run
	$(BIN)/python bench/run.py $(ARGS)

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(VENV) target
