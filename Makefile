# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RULE_FAMILIES := http header body value field action lifecycle delivery capture

.PHONY: demo test check lint types build docs bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/kit.stamp
	$(BIN)/postback demo

# Two processes, both busy to the end.
test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

check: lint types test build

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

build: $(VENV)/dev.stamp
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python tests/packaging/check_dist.py dist

# Written beside and moved: a command that fails leaves the page as it was.
docs: $(VENV)/kit.stamp
	$(BIN)/postback tokens --format markdown > docs/tokens.md.new
	mv docs/tokens.md.new docs/tokens.md
	$(BIN)/postback export --schema > docs/capture.schema.json.new
	mv docs/capture.schema.json.new docs/capture.schema.json
	mkdir -p docs/rules
	$(BIN)/postback rules list --format markdown > docs/rules/README.md.new
	mv docs/rules/README.md.new docs/rules/README.md
	set -e; for family in $(RULE_FAMILIES); do \
	  $(BIN)/postback rules list --family $$family --format markdown > docs/rules/$$family.md.new; \
	  mv docs/rules/$$family.md.new docs/rules/$$family.md; \
	done
	$(BIN)/postback check --schema > docs/report.schema.json.new
	mv docs/report.schema.json.new docs/report.schema.json
	$(BIN)/python tests/support/kill_matrix.py > docs/kill-matrix.md.new
	mv docs/kill-matrix.md.new docs/kill-matrix.md

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Postback Kit needs Python 3.11 or newer; $$($(PYTHON) --version) was found. Try: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/kit.stamp: $(VENV)/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/kit.stamp
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

# Ratios of one run, on a machine that does little else meanwhile.
bench: $(VENV)/kit.stamp
	$(BIN)/python benchmarks/templates.py
	$(BIN)/python benchmarks/sending.py

clean:
	rm -rf $(VENV) dist .postback .hypothesis .mypy_cache .pytest_cache .ruff_cache
