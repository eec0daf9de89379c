# make demo   train a residual network on real digits and write its report
# make test   every check that decides whether a change lands
# make parity every network, large ones too, against its peer; exports, compiles, learns a batch
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test parity format clean

demo: .venv/installed
	$(BIN)/fathom train

test: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

parity: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow tests/models

format: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Fathom needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Run: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/installed-test: pyproject.toml tests/browser/install.sh | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[test]'
	@tests/browser/install.sh .venv/axe
	@touch $@ .venv/installed
