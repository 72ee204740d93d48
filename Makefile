# What can one do here? `make run` serves the portal, `make test` proves it, `make check` reads it, `make demo` shows it.
# Override: HOST, PORT, DATA_DIR (run) · ARGS (test, bench, lab, demo) · SEED (soak) · PYTHON (which Python builds .venv).

HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= ./data
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(wildcard console statuspages playbooks incidents monitors alerts portal)
# Django answers questions in `check` from a data directory of its own, never from the installation's.
ASIDE := DATA_DIR=$(VENV)/check-data DATABASE_URL= REDIS_URL= DJANGO_SETTINGS_MODULE=portal.settings
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := venv
.PHONY: help venv run test pictures check bench soak lab regions demo lock probe
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

venv: $(VENV)/dev.stamp ## .venv with everything

# --- The virtual environment, rebuilt when its list of packages changes ---
$(VENV)/made.stamp:
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" || exit 1; \
	if [ -x $(BIN)/python ] && ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then rm -rf $(VENV); fi; \
	[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	echo "Building .venv with $$python"; "$$python" -m venv $(VENV) || { \
	echo "Could not build .venv. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }; }
	@touch $@

$(VENV)/run.stamp: requirements/run.txt | $(VENV)/made.stamp
	@echo "Installing what running needs"
	@$(INSTALL) -r requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(VENV)/made.stamp
	@echo "Installing what running and testing need"
	@$(INSTALL) -r requirements/dev.txt
	@touch $(VENV)/run.stamp $@

# --- Running ---
run: $(VENV)/run.stamp ## the whole portal in one process
	@exec $(BIN)/python manage.py up --host "$(HOST)" --port "$(PORT)" --data-dir "$(DATA_DIR)"

demo: $(VENV)/dev.stamp ## a site breaks; a firewall dies and you approve the repair (docs/demo.md)
	@exec $(BIN)/python manage.py demo $(ARGS)

probe: $(VENV)/run.stamp ## build/watchkeeper-probe: the probe as one file for this platform
	@$(BIN)/python deploy/make_probe.py

# --- Proving ---
test: $(VENV)/dev.stamp ## every test, on SQLite and on PostgreSQL
	@$(BIN)/python -m tests $(ARGS)

pictures: $(VENV)/dev.stamp ## the guides' pictures, drawn anew (needs Chromium)
	@WATCHKEEPER_TEST_DB=sqlite $(BIN)/python -m pytest -q -n 0 tests/walks/draw.py

check: $(VENV)/dev.stamp ## style, layers, types, Django's own checks, nothing secret
	@failed=; \
	step() { echo "--- $$1"; shift; "$$@" || failed="$$failed $$STEP"; }; \
	STEP=lint; step "ruff check" $(BIN)/ruff check --quiet .; \
	STEP=format; step "ruff format" $(BIN)/ruff format --quiet --check .; \
	STEP=layers; step "import-linter" $(BIN)/lint-imports --no-logo; \
	STEP=types; step "mypy" env $(ASIDE) $(BIN)/mypy $(PACKAGES); \
	STEP=django; step "manage.py check" env $(ASIDE) $(BIN)/python manage.py check; \
	STEP=migrations; step "makemigrations --check" env $(ASIDE) $(BIN)/python manage.py makemigrations --check --dry-run; \
	STEP=scan; step "secrets and machine paths" $(BIN)/python .ci/scan.py; \
	if [ -n "$$failed" ]; then echo "make check FAILED:$$failed" >&2; exit 1; fi; echo "make check passed"

bench: $(VENV)/dev.stamp ## measured speed, as a table
	@$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/dev.stamp ## seeded faults under load: make soak SEED=7
	@FAULTS_CONVERGED=15 $(BIN)/python -m tests --soak
	@FAULTS_CONVERGED=15 WATCHKEEPER_TEST_DB=sqlite $(BIN)/python -m pytest -q -s -n 0 -m "not soak" tests/faults
	@$(BIN)/python -m bench.soak $(if $(SEED),--seed $(SEED)) $(ARGS)
	@RACES=10000 WATCHKEEPER_TEST_DB=postgres $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/faults/test_escalation.py -k races
	@RACES=10000 WATCHKEEPER_TEST_DB=postgres $(BIN)/python -m pytest -q -s -o faulthandler_timeout=0 tests/incidents/test_races.py
	@INSTALL=whole WATCHKEEPER_TEST_DB=sqlite $(BIN)/python -m pytest -q -o faulthandler_timeout=0 tests/monitors/test_install.py tests/deploy/test_install_pages.py
	@STORIES=2000 WATCHKEEPER_TEST_DB=sqlite $(BIN)/python -m pytest -q -o faulthandler_timeout=0 tests/alerts/test_story.py

regions: $(VENV)/dev.stamp ## six regions lose their lines: nobody is paged for it (needs root)
	@$(BIN)/python -m tests.regions $(ARGS)

lab: $(VENV)/dev.stamp ## labelled faults in a small internet: how good are the verdicts? (needs root)
	@$(BIN)/python -m tests.lab $(ARGS)

# --- The lists of packages, exact and hashed, for every platform ---
lock: ## after a change of dependencies in pyproject.toml
	@uv="$$(command -v uv || ls $(BIN)/uv 2>/dev/null)" || { echo "make lock needs uv: .venv/bin/pip install uv" >&2; exit 1; }; \
	lock() { UV_PYTHON_DOWNLOADS=never "$$uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --python $(BIN)/python "$$@" pyproject.toml; }; \
	lock --extra portal -o requirements/run.txt && lock --extra portal --extra dev -o requirements/dev.txt
