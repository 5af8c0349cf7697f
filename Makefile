# Everything a person needs: `make demo` shows it, `make test` proves it. Each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format reference test-slow test-clients test-browser properties soak-serving torture torture-processes test-processes lessons bench fit fuzz clean help

demo: .venv/for-use ## train for two minutes on the first text that can be had
	@$(BIN)/homespun train --minutes 2

test: .venv/for-work ## all checks and tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -m "not slow and not clients and not browser and not processes" -n auto --dist worksteal

check: .venv/for-work ## format, lint, types, imports, README tree, CLI reference: what is quick
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest tests/house

.PHONY: lint
lint: .venv/for-work
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

test-slow: .venv/for-work ## the proofs that take minutes: the losses that the README names
	@$(BIN)/python -m pytest -m slow

FOR_CLIENTS = openai transformers hypothesis pytest pytest-timeout
CLIENTS = "lm-eval[api,hf]" llm langchain-openai litellm schemathesis
test-clients: ## programs that talk to homespun serve: lm-eval, llm, LangChain, LiteLLM, schemathesis, Node's (in .clients)
	@test -x .clients/bin/python || $(PYTHON) -m venv .clients
	@.clients/bin/pip install --quiet -c constraints.txt -c tests/server/clients.txt -e ".[serve,chat,constrained]" $(FOR_CLIENTS)
	@.clients/bin/pip install --quiet -c constraints.txt -c tests/server/clients.txt $(CLIENTS)
	@.clients/bin/pip install --quiet --no-deps "chardet>=7.4" # lm-eval's tables ask for an older one, and do with it
	@.clients/bin/python -m pytest tests/server/test_clients.py -m clients

test-browser: .venv/for-work ## open exported pages and the studio in Chromium, where it is installed: some minutes
	@$(BIN)/python -m pytest -m browser

.PHONY: page
page: ## build the page that export writes, and the studio's, from web/ (needs Node 20; the built files are in git)
	@cd web && npm ci --no-fund --no-audit && npm run --silent schema && npm run --silent check && npm run --silent test && npm run --silent build

properties: .venv/for-work ## what shall hold for every input, with inputs that nobody has tried
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile "other ones" -n auto --dist worksteal

soak-serving: .venv/for-work ## clients that come, leave and send rubbish, for an hour: every text right, memory flat
	@$(BIN)/python -m tests.soak.serving --minutes 60

torture: .venv/for-work ## kill runs at random moments, 200 times, and compare them to the bit (about half an hour)
	@$(BIN)/python tests/torture/torture.py --kills 200

torture-processes: .venv/for-work ## kill processes of runs that several compute, 200 times, and look at what was lost
	@$(BIN)/python tests/torture/processes.py --kills 200

test-processes: .venv/for-work ## runs of several processes, in network namespaces too: some minutes; some need root
	@$(BIN)/python -m pytest -m processes

lessons: .venv/for-work ## execute all lessons, and leave them as pages in runs/lessons
	@$(BIN)/python -m tests.lessons.executing runs/lessons lessons/*.ipynb

bench: .venv/for-work ## every speed against the plain way, and docs/speed.md from it (hours, on a quiet machine)
	@$(BIN)/python -m benchmarks --all

fit: .venv/for-work ## fit the law of the expected loss to the runs in benchmarks/losses.jsonl again
	@$(BIN)/python -m benchmarks.fit

fuzz: ## two hours of coverage-guided fuzzing of what reads other people's files
	@test -x .fuzz/bin/python || $(PYTHON) -m venv .fuzz
	@.fuzz/bin/pip install --quiet -c constraints.txt -e '.[formats]' atheris 'sentencepiece[protobuf]' gguf
	@for reader in safetensors config tokenizer gguf checkpoint text; do \
	  OMP_NUM_THREADS=1 .fuzz/bin/python tests/fuzz/fuzz_$$reader.py -max_total_time=1200 || exit 1; done

format: .venv/for-work ## format the code, mend what ruff can mend
	@$(BIN)/ruff check --fix -q . || true
	@$(BIN)/ruff format .

reference: .venv/for-work ## write docs/cli.md anew from the commands
	@$(BIN)/python -m homespun.cli.reference

clean: ## remove the virtual environment and what tools left behind (never runs/)
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# A stamp is newer than what it was made from, so the second time nothing is done.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "homespun needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name another one:  make demo PYTHON=python3.12"; exit 1; }
	@echo "setting up .venv (once; PyTorch is large)"
	@$(PYTHON) -m venv .venv || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu:  apt install python3-venv"; exit 1; }

.venv/for-use: pyproject.toml constraints.txt | .venv/bin/pip
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/for-work: pyproject.toml constraints.txt | .venv/bin/pip
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ .venv/for-use
