# Each target sets up what it needs. The machine only needs Python >= 3.10 and Rust.
PYTHON ?= python3
VENV ?= .venv
VENV_DEMO ?= .venv-demo
VENV_PEERS ?= .venv-peers
VENV_STRESS ?= .venv-stress
VENV_VALGRIND ?= .venv-valgrind
PYTHON_STRESS ?= $(PYTHON)
VENV_DOCS ?= .venv-docs
VENV_EXAMPLES ?= .venv-examples
VENV_WHEEL ?= .venv-wheel
VENV_RAY ?= .venv-ray
VENV_PORTABLE ?= .venv-portable
PEER_PACKAGES := loky pykka xoscar aiomultiprocess ray distributed
BIN := $(VENV)/bin
GET_PYTHON ?= ../shared/pythons/get-python
FOUND ?= ../shared/found
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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(VENV)/.built ## Build the extension and install it into $(VENV)

# The demo has an environment of its own: the package, and what that needs to run.
$(VENV_DEMO)/.built: $(SOURCES)
	@echo "Building futures_actors into $(VENV_DEMO) (the first time this takes a minute or two) ..."
	@test -x $(VENV_DEMO)/bin/pip || $(PYTHON) -m venv $(VENV_DEMO)
	@$(VENV_DEMO)/bin/pip install --quiet --disable-pip-version-check .
	@touch $@

.PHONY: demo
demo: $(VENV_DEMO)/.built ## Index the standard library in a pool of actors, and show what they can do
	@$(VENV_DEMO)/bin/python -m futures_actors $(ARGS)

.PHONY: test
test: test-rust test-python ## Build and run every test

.PHONY: test-rust
test-rust: loom ## The tests of the engine, without Python
	cargo test --locked --no-default-features --quiet

# The models need optimized code, but not LTO, which takes half a minute.
.PHONY: loom
loom: export RUSTFLAGS = --cfg loom
loom: export CARGO_TARGET_DIR = target/loom
loom: export CARGO_PROFILE_RELEASE_LTO = off
loom: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 16
loom: ## Model-check the engine's atomic protocols
	cargo test --locked --no-default-features --quiet --release --lib loom

.PHONY: test-python
test-python: $(VENV)/.built ## The package's tests; the contract and process tests with both start methods
	$(BIN)/python -m pytest --start-method spawn tests/contract tests/process $(ARGS)
	$(BIN)/python -m pytest $(ARGS)

.PHONY: test-found
test-found: $(VENV)/.built ## Scenarios of bugs found earlier, from the folder FOUND if it exists; ARGS selects some
	$(BIN)/python .ci/found.py $(FOUND) $(BIN)/python $(ARGS)

.PHONY: test-free-threaded
test-free-threaded: ## The package's tests without the GIL, on 3.14t, or on 3.13t if that is missing
	GET_PYTHON=$(GET_PYTHON) ARGS="$(ARGS)" .ci/test-on 3.14t

.PHONY: test-windows
test-windows: $(VENV)/.tools ## The contract in a CPython for Windows, under wine; says so if that is not available
	MATURIN=$(abspath $(BIN)/maturin) .ci/test-windows $(ARGS) || [ $$? = 3 ]

.PHONY: check-targets
check-targets: ## Check that the core compiles for Windows and macOS; says so if their libraries are not available
	.ci/check-targets || [ $$? = 3 ]

PYTHONS ?= 3.10 3.11 3.12 3.13 3.14 3.15 3.14t
.PHONY: test-all
test-all: ## The package's tests on each of PYTHONS; says which of them were available
	GET_PYTHON=$(GET_PYTHON) ARGS="$(ARGS)" .ci/test-on $(PYTHONS)

# Makes an environment with one of the dependency groups.
define environment
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(@D)/bin/pip install -q --disable-pip-version-check --prefer-binary --group $(1)
	touch $@
endef

$(VENV_EXAMPLES)/.tools: pyproject.toml | $(VENV)/.tools
	$(call environment,test-examples)

