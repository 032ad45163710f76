# `make demo` shows the main job end to end, `make test` checks and tests; both do all the
# set-up, into .venv/, and are safe to repeat. PYTHON= picks another Python (3.11 to 3.13).
PYTHON ?= python3
RUN := .venv/bin/python
MODEL_DIR := .venv/model
# One test process more than cores, since they wait for the disk, at most four: each may hold a
# model. Short paths: sockets have 108 bytes. tests/durations.py says which file begins.
TESTS = $(RUN) -m pytest --basetemp "$$(mktemp -d)" --numprocesses $$(($$(nproc) + 1)) --maxprocesses 4 \
  --dist loadgroup --no-loadscope-reorder $(if $(RECORD),--record)
LINT = $(RUN) -m ruff check && $(RUN) -m ruff format --check
TYPES = $(RUN) -m mypy
# What is carried away or tested whole has the engine for every processor, the rest for this one.
EVERY_PROCESSOR :=
test-all test-install bundle wheels: EVERY_PROCESSOR := --all
ifeq ($(CI),true)
test: EVERY_PROCESSOR := --all
test: wheels
endif
# Where `make bench-task` keeps what is done, so that a run that was cut continues.
TUNED := .tuned/licences
SYSTEM := apt-get install -y git make g++ python3-venv
UV := .venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 \
  --no-emit-index-url $(if $(UPGRADE),--upgrade)

# Compiled modules are kept: the tests start some hundred processes that import them.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
.PHONY: help preflight setup demo tour serve check test test-swept test-fast test-all test-contract test-upstream test-crash test-fuzz test-install bundle bench-audit bench-peer bench bench-full bench-league bench-task docs wheels wheel-cuda12 wheel-cuda13 tune-setup test-tune lock lock-torch lock-debian clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

preflight:
	@for tool in git $(firstword $(CXX)) $(PYTHON); do \
	  command -v $$tool >/dev/null || { echo '$(SYSTEM)'; exit 2; }; done
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo '$(SYSTEM)'; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed, not `$(PYTHON) -V`: make PYTHON=..."; exit 2; }

setup: preflight  ## virtual environment, llama.cpp wheel (3 minutes, once), default model
	@$(PYTHON) -m installer.bundle.environment .venv
	@$(RUN) -m installer.bundle.llama_wheel $(EVERY_PROCESSOR)
	@$(RUN) -m installer.bundle.default_model $(MODEL_DIR)

demo: setup  ## sign, approve, load, serve, one answer, its receipt checked offline
	@$(RUN) -m examples demo --model $(MODEL_DIR)

tour: setup  ## data, task, evaluation, app: the method on two tasks, a no and a yes; reports in .tour/ (MODELS=qwen: two models)
ifeq ($(MODELS),qwen)
	@$(RUN) -m installer.bundle.default_model --id qwen2.5-coder-0.5b-instruct .venv/qwen-small
	@$(RUN) -m installer.bundle.default_model --id qwen2.5-coder-1.5b-instruct .venv/qwen-large
	@$(RUN) -m examples licences --small .venv/qwen-small --large .venv/qwen-large --examples "$$($(RUN) -m installer.bundle.examples licences)"
else
	@$(RUN) -m examples tour --model $(MODEL_DIR) --examples "$$($(RUN) -m installer.bundle.examples excavators)" --notices "$$($(RUN) -m installer.bundle.examples licences)"
endif

serve: setup  ## like demo, and the server keeps running
	@$(RUN) -m examples demo --model $(MODEL_DIR) --serve

check: setup  ## linter, formatter, types, import rules
	$(LINT)
	$(TYPES)
	.venv/bin/lint-imports --no-logo
	@git ls-files 'appliance/*.py' 'tui/*.py' 'installer/*.py' | xargs wc -l | \
	  awk '$$2 != "total" && $$1 > 400 {print "  a hint: " $$2 " has " $$1 " lines"}'

