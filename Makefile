PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where no bytecode is to be written, each process of the tests compiles each of them: a fifth of the time.
TESTING := PYTHONDONTWRITEBYTECODE= $(BIN)/python

GOOD := fixtures/dtb/boots/01-dom0-x420-l612.dtb
BAD  := fixtures/dtb/boots/06c-1G-dom0-640M.dtb

.DEFAULT_GOAL := help
.PHONY: help install check test test-all test-shuffled lab lint docs site oracle bench performance mutants fuzz dist clean upstream refusals story man

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv with dtanalyze and everything its tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("dtanalyze needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "== setting up $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e '.[dev]'
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q dtanalyze  # start-up is most of the time a check takes
	@touch $@

check: install ## analyse two recorded trees: one that works, one that does not
	@echo "== Xen 4.20, 2 GiB host, dom0_mem=512M: dom0 gets its scratch pages"
	$(BIN)/dtanalyze check $(GOOD)
	@echo "== Xen 4.20, 1 GiB host, dom0_mem=640M: regions, but no room for a section; reported only (--fail-on never)"
	$(BIN)/dtanalyze check --fail-on never $(BAD)

test: install lint ## lint, then run all tests, on each CPU
	$(TESTING) -m pytest -n auto

test-shuffled: install ## all tests in a random order, which tells those that lean on another
	$(TESTING) -m pytest -o addopts='-q --strict-markers --strict-config -p no:logging' -n auto

test-all: install ## the tests that need a browser (Debian: chromium, npm), after `make test`
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		echo "== NO BROWSER: install chromium, else the page of \`map --html\` is not tested"
	@test -f node_modules/axe-core/axe.min.js || npm install --silent --no-save --no-audit --no-fund axe-core@4 || \
		echo "== NO AXE-CORE: whether everybody can read the page is not tested"
	$(BIN)/python -m pytest tests/browser -rs

lint: install ## ruff, mypy --strict and who may import whom, of the program, its tests and its benchmarks
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache

upstream: install ## list Xen's commits to the mirrored files since the pinned one: make upstream XEN=path/to/xen
	$(BIN)/python docs/upstream.py $(or $(XEN),../xen)

refusals: install ## list where Xen says no and docs/refusals.md does not know it: make refusals XEN=path/to/xen
	$(BIN)/python docs/refusals_of.py $(or $(XEN),../xen)

docs: install ## write docs/rules.md and docs/glossary.md, docs/formats.md from a run
	$(BIN)/dtanalyze rules --format markdown > docs/rules.md
	$(BIN)/dtanalyze rules --refusals --format markdown > docs/refusals.md
	$(BIN)/python -c "from dtanalyze.report.glossary import glossary_markdown as made; print(made(), end='')" > docs/glossary.md
	$(BIN)/python docs/make_formats.py
	$(BIN)/python docs/make_schemas.py docs/schema
	$(BIN)/python -m lab evidence > docs/evidence.md

site: install ## the documents as a site, with the page that needs no install (needs npm), in build/site
	$(PIP) --no-build-isolation -e '.[site]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	$(BIN)/python docs/make_man.py > build/site/dtanalyze.1
	@command -v npm >/dev/null || echo "== NO NPM: the page that needs no install is not built"
	@! command -v npm >/dev/null || $(BIN)/python web/build.py build/site/try

man: install ## write the manual page from the help, build/dtanalyze.1
	@mkdir -p build
	$(BIN)/python docs/make_man.py > build/dtanalyze.1

story: install ## install, a red pull request, `fix --write`, green: on a repository made on the spot, with the time of each step
	$(BIN)/python integrations/story.py

oracle: install ## compare with the recorded answers of Xen and the wider records in ../shared, if they are there
	@test -d ../shared || echo "== ../shared is not there: everything below will be SKIPPED"
	@test ! -d ../shared/oracle || $(BIN)/python -m tests.xen.oracle ../shared/oracle
	@test ! -d ../shared/truth || $(BIN)/python -m tests.wide.linux2 ../shared/truth
	@test ! -d ../shared/truth2 || $(BIN)/python -m tests.wide.linux2 ../shared/truth2
	@test ! -d ../shared/truth2 || $(BIN)/python -m tests.wide.boots2 ../shared/truth2
	@test ! -d ../shared/field || $(BIN)/python -m tests.wide.field ../shared/field
	$(BIN)/python -m pytest tests/wide -q -rs

lab: install ## boot Debian's Xen and Linux under QEMU and verify each (LAB="random --seeds 0-99" for random cases)
	$(BIN)/python -m lab $(or $(LAB),run)

bench: install ## run benchmarks/*.py; each leaves with 1 when a limit is missed
	@for script in $(filter-out %/performance.py,$(sort $(wildcard benchmarks/*.py))); do \
		echo "== $$script"; $(BIN)/python $$script || exit 1; done

fuzz: install ## fuzz trees for SECONDS (60), with atheris where it is installed, then all other files; what is found lies in fuzz/
	$(BIN)/python -m tests.fuzz $(or $(SECONDS),60)
	$(BIN)/python -m tests.fuzz.given --seconds $(or $(SECONDS),60)

performance: install ## measure, and write docs/performance.md
	$(BIN)/python benchmarks/performance.py > docs/performance.md

MUTANTS ?= --per-file 1
mutants: install ## change the program in one place at a time, list the changes that no test notices (MUTANTS="--per-file 3 --seed 2")
	$(BIN)/python -m tests.mutation $(MUTANTS)

dist: install ## the wheel and the source distribution in dist/, built twice to show that they are the same bytes
	$(BIN)/python packaging/dist.py

clean: ## remove .venv, caches and build results
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
