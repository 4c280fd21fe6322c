# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo story test check bench clean

demo: $(VENV)/.runtime
	$(BIN)/safeconduct demo

story: $(VENV)/.runtime
	$(BIN)/safeconduct demo --script

test:
	scripts/test

check: $(VENV)/.development
	scripts/check

bench: $(VENV)/.runtime
	$(BIN)/safeconduct bench

$(VENV)/.runtime: requirements.lock pyproject.toml
	PYTHON=$(PYTHON) scripts/install runtime

$(VENV)/.development: requirements-dev.lock pyproject.toml
	PYTHON=$(PYTHON) scripts/install development

clean:
	rm -rf $(VENV) .venv-* tools/node/node_modules .safeconduct-demo
