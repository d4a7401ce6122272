# make help lists what there is.  Everything installs into .venv, from the pinned versions of constraints.txt, or of
# constraints-3.12.txt where .venv is a Python 3.12's.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
SCALE ?= cpu
BIN := .venv/bin
NTKRUN := $(BIN)/ntkrun
# X.Y of the Python that .venv has, or is to get: what PYTHON=... asks for makes another's .venv anew
MADE := $(if $(filter file,$(origin PYTHON)),$(wildcard $(BIN)/python))
VERSION := $(shell $(or $(MADE),$(PYTHON)) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PINS := $(or $(wildcard constraints-$(VERSION).txt),constraints.txt)

.PHONY: archive site help setup another-python fig3 figures report readme settings-page origins-page numbers check data test test-settings test-mutants test-end-to-end test-thorough test-faults test-slurm test-versions test-gpu-compile lint types bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with the pinned versions (the other targets do it by themselves)

.venv/.ready: pyproject.toml $(PINS) $(if $(wildcard $(BIN)/python$(VERSION)),,another-python)
	@test -n "$(VERSION)" || { echo "error: $(PYTHON) is not there; set PYTHON=... to a Python >= 3.11" >&2; exit 2; }
	@test -x $(BIN)/python$(VERSION) || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(PINS) -e '.[dev]'
	@touch $@

another-python:

fig3: .venv/.ready ## Figure 3 (SCALE=cpu: about two minutes on two cores), with its claims
	$(NTKRUN) experiment=fig3 scale=$(SCALE)

figures: .venv/.ready ## all figures at SCALE, the gallery results/SCALE/index.html and a summary
	$(NTKRUN) experiment=all scale=$(SCALE)

report: .venv/.ready ## redraw and judge all figures from the stored tables
	$(NTKRUN) experiment=all scale=$(SCALE) stage=report

readme: .venv/.ready ## the table of figures in README.md, from what is committed or staged below results
	$(BIN)/python scripts/readme_table.py

settings-page: .venv/.ready ## docs/settings.md, from the settings' types and the base configurations
	$(BIN)/python scripts/settings_page.py

origins-page: .venv/.ready ## docs/origins.md, from ntkrun/reference/origins and the configurations of scale=paper
	$(BIN)/python scripts/origins_page.py

numbers: .venv/.ready ## measured numbers in README.md and docs/, from results/reference
	$(BIN)/python scripts/measured_numbers.py

check: .venv/.ready ## judge all claims on the stored tables; fails when one fails
	$(NTKRUN) experiment=all scale=$(SCALE) stage=check

data: .venv/.ready ## fetch MNIST and CIFAR-10 (182 MB), where they are not there; a run does it by itself
	$(NTKRUN) stage=data data=mnist
	$(NTKRUN) stage=data data=cifar10

test: .venv/.ready ## the tests; NTKRUN_DATA_DIR=... for those on the real data
	$(BIN)/python -m pytest -n auto --dist worksteal

test-thorough: .venv/.ready ## further networks, optimizers and figures, snippets of the long pages: what has a quicker one of its kind in make test
	$(BIN)/python -m pytest -n auto --dist worksteal -m thorough

test-end-to-end: .venv/.ready ## several processes and other machines: wheel, offline bundle, hosts, an accelerator's way
	$(BIN)/python -m pytest -n auto --dist worksteal -m end_to_end

site: .venv/.ready ## the documentation as a site, build/site/index.html, the tutorial run; a link that leads nowhere is an error
	$(BIN)/python scripts/docs_site.py

archive: .venv/.ready ## the shipped results at the paper's size in one file, with an index of claims
	$(BIN)/python scripts/archive.py

test-faults: .venv/.ready ## kills, failing writes, corruption, wrong input at length; prints how many were tried
	$(BIN)/python -m pytest -m faults -p no:xdist

# Fourteen minutes on two idle cores, of which thirteen were seen: 30 of its 32 runs, one of which takes 110 s;
# make test-thorough tries each setting in one experiment alone.
test-settings: .venv/.ready ## every setting of every experiment, changed alone: it changes the table or is refused
	$(BIN)/python -m pytest -m settings -n auto tests/settings/test_every_setting.py

test-mutants: .venv/.ready ## plausible bugs, one at a time in a copy of the project: each must be noticed (MUTANTS="ID ..." for some, or --jobs=2)
	$(BIN)/python scripts/try_mutants.py $(MUTANTS)

test-slurm: .venv/.ready ## a sweep over a real SLURM, which it installs with apt and starts on this machine, as root
	@command -v slurmctld >/dev/null && command -v munged >/dev/null || { timeout 20 apt-get update && \
	  DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -y --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1 \
	  || echo "SLURM is not installed: that takes root, apt, and archives that answer within 20 s"
	$(BIN)/python -m pytest -m slurm -p no:xdist -rs --durations=5 tests/slurm

test-versions: ## smoke and tests under other versions (VERSIONS=device|newest|lowest, STAGE=smoke|suite; default: all)
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not there; set PYTHON=... to a Python >= 3.11" >&2; exit 2; }
	$(PYTHON) scripts/try_versions.py $(VERSIONS) $(if $(STAGE),--only $(STAGE))

# JAX's compiler for CUDA, of JAX's own version and without the libraries that programs run with: 130 MB, in a folder of its own.
test-gpu-compile: .venv/.ready ## compile what every figure runs for an H100, which need not be there; kernels a step against the record
	@version=$$($(BIN)/python -c 'import jax; print(jax.__version__)'); test -e .gpu-compile/jax-$$version || { rm -rf .gpu-compile; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .gpu-compile \
	  jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version && touch .gpu-compile/jax-$$version; } \
	  || echo "JAX's plugin for CUDA is not installed: the package index has none for jax $$version and this Python, or does not answer"
	NTKRUN_GPU_COMPILE=$$PWD/.gpu-compile $(BIN)/python -m pytest -m gpu_compile -p no:xdist -rs --durations=3 tests/gpu_compile

lint: .venv/.ready ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready ## pyright on ntkrun and tests
	$(BIN)/pyright

bench: .venv/.ready ## ratios to the floor, speeds and exponents of growth, into docs/speed.md; under ten minutes, idle machine
	$(BIN)/python scripts/bench.py

clean: ## remove what was built; results stay
	rm -rf .venv .venv-versions build dist *.egg-info