.PHONY: test-examples
test-examples: $(VENV)/.built $(VENV_EXAMPLES)/.tools ## The examples, the tests of where it runs, and the async ones over uvloop, with the libraries that they use
	VIRTUAL_ENV=$(abspath $(VENV_EXAMPLES)) $(BIN)/maturin develop --release --locked --quiet --group test-examples
	EXAMPLES=all $(VENV_EXAMPLES)/bin/python -m pytest tests/package/test_examples.py \
	    tests/package/test_where_it_runs.py tests/package/test_async_libraries.py \
	    tests/package/test_greenlets.py $(ARGS)
	$(VENV_EXAMPLES)/bin/python -m pytest --loop uvloop -k 'async or await or event_loop or stream or blocks or message_tasks' \
	    tests/contract tests/future/test_await.py tests/process/test_async_relay.py tests/process/test_async_answers.py $(ARGS)

# Installs what was built for $(VENV) into another environment of the same Python, without a rebuild.
define install
	rm -rf $(@D)/wheel
	$(BIN)/maturin build --release --locked --quiet --interpreter $(BIN)/python --out $(@D)/wheel
	$(@D)/bin/pip install -q --disable-pip-version-check --no-deps --force-reinstall $(@D)/wheel/*.whl
	touch $@
endef

$(VENV_RAY)/.tools: pyproject.toml | $(VENV)/.tools
	$(call environment,ray)

$(VENV_RAY)/.built: $(VENV_RAY)/.tools $(VENV)/.built
	$(install)

# Builds the half of engine/sys that is not for Linux, on Linux. Linux has no kqueue, so a process
# descriptor takes its place.
$(VENV_PORTABLE)/.tools: pyproject.toml | $(VENV)/.tools
	$(call environment,test)
	$(@D)/bin/pip install -q --disable-pip-version-check 'cloudpickle>=3.0'

$(VENV_PORTABLE)/.built: export RUSTFLAGS = --cfg portable
$(VENV_PORTABLE)/.built: export CARGO_TARGET_DIR = target/portable
$(VENV_PORTABLE)/.built: export CARGO_PROFILE_RELEASE_LTO = off
$(VENV_PORTABLE)/.built: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 16
$(VENV_PORTABLE)/.built: $(VENV_PORTABLE)/.tools $(SOURCES)
	$(install)

# These tests do not run there, because macOS lacks what they test: blocks of shared memory for big buffers,
NOT_PORTABLE := buffers stream_memory shared_memory forked_arrays restart_arrays
NOT_PORTABLE_TESTS := test_constructor_arguments.py::test_what_the_constructor_has_not_kept_is_memory_for_messages
NOT_PORTABLE_TESTS += test_constructor_arguments.py::test_an_argument_for_which_there_is_no_room_goes_by_the_pipe_with_one_warning
# a signal that asks a process for its traceback,
NOT_PORTABLE += traceback
# the actor's name as that of its process,
NOT_PORTABLE_TESTS += test_inheritance.py::test_a_process_has_the_name_of_its_actor
# a bell that is one descriptor, and a poll by which an idle child learns of the end of its pipe. There
# it looks twice a second instead.
NOT_PORTABLE_TESTS += test_process.py::test_a_process_actor_costs_its_parent_five_descriptors

.PHONY: test-portable
test-portable: $(VENV_PORTABLE)/.built ## The half of the core that macOS runs, on Linux
	RUSTFLAGS='--cfg portable' CARGO_TARGET_DIR=target/portable \
	    cargo test --locked --no-default-features --quiet -- --skip engine::arena
	$(VENV_PORTABLE)/bin/python -m pytest $(addprefix --ignore tests/process/test_,$(addsuffix .py,$(NOT_PORTABLE))) \
	    $(addprefix --deselect tests/process/,$(NOT_PORTABLE_TESTS)) \
	    --deselect 'tests/future/test_idle.py::test_an_idle_actor_uses_no_cpu[process]' \
	    --deselect 'tests/future/test_idle.py::test_an_idle_actor_uses_no_cpu[async-process]' \
	    --deselect tests/future/test_idle.py::test_the_loop_of_an_async_thread_actor_polls_for_the_next_message \
	    --deselect 'tests/contract/test_async_actors.py::test_a_traceback_shows_the_loop[Process]' \
	    --deselect 'tests/contract/test_pool.py::test_dump_traceback_shows_each_member[process]' \
	    --deselect 'tests/contract/test_pool.py::test_dump_traceback_shows_each_member[async-process]' \
	    tests/contract tests/future tests/process $(ARGS)

# A timeout must not end the whole session, because that has a cluster to stop.
.PHONY: test-ray
test-ray: $(VENV_RAY)/.built ## The contract and more tests on a real Ray cluster, in a namespace without network
	$(VENV_RAY)/bin/python -m pytest --ray -o timeout_method=signal tests/contract tests/cluster $(ARGS)

$(VENV_DOCS)/.tools: pyproject.toml | $(VENV)/.tools
	$(call environment,docs)

.PHONY: docs
docs: $(VENV_DOCS)/.tools ## Build the documents into target/site; a broken link fails
	SITE_VERSION="futures_actors $$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)".*/\1/p' Cargo.toml | sed 's/-dev/.dev/')" \
	    NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build --strict
	@echo target/site/index.html

