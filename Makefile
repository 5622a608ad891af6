# `make demo` and `make test` work on a fresh clone: each makes the environment first. The rest is for developers.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Every file is checked by its hash, but for torch, whose builds differ by machine and index: its version is pinned. Python
# 3.10 needs older versions of some packages, which no lock has.
HASHES := $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")')
ifeq ($(HASHES),yes)
pip_install = $(PIP) --require-hashes --no-deps --requirement locks/$(1).txt \
	&& $(PIP) --constraint constraints.txt torch \
	&& $(PIP) --no-deps --no-build-isolation --editable .
else
pip_install = $(PIP) --constraint constraints.txt --editable .$(2)
endif
install = @{ $(pip_install); } || { echo "not installed: pip says why above; if no package index can be reached, name a mirror in PIP_INDEX_URL, and run make again" >&2; exit 1; }

# A run of the tests starts hundreds of processes: each would compile the project for a second where this is set.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test coverage oldest faults spot fuzz lint lock parity peers quality bench clean

demo: .venv/run
	$(BIN)/vilt demo

test: .venv/dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=10

# The share of lines that the tests run in their own processes; Ray's workers are not measured.
coverage: .venv/dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

# On the oldest releases that pyproject.toml allows.
oldest: .venv-oldest/dev
	.venv-oldest/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=10

# What takes minutes: every fault many times over, clusters that lose nodes, cron for a day; prints tables.
faults: .venv/dev
	FAULTS=3 FUZZ_CASES=10000 $(BIN)/python -m pytest tests/faults tests/cluster --durations=10

# A job on spot nodes, 20 of which are drained and 20 killed; prints what each loss has cost.
spot: .venv/dev
	FAULTS=1 $(BIN)/python -m pytest tests/cluster/test_spot.py -s

# Damaged files of every kind for FUZZ_SECONDS in all; prints how many were tried and what came of them.
fuzz: .venv/dev
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/python -m pytest tests/fuzz -s

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m locks.generate --check

# After a change of pyproject.toml or constraints.txt: the hashes of all files, and the SBOM.
lock: .venv/dev
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	PATH="$(BIN):$$PATH" $(BIN)/python -m locks.generate

# Beside a current release of transformers, which cannot be installed together with the pinned one.
parity: .venv/dev
	$(BIN)/pip install --quiet --disable-pip-version-check --target .venv/current transformers==5.23.0
	PYTHONPATH=.venv/current $(BIN)/python -m pytest tests/parity/test_models.py -s

# The published API line by line beside the pinned transformers; prints counts by class and what differs on purpose.
peers: .venv/dev
	$(BIN)/python -m pytest tests/parity/test_probes.py tests/parity/test_ecosystem.py -s

# Beside transformers, on this machine; prints tables.
bench: .venv/dev
	$(BIN)/python -m benchmarks

quality: .venv/run
	$(BIN)/vilt quality

clean:
	rm -rf .venv .venv-oldest demo

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python pyproject.toml constraints.txt locks/run.txt
	@echo "installing into .venv (some minutes the first time)"
	$(call install,run,)
	@touch $@

.venv/dev: .venv/run locks/test.txt
	$(call install,test,[test])
	@touch $@

.venv-oldest/dev: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct --editable .[test]
	@touch $@
