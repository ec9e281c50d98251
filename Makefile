# Everything happens in .venv, which is made when it is missing and filled again when setup.cfg or
# pyproject.toml changes. Paths are relative, so the folder's own name may hold spaces.

# Of what TensorFlow 2.21 runs on, what CI tests first; say PYTHON=… for another.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c $(SUITABLE) >/dev/null 2>&1 && { echo $$python; break; }; done)
SUITABLE := 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

VENV_PYTHON := .venv/bin/python
PIP_INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check
# A worker a core, four at most: each holds a TensorFlow of its own. ARGS=… goes to pytest.
PYTEST := $(VENV_PYTHON) -m pytest -n logical --maxprocesses=4 --dist=worksteal --durations=10

# TensorFlow's warnings and notes about the machine are left out, its errors are not.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test test-slow test-all lint clean

help:
	@echo 'make demo       what ar_zoo does, on shipped data and presets: under five minutes'
	@echo 'make test       the tests without the slow ones; ARGS="-k laws -x" goes to pytest'
	@echo 'make test-slow  the slow ones alone'
	@echo 'make test-all   all of them'
	@echo 'make lint       ruff check and ruff format --check'
	@echo 'make clean      removes .venv, caches and build folders'
	@echo 'PYTHON=/path/to/python3.12 chooses the Python that .venv is made with.'

demo: .venv/installed
	$(VENV_PYTHON) tools/demo.py

test: .venv/installed-test
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: .venv/installed-test
	$(PYTEST) -m slow $(ARGS)

test-all: .venv/installed-test
	$(PYTEST) $(ARGS)

lint: .venv/installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

clean:
	rm -rf .venv .venv-transformers build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: setup.cfg pyproject.toml | .venv/bin/pip
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/installed-test: setup.cfg pyproject.toml | .venv/bin/pip
	$(PIP_INSTALL) --editable '.[test]'
	@touch .venv/installed $@

# pip is the last thing that venv writes: a venv that was cut short is finished, not trusted.
.venv/bin/pip:
	@'$(PYTHON)' -c $(SUITABLE) 2>/dev/null || { \
		echo 'ar_zoo needs Python 3.11, 3.12 or 3.13 with its venv module.' \
			"Found: PYTHON='$(PYTHON)', python3 is $$(python3 --version 2>&1 || true)." \
			'Install one, or say where it is: make test PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	'$(PYTHON)' -m venv .venv
