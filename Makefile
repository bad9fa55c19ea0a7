# Everything from a fresh machine: Python >= 3.11 and make. `make` alone lists the targets.
# make PYTHON=python3.12 ...   uses another interpreter.   make OUT=folder demo   writes elsewhere.

PYTHON ?= python3
OUT ?= demo
BIN := .venv/bin
# Without an NVIDIA driver torch's CPU build will do: a tenth of the download. Asked only while installing.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint format clean

help:
	@echo "make setup    the environment for development, in .venv"
	@echo "make demo     install what the demo needs, then draw, train, score and show: $(OUT)/"
	@echo "make test     everything CI checks: ruff, pyright, the import contract, pytest"
	@echo "make lint     the checks without the tests"
	@echo "make format   let ruff rewrite the code"
	@echo "make clean    remove .venv, caches and builds"

setup: .venv/.dev
	@echo ".venv is ready"

demo: .venv/.core
	@$(BIN)/sandglass demo --out "$(OUT)"

test: lint
	@echo "== pytest"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/.dev
	@echo "== ruff" && $(BIN)/ruff check --quiet && $(BIN)/ruff format --check --quiet
	@echo "== pyright" && $(BIN)/pyright
	@echo "== import contract" && $(BIN)/lint-imports

format: .venv/.dev
	@$(BIN)/ruff check --quiet --fix-only && $(BIN)/ruff format

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -exec rm -rf {} +

# Two stamps: the demo does not wait for the developers' tools. Either is renewed when the requirements change.
.venv/.core: pyproject.toml constraints.txt | .venv/.made
	@echo "Installing sandglass and what it needs into .venv (torch is large; some minutes on a slow line)"
	@$(PIP) --no-compile $(cpu_index) -e .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/.made
	@echo "Installing sandglass and its development tools into .venv (torch is large; some minutes on a slow line)"
	@$(PIP) --no-compile $(cpu_index) -e '.[dev]'
	@touch .venv/.core $@

cpu_index = $$(command -v nvidia-smi >/dev/null || { $(BIN)/python -c 'import sys, urllib.request as web; \
	web.urlopen(sys.argv[1], timeout=3)' $(TORCH_CPU)/torch/ 2>/dev/null && echo --extra-index-url $(TORCH_CPU); })

# A folder that already works is kept; a half-made one (an interrupted first run) is made anew.
.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "sandglass needs Python 3.11 or newer, '$(PYTHON)' is older or missing; name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "'$(PYTHON)' has no module venv; \
	install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	echo "Making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear .venv; }
	@touch $@
