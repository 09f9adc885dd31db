# Two commands: `make app` sets everything up and opens the lab; `make test` sets up and tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNS   ?= runs
OUT    ?= figures
PORT   ?= 8501
# What is imported is compiled once and kept beside it: where an environment forbids that, a training begins after 12 s instead of 5.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help app starter figures gallery tables test thorough docs lint format clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12
	@echo
	@echo "settings:   PORT=$(PORT)  RUNS=$(RUNS)  OUT=$(OUT)  PYTHON=$(PYTHON)"

# A stamp each for what the lab needs and what development needs, which holds the lab: nothing is installed twice.
# uv takes a third of pip's time; pip does it where uv cannot, or where pip is told of an index that uv does not know of.
pip = $(BIN)/python -m pip install --quiet --disable-pip-version-check
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "labapp needs Python 3.11 or later; give one with PYTHON=…"; exit 2; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "installing what $(1) needs into $(VENV) (torch is large) …"
	@{ ! $(BIN)/python -m pip config list | grep -q '[.]index-url' && $(pip) uv && $(BIN)/uv pip install --quiet \
	  --python $(BIN)/python --system-certs --editable '.[$(2)]'; } || $(pip) --editable '.[$(2)]'
endef

$(VENV)/.lab: pyproject.toml
	$(call install,labapp,lab)
	@touch $@

$(VENV)/.dev: pyproject.toml
	$(call install,development,dev)
	@touch $@ $(VENV)/.lab

app: $(VENV)/.lab ## set up and open the lab; where there are no runs yet, record the starter comparison behind it
	@$(BIN)/python -m labapp app --root $(RUNS) --port $(PORT) --starter

starter: $(VENV)/.lab ## record plain, residual and dense nets side by side
	@$(BIN)/python -m labapp starter --runs $(RUNS)

figures: $(VENV)/.lab ## draw every figure from the tables in analysis/data, without runs
	@$(BIN)/python -m analysis.figures --out $(OUT)

gallery: $(VENV)/.lab ## the same, with the small copies that README.md shows
	@$(BIN)/python -m analysis.figures --out $(OUT) --gallery assets/figures

tables: $(VENV)/.lab ## take the tables of the figures anew from the runs of the sweeps
	@$(BIN)/python -m analysis.freeze --runs $(RUNS)

test: $(VENV)/.dev ## set up and run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not long"

thorough: $(VENV)/.dev ## run all tests, those with more cases of the same rules too
	@LABAPP_EXPERIMENTS=60 LABAPP_MALFORMED=10 LABAPP_SEQUENCES=60 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.dev ## style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(VENV)/.dev ## build the site into docs/_build/html; a link that leads nowhere fails
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: $(VENV)/.dev ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove caches; runs and the environment stay
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
