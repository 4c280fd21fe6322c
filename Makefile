# Two commands do everything on a fresh machine: `make demo` and `make test`.
# PYTHON=python3.13 with any of them makes the environment anew with that Python.
BIN := .venv/bin

.PHONY: demo story test check bench clean

demo:
	@scripts/install runtime
	$(BIN)/safeconduct demo

story:
	@scripts/install runtime
	$(BIN)/safeconduct demo --script

test:
	scripts/test

check:
	scripts/check

bench:
	@scripts/install runtime
	$(BIN)/safeconduct bench

clean:
	rm -rf .venv .venv-* tools/node/node_modules .safeconduct-demo
