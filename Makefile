# Every target makes what it needs: `make demo` and `make test` work from a fresh clone.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
REPORT := out/report.html

# The first Python >= 3.11 on the path; `make PYTHON=/some/python` overrides it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint format peers bench core clean distclean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/ready-all ## run the whole story and write one HTML report
	$(BIN)/chainrule demo --out $(REPORT)

test: $(VENV)/ready-test ## the tests and the examples in the docstrings
	$(BIN)/python -m pytest

slow: $(VENV)/ready-test ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/ready-lint ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready-lint ## rewrite the code in the project's format
	$(BIN)/ruff format .

peers: $(VENV)/ready-test $(VENV)/ready-peers ## comparisons with PyTorch (a large download)
	$(BIN)/python -m pytest -m peers

bench: $(VENV)/ready-bench ## speed against C, BLAS, JAX and PyTorch (a large download; ROWS="mlp-64 call" for some)
	$(BIN)/python -m benchmarks $(ROWS)

core: ## the built wheel, alone with its core dependencies
	rm -rf build/core
	$(call venv,build/core)
	@pip=$$($(call pip,build/core)) && $$pip wheel -q --no-deps -w build/core/wheel . \
		&& $$pip install -q build/core/wheel/chainrule-*.whl
	cd build/core && bin/python -W error ../../tests/core_only.py

clean: ## remove what the tools left (the environment stays)
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environment as well
	rm -rf $(VENV)

# A stamp an extra: installed once, and again when pyproject.toml changes.
$(VENV)/ready-%: pyproject.toml
	$(call venv,$(VENV))
	@echo "Installing chainrule[$*] into $(VENV) (needed once)"
	@pip=$$($(call pip,$(VENV))) && $$pip install -q -e '.[$*]'
	@touch $@
# The tests and the type checker meet every extra that users may install.
$(VENV)/ready-test $(VENV)/ready-lint: $(VENV)/ready-all

# $(call venv,FOLDER): an environment there, if there is none. Debian's python3 may lack ensurepip (python3-venv).
define venv
@if test -z "$(PYTHON)"; then echo "chainrule needs Python 3.11 or later, and none is on the path." \
	"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
@if ! test -e $(1)/bin/python && ! test -L $(1)/bin/python; then \
	if "$(PYTHON)" -c 'import ensurepip' 2>/dev/null; then "$(PYTHON)" -m venv $(1); \
	else "$(PYTHON)" -m venv --without-pip $(1); fi; fi
@$(1)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "The environment in $(1) does not run, or is older than Python 3.11: delete it and run make again." >&2; \
	exit 1; }
endef

# $(call pip,FOLDER): shell code that prints the pip command for the environment there: its own, or the system's.
pip = if $(1)/bin/python -m pip --version >/dev/null 2>&1; \
	then echo "$(1)/bin/python -m pip --disable-pip-version-check"; \
	elif "$(PYTHON)" -m pip --python $(1)/bin/python --version >/dev/null 2>&1; \
	then echo "$(PYTHON) -m pip --disable-pip-version-check --python $(1)/bin/python"; \
	else echo "There is no pip >= 22.3 for $(PYTHON), and no ensurepip to make one. Install it (Debian and" \
	"Ubuntu: apt-get install python3-venv), delete $(1) and run make again." >&2; exit 1; fi
