# demo, test and lint set up what they need, in .venv.
PYTHON ?= python3
PIP_FLAGS ?=
VENV := .venv

.PHONY: demo test lint

demo: $(VENV)/installed
	$(VENV)/bin/seqrec demo --overwrite

test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy seqrec

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seqrec needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet -c constraints.txt -e '.[dev]'
	touch $@