# The drawings are in the repository, so that the site needs no network. mermaid-cli needs a browser.
MERMAID := npx --yes @mermaid-js/mermaid-cli@11 --backgroundColor transparent --quiet
.PHONY: diagrams
diagrams: ## Draw docs/diagrams/*.mmd as SVG, light and dark; needs node
	@for source in docs/diagrams/*.mmd; do \
	    name=$${source%.mmd}; id=$$(basename $$name); \
	    $(MERMAID) -c docs/diagrams/mermaid.json -I $$id -i $$source -o $$name-light.svg -t default && \
	    $(MERMAID) -c docs/diagrams/mermaid.json -I $$id -i $$source -o $$name-dark.svg -t dark || exit; \
	done

$(VENV_WHEEL)/.tools: pyproject.toml | $(VENV)/.tools
	$(call environment,wheel)

.PHONY: wheel
wheel: $(VENV_WHEEL)/.tools ## Build a portable wheel and an sdist in dist/, install and try each
	PATH="$(abspath $(VENV_WHEEL)/bin):$$PATH" PYTHON=$(abspath $(BIN)/python) .ci/wheel

target/tools/bin/cargo-fuzz:
	cargo install cargo-fuzz --version '^0.13' --locked --quiet --root target/tools

FUZZ := --manifest-path fuzz/Cargo.toml
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: target/tools/bin/cargo-fuzz ## Fuzz the code that reads frames for FUZZ_SECONDS, and show which lines were reached
	PATH="$(abspath target/tools/bin):$$PATH" PYTHON="$(PYTHON)" fuzz/run $(FUZZ_SECONDS)

.PHONY: lint
lint: $(VENV)/.built ## Formatting, circles of imports, clippy with and without Python, ruff, mypy, stubtest
	cargo fmt --check
	cargo fmt --check $(FUZZ)
	$(BIN)/python .ci/layout.py
	cargo clippy --locked --all-targets --quiet -- -D warnings
	cargo clippy --locked --all-targets --quiet --features faults -- -D warnings
	cargo clippy --locked --all-targets --quiet --no-default-features -- -D warnings
	cargo clippy --all-targets --quiet --no-default-features $(FUZZ) --target-dir target/fuzz -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/interrogate python/futures_actors/_core.pyi
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --allowlist tests/typing/stubtest.txt futures_actors._core

.PHONY: format
format: $(VENV)/.tools ## Format Rust and Python
	cargo fmt
	cargo fmt $(FUZZ)
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

$(VENV_STRESS)/.built: $(VENV)/.tools $(SOURCES)
	$(PYTHON_STRESS) -m venv --clear $(VENV_STRESS)
	$(VENV_STRESS)/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV_STRESS)/bin/pip install -q --group test 'cloudpickle>=3.0'
	$(BIN)/maturin build --release --locked --quiet --features faults --target-dir target/stress \
	    --interpreter $(VENV_STRESS)/bin/python --out $(VENV_STRESS)/wheel
	$(VENV_STRESS)/bin/pip install -q --no-deps --force-reinstall $(VENV_STRESS)/wheel/*.whl
	touch $@

.PHONY: stress
stress: $(VENV_STRESS)/.built ## Faults, random histories, signals and a soak, in minutes; with ARGS=--short in seconds
	$(VENV_STRESS)/bin/python -X faulthandler stress/run.py $(ARGS)

# valgrind supports CPython 3.11 to 3.13, and reports nothing of its own on 3.13.
.PHONY: valgrind
valgrind: ## A part of the stress suite under valgrind's memcheck, on Python 3.13 if available
	@set -eu; python=$$($(GET_PYTHON) 3.13 2>/dev/null || command -v python3.13 || echo $(PYTHON)); \
	$(MAKE) VENV_STRESS=$(VENV_VALGRIND) PYTHON_STRESS="$$python" $(VENV_VALGRIND)/.built; \
	$(VENV_VALGRIND)/bin/python stress/memcheck.py $(ARGS)

RUST_PIPE := target/bench/rust-pipe
LIMITS := --limit '$(RUST_PIPE) threads' --limit '$(RUST_PIPE) processes'

$(RUST_PIPE): bench/limit.rs
	@mkdir -p $(@D)
	rustc --edition 2024 -C opt-level=3 -o $@ $<

# Install each on its own: if one fails, the others are still there. The reason is kept.
$(VENV_PEERS)/.tools: | $(VENV)/.tools
	$(BIN)/python -m venv --clear $(VENV_PEERS)
	$(VENV_PEERS)/bin/pip install -q --disable-pip-version-check 'cloudpickle>=3.0' 'numpy>=1.24'
	@for peer in $(PEER_PACKAGES); do \
	    timeout 600 $(VENV_PEERS)/bin/pip install -q --disable-pip-version-check \
	        --only-binary=:all: $$peer 2>$(VENV_PEERS)/.error || \
	        echo "no $$peer: $$(grep -v '^$$' $(VENV_PEERS)/.error | tail -n 1)" >>$(VENV_PEERS)/.missing; \
	done
	touch $@

$(VENV_PEERS)/.built: $(VENV_PEERS)/.tools $(VENV)/.built
	$(install)

.PHONY: bench
ifdef PEERS
bench: $(VENV_PEERS)/.built $(RUST_PIPE)
	@cat $(VENV_PEERS)/.missing 2>/dev/null || true
	$(VENV_PEERS)/bin/python bench/run.py --peers $(LIMITS) $(ARGS)
else
bench: $(VENV)/.built $(RUST_PIPE) ## Measure against the standard library; with PEERS=1 against peers, too
	$(BIN)/python bench/run.py $(LIMITS) $(ARGS)
endif

# The commit is the next word: make bench-against v1.0. As a target it gets an empty recipe.
ifeq (bench-against,$(firstword $(MAKECMDGOALS)))
REF ?= $(word 2,$(MAKECMDGOALS))
ifneq (,$(word 2,$(MAKECMDGOALS)))
.PHONY: $(word 2,$(MAKECMDGOALS))
$(word 2,$(MAKECMDGOALS)): ; @:
endif
endif

.PHONY: bench-against
bench-against: $(VENV)/.tools ## bench-against REF: compare with that commit; fails if a row is slower
	@test -n "$(REF)" || { echo "which commit? make bench-against REF" >&2; exit 2; }
	$(BIN)/python bench/against.py $(REF) $(ARGS)

.PHONY: bench-polling
bench-polling: $(VENV)/.tools ## The CPU time of a message with and without polling; some minutes
	$(BIN)/python bench/polling.py

# To measure again, on a quiet machine: make bench ARGS="--json bench/measured.json"
.PHONY: bench-plots
bench-plots: $(VENV)/.tools ## Draw bench/measured.json for README and docs, light and dark
	$(BIN)/python bench/plots.py

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(VENV) $(VENV)-* target dist
