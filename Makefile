# Everything starts from a bare Python 3.11 with pip and venv. PYTHON=... names another interpreter.

ENGINE ?= sim
ENGINES ?= vllm sglang
INSTALLED := vllm sglang llamacpp transformers
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
WITHOUT_TIERS := not servers and not kubernetes and not dynamo and not vllm and not engines
MUTANT_CHILDREN ?= 2
export ENGINES_DIR ?= $(HOME)/.cache/serinus/engines
export DYNAMO_DIR ?= $(HOME)/.cache/serinus/dynamo
export KUBERNETES_DIR ?= $(HOME)/.cache/serinus/kubernetes
export PYTHON

.PHONY: help run test mutants test-servers test-dynamo test-kubernetes test-documents test-vllm test-engines check simulate simulate-busy docs verdicts bench wheel clean
.DEFAULT_GOAL := help

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: .venv/complete ## Watch an engine with faults to try: ENGINE=sim (default), or vllm, sglang, llamacpp, transformers (installs it)
ifneq ($(filter $(ENGINE),$(INSTALLED)),)
	scripts/engines/install_$(ENGINE).sh
	$(BIN)/serinus run --engine $(ENGINE) -- scripts/engines/serve_$(ENGINE).sh {port}
else
	$(BIN)/serinus run --engine $(ENGINE)
endif

# Logic in virtual time first, side by side; then real processes and signals, alone on the machine;
# then discovery on real servers, which mostly waits; then what the documents show.
test: .venv/complete ## Run all tests but those that need an engine, Dynamo or Kubernetes
	$(PYTEST) -q -n 2 -m "not end_to_end and $(WITHOUT_TIERS)"
	$(PYTEST) -q -m "end_to_end and $(WITHOUT_TIERS)"
	$(MAKE) --no-print-directory test-servers
	$(MAKE) --no-print-directory test-documents

test-servers: .venv/complete ## Run discovery on real etcd and NATS (a missing server is installed)
	scripts/servers/install.sh
	$(PYTEST) -q -n 4 -m "servers and not dynamo"

test-dynamo: .venv/complete ## Run our workers and clients with those of Dynamo's released wheel (installed once), over files and etcd
	scripts/servers/install.sh
	scripts/dynamo/install.sh
	$(PYTEST) -q -n 2 -rP -m dynamo

test-kubernetes: .venv/complete ## Run discovery on a real Kubernetes control plane (built once, in three to five minutes)
	scripts/kubernetes/build.sh
	$(PYTEST) -q -m kubernetes tests/discovery

# Apart from the tests: pytest-randomly would shuffle the blocks of a document.
test-documents: .venv/complete
	$(PYTEST) -q -p scripts.documents -p no:randomly --doctest-modules src README.md docs

test-vllm: .venv/complete ## Install real vLLM for CPU (once) and run all tests on it: in a process of ours, and as a server
	scripts/engines/install_vllm.sh
	$(PYTEST) -q -rP -m vllm tests/vllm
	$(MAKE) --no-print-directory test-engines ENGINES=vllm

test-engines: .venv/complete ## Install real engines (once) and run the tests on them: ENGINES="vllm sglang llamacpp transformers"
	@for engine in $(ENGINES); do \
	  scripts/engines/install_$$engine.sh && \
	  REAL_ENGINE=$$engine $(PYTEST) -q -p no:randomly -rP -m engines tests/engines_real || exit 1; \
	done

check: .venv/complete ## Format, lint, types, layers, and generated documents up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests scripts/documents.py scripts/verdicts.py
	MYPYPATH=src:benchmarks $(BIN)/mypy benchmarks
	$(BIN)/lint-imports
	@$(BIN)/serinus config docs | diff -u docs/settings.md - || \
	  { echo "docs/settings.md is stale: run 'make docs'" >&2; exit 1; }
	@$(BIN)/serinus engines --markdown | diff -u docs/engines.md - || \
	  { echo "docs/engines.md is stale: run 'make docs'" >&2; exit 1; }

SEEDS ?= 200
simulate: .venv/complete ## Run the judge through SEEDS worlds of seeded faults, and check its promises
	$(BIN)/serinus simulate --seeds $(SEEDS)

BUSY_SEEDS ?= 313
JOBS ?= $(shell nproc)
simulate-busy: .venv/complete ## Look for false alarms in BUSY_SEEDS worlds of 32 busy engines for an hour each, JOBS at a time: 313 are 10,016 hours
	$(BIN)/serinus simulate --seeds $(BUSY_SEEDS) --jobs $(JOBS) --engines 32 --busy --faults harmless --judge serinus

docs: .venv/complete ## Write the generated documents anew
	$(BIN)/serinus config docs >docs/settings.md.new
	mv docs/settings.md.new docs/settings.md
	$(BIN)/serinus engines --markdown >docs/engines.md.new
	mv docs/engines.md.new docs/engines.md

verdicts: .venv/complete ## Write docs/verdicts.md anew: who sees which fault, and when
	$(BIN)/python scripts/verdicts.py docs/verdicts.md

bench: .venv/complete ## Compare with Dynamo's released wheel, and write docs/benchmarks.md
	scripts/dynamo/install.sh
	@command -v wrk >/dev/null || { echo "The benchmarks need wrk (Debian: apt-get install wrk)" >&2; exit 1; }
	$(BIN)/python benchmarks/all.py --write docs/benchmarks.md

mutants: .venv/complete ## Mutate the judge, and say how many mutants its tests kill, by module
	rm -rf mutants
	$(BIN)/mutmut run --max-children $(MUTANT_CHILDREN)
	$(BIN)/python scripts/mutants.py

wheel: .venv/complete ## Build the wheel and try it in an empty environment
	scripts/check_wheel.sh $(BIN)/python

clean: ## Remove what was built, the environment included
	rm -rf .venv mutants build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src -name '*.egg-info' -prune -exec rm -rf {} +

# Written last: an environment that was interrupted is completed by the next call.
.venv/complete: requirements/dev.txt pyproject.toml
	python="$$(scripts/find_python.sh)" && "$$python" -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