test: setup  ## checks, then the tests; of suites with many alike cases a part (tests/sweeps.txt)
	$(LINT)
	@[ -d tests/__pycache__ ] || $(RUN) -m pytest --collect-only -qq > /dev/null 2>&1 || true
	@said=$$(mktemp); $(TYPES) > $$said 2>&1 & types=$$!; $(TESTS) -m "not slow and not tune"; tests=$$?; \
	wait $$types; types=$$?; cat $$said; rm $$said; [ $$types -eq 0 ] && exit $$tests

test-swept: setup  ## every case of the suites of which `make test` runs a part
	$(TESTS) --whole -m "swept and not slow"

test-fast: check  ## checks, then the tests that load no model and are quick: what one runs all day
	$(TESTS) -m "not slow and not model and not long and not tune"
	@$(RUN) -m tests.durations

test-contract: setup  ## the API with unmodified clients (OpenAI, AI SDK, LangChain, LlamaIndex, agents, frameworks, evals) and schemathesis; PART="dspy or llm": some, RECORD=1: written down
	$(RUN) -m pytest tests/contract $(if $(PART),-k "$(PART)") $(if $(RECORD),--seen)
	$(if $(RECORD),$(RUN) docs/generate.py)

test-upstream: setup  ## a running engine as an upstream: KIND=vllm URL=http://127.0.0.1:8000 MODEL=m (DOES=embed, rerank)
	UPSTREAM_KIND=$(KIND) UPSTREAM_URL=$(URL) UPSTREAM_MODEL=$(MODEL) UPSTREAM_DOES=$(or $(DOES),generate) $(RUN) -m pytest tests/contract/test_upstream_engine.py

test-crash: setup  ## the audit log under power loss, kills and failing disks, the long versions too
	$(RUN) -m pytest tests/audit/test_power_loss.py tests/audit/test_faults.py tests/audit/test_conditions.py \
	  tests/audit/test_log_crash.py tests/audit/test_log_full_disk.py tests/audit/test_ballast.py \
	  tests/audit/test_sqlite.py tests/audit/test_epoch.py \
	  tests/audit/test_restarts.py tests/audit/test_tampering.py tests/audit/test_eraser.py \
	  tests/audit/test_rolling.py tests/audit/test_pruning.py

bundle: setup  ## the bundle for the stick, in .bundle/, signed with a key made for trying out; EMBEDDER=no: 74 MB less
	@$(RUN) -m installer.bundle.build .bundle/appliance --key .bundle/vendor.pem --new-key \
	  --default-model $(if $(filter no,$(EMBEDDER)),,--embedder)

test-install: setup  ## the bundle on bare Debian 11, 12 and 13 without a network, and all faults (root); PART=FILE again
	INSTALL_RESULTS=$(if $(PART),1,all) $(RUN) -m pytest $(or $(PART),tests/installer tests/workers/test_cpu_variants.py tests/workers/test_gpu_devices.py)

test-all: check wheels  ## checks, then every test, the slow ones too
	$(TESTS) --whole

bench-audit: setup  ## the audit log by itself: writing, verifying, searching a million entries
	@$(RUN) -m benchmarks.audit $(if $(ROWS),--rows $(ROWS))

bench-peer: setup  ## build llama-server to compare with (5 minutes, once)
	@$(RUN) -m benchmarks peer

bench: bench-peer  ## the short set on the default model (10 minutes on an idle machine)
	@$(RUN) -m benchmarks run short --model smollm2

bench-full: bench-peer  ## every check on both models (35 minutes); one check: benchmarks/README.md
	@$(RUN) -m benchmarks run full

bench-league: bench-peer  ## the default model here and on other engines, each in an environment of its own (15 minutes, 6 GB)
	@$(RUN) -m benchmarks.league $(foreach model,$(MODELS),--model $(model))

bench-task: bench-peer tune-setup  ## a tuned small model beside a prompted larger one (an hour); TUNED=DIR keeps what is done
	@$(RUN) -m benchmarks.tuned licences --out $(TUNED)
	@$(RUN) -m benchmarks.prompted licences --out $(TUNED)

