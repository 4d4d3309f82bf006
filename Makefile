.PHONY: setup demo ui test chaos lint bench lock
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR ?= $(CURDIR)/.nextscale
STAMP := $(VENV)/.installed

setup: $(STAMP)  ## a virtual environment with everything pinned in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@command -v uv >/dev/null || python3 -m pip install --quiet uv
	uv venv --quiet --allow-existing --python '>=3.11,<3.14' $(VENV)
	uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock --editable '.[s3,dev]'
	@touch $(STAMP)

demo: setup  ## pictures with captions in, a trained model and its pictures out
	$(BIN)/nextscale demo --home $(HOME_DIR)

ui: setup  ## the asset graph in a browser, on localhost only
	$(BIN)/nextscale up --home $(HOME_DIR)

test: setup
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

chaos: setup  ## kills, faults, trainings on several workers: slower than `make test`
	$(BIN)/python -m pytest -q -m chaos

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	for script in $(filter-out bench/harness.py,$(wildcard bench/*.py)); do $(BIN)/python $$script || exit 1; done

lock:  ## after a change of dependencies in pyproject.toml
	uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