tune-setup: setup  ## what tuning computes with (docs/tuning-guide.md); TORCH_WHEELS=DIR has the build of torch; GPU=cuda12
	@$(RUN) -m installer.bundle.tuning_set .venv/tuning $(if $(TORCH_WHEELS),--wheels $(TORCH_WHEELS)) $(if $(GPU),--gpu $(GPU))

test-tune: tune-setup  ## the tests that train: the trainer beside the engine that serves
	$(RUN) -m pytest -m tune tests/tuning

test-fuzz: setup  ## one minute of coverage-guided fuzzing of the GGUF parser, beside modelvet
	$(RUN) -m tests.fuzz.run --seconds 60

docs: setup  ## the guides as pages with a search, for `appliance docs`
	@$(RUN) -m installer.bundle.pages

wheels: setup  ## fill offline-wheels/PLATFORM/ for an installation without a network
	@$(RUN) -m installer.bundle.wheel_lists check
	@$(RUN) -m installer.bundle.wheels

wheel-cuda12 wheel-cuda13: wheel-%: setup  ## the GPU plugin (docs/gpu.md); ARCHS=90-real for one kind of GPU
	@$(RUN) -m installer.bundle.cuda_wheel $* $(if $(ARCHS),--architectures $(ARCHS))

lock: setup  ## write the locks anew from pyproject.toml; UPGRADE=1 takes newer versions
	$(RUN) -m pip install -q --require-hashes -r offline-wheels/lock-tools.txt
	$(UV) pyproject.toml -o offline-wheels/lock-runtime.txt
	$(UV) --group build -o offline-wheels/lock-build.txt
	$(UV) --group dev -c offline-wheels/lock-runtime.txt -o offline-wheels/lock-dev.txt
	$(UV) --group tools -o offline-wheels/lock-tools.txt
	$(UV) --group oracle -o offline-wheels/lock-oracle.txt
	$(UV) --group oracle-statistics -o offline-wheels/lock-oracle-statistics.txt
	$(UV) --group otlp -o offline-wheels/lock-otlp.txt
	$(UV) --group clients -o offline-wheels/lock-clients.txt
	$(UV) --group inspect -o offline-wheels/lock-inspect.txt
	$(UV) --group frameworks -o offline-wheels/lock-frameworks.txt
	$(UV) --group engines -o offline-wheels/lock-engines.txt
	$(UV) --group docs -o offline-wheels/lock-docs.txt
	$(UV) --group bench -o offline-wheels/lock-bench.txt
	$(UV) --group llama --no-deps -o offline-wheels/lock-llama.txt
	$(UV) --group cuda12 -o offline-wheels/lock-cuda12.txt
	$(UV) --group cuda13 -o offline-wheels/lock-cuda13.txt
	$(UV) --group cuda13-build -o offline-wheels/lock-cuda13-build.txt
	$(UV) --group tune-cuda12 -o offline-wheels/lock-tune-cuda12.txt
	@$(if $(TORCH_WHEELS),$(UV) --no-emit-find-links --custom-compile-command "make lock TORCH_WHEELS=DIR" \
	  --find-links $(TORCH_WHEELS) --group tune -o offline-wheels/lock-tune.txt,\
	  echo 'lock-tune.txt stays as it is: TORCH_WHEELS=DIR names the directory of its torch')
	@$(if $(TORCH_WHEELS),$(RUN) -m installer.bundle.tuning_lock $(TORCH_WHEELS))
	@$(RUN) -m installer.bundle.wheel_lists write

lock-torch: setup  ## add the hashes of torch's wheels for the processor in TORCH_WHEELS=DIR to lock-tune.txt
	@$(RUN) -m installer.bundle.tuning_lock $(TORCH_WHEELS)

lock-debian:  ## write the lock of the bundled runtime anew from what Debian 13 has today
	@$(PYTHON) -m installer.bundle.debs --lock

clean:  ## remove what was made in this directory; the cache in ~/.cache/appliance stays
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf .demo .tour .bundle offline-wheels/*/ appliance/pages
