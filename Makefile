# ClipScout. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
LAUNCH ?= launch/accelerate/cpu.yaml
CORPUS ?= small_world
OUT ?= runs/$(CORPUS)
POLICY ?= retrieval
BENCHMARK ?= $(CORPUS)
# A policy's results go where no trajectories and no other policy's results are, unless OUT is given.
EVAL_OUT = $(if $(filter file,$(origin OUT)),runs/eval/$(BENCHMARK)-$(POLICY),$(OUT))
SFT_CONFIG ?= configs/sft/tiny_cpu.yaml
RL_CONFIG ?= configs/grpo/tiny_cpu.yaml
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint questions traces sft rl eval report doctor clean captions bench-rewards bench-captions bench-navigation dataset bench-traces bench-grpo bench-sft bench-gpu push merge test-faults audit bench-eval bench-scale

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
# Python compiles what is imported when it is imported; compiling every file of every package is a third of the time.
	$(BIN)/pip install --quiet --no-compile torch==2.13.0
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --no-compile -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

setup: $(VENV)/.installed ## make the virtual environment with the tested versions

demo: setup ## the whole road on the small world: trajectories, SFT, GRPO, evaluation, report (ARGS="--seed 1 --out runs/demo-1")
	$(BIN)/clipscout demo $(ARGS)

test: setup ## the test suite without the slow ones
	$(BIN)/pytest -q -m "not slow"

test-all: setup ## every test
	$(BIN)/pytest -q

test-faults: setup ## kill, fill, cut, delay, corrupt and double every stage, and count what is left: ARGS="-k captions"
	$(BIN)/pytest -q tests/faults $(ARGS)

audit: ## known vulnerabilities of the locked packages, and secrets in the tree
	$(PYTHON) .ci/audit.py $(ARGS)

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

questions: setup ## questions and caption trees of a corpus: CORPUS=goalstep DATA=folder OUT=folder
	$(BIN)/clipscout questions --corpus $(CORPUS) --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS)

traces: setup ## a corpus with trajectories, the expert's or of the model at TEACHER_URL: CORPUS=… DATA=… OUT=… TEACHER_URL=http://… MODEL=name
	$(if $(TEACHER_URL),$(if $(MODEL),,$(error give MODEL=name, the teacher that $(TEACHER_URL) serves)))
	$(BIN)/clipscout $(if $(TEACHER_URL),questions,traces) --corpus $(CORPUS) --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS)
	$(if $(TEACHER_URL),$(BIN)/clipscout teacher $(OUT) --url $(TEACHER_URL) --model $(MODEL) $(TEACHER_ARGS))

dataset: setup ## SFT and RL sets from a folder of trajectories, and a page about the trajectories: OUT=folder ARGS="--decontaminate bench.jsonl"
	$(BIN)/clipscout dataset $(OUT) $(OUT)/sets --report $(OUT)/trajectories.html $(ARGS)

sft: setup ## supervised fine-tuning: SFT_CONFIG=configs/sft/….yaml LAUNCH=launch/accelerate/….yaml ARGS="--flag value"
	$(BIN)/accelerate launch --config_file $(LAUNCH) $(LAUNCH_ARGS) -m trainer.sft --config $(SFT_CONFIG) $(ARGS)

rl: setup ## GRPO: RL_CONFIG=configs/grpo/….yaml LAUNCH=… LAUNCH_ARGS="--num_processes 6" ARGS=…
	$(BIN)/accelerate launch --config_file $(LAUNCH) $(LAUNCH_ARGS) -m trainer.grpo --config $(RL_CONFIG) $(ARGS)

merge: setup ## one model out of an adapter and its base: CHECKPOINT=folder OUT=folder
	$(BIN)/clipscout merge $(CHECKPOINT) $(OUT)

push: setup ## a checkpoint to the Hub, private unless --public: CHECKPOINT=folder REPO=organisation/name ARGS="--dry-run"
	$(BIN)/clipscout push $(CHECKPOINT) $(REPO) $(ARGS)

eval: setup ## one policy on a benchmark: POLICY=retrieval BENCHMARK=nextgqa DATA=folder TREES=folder OUT=folder
	$(BIN)/clipscout eval --policy $(POLICY) --benchmark $(BENCHMARK) --out $(EVAL_OUT) $(if $(DATA),--data $(DATA)) \
	  $(if $(TREES),--trees $(TREES)) $(ARGS)

bench-eval: setup ## every rule policy on NExT-GQA and Goal-Step, tables and figures for docs/ (ARGS="--data folder")
	$(BIN)/python -m benchmarks.evaluation $(ARGS)

bench-scale: setup ## cost of each strategy on generated videos from 10 minutes to 24 hours
	$(BIN)/python -m benchmarks.strategies $(ARGS)

report: setup ## write the demo's report again from its files
	$(BIN)/clipscout report $(ARGS)

captions: setup ## caption trees of a folder of videos: VIDEOS=folder OUT=folder CAPTION_URL=http://… MODEL=name
	$(if $(VIDEOS),,$(error give VIDEOS=folder))
	$(BIN)/clipscout captions $(VIDEOS) $(OUT) $(if $(CAPTION_URL),--url $(CAPTION_URL)) $(if $(MODEL),--model $(MODEL)) $(ARGS)

doctor: setup ## what this machine has, what is missing, how to fix it: ARGS="--endpoint http://… --shared folder"
	$(BIN)/clipscout doctor $(ARGS)

bench-rewards: setup ## episodes scored a second, against the released score
	$(BIN)/python -m benchmarks.rewards $(ARGS)

bench-captions: setup ## CPU-seconds and memory of the caption pass, against reopening a segment at a time
	$(BIN)/python -m benchmarks.captions $(ARGS)

bench-navigation: setup ## what opening a tree and a call cost
	$(BIN)/python -m benchmarks.navigation $(ARGS)

bench-traces: setup ## teacher navigates a minute against a local stub, and the time an export takes
	$(BIN)/python -m benchmarks.traces $(ARGS)

bench-grpo: setup ## CPU-seconds of a GRPO step, ours beside plain trl
	$(BIN)/python -m benchmarks.grpo $(ARGS)

bench-sft: setup ## tokens and CPU-seconds of trajectories in one pass against one sample a turn
	$(BIN)/python -m benchmarks.sft $(ARGS)

bench-gpu: setup ## on one GPU: SFT and GRPO steps of Qwen3-8B with random weights, memory, rounding
	$(BIN)/python -m benchmarks.gpu $(ARGS)

clean: ## delete the demo run and caches, keep the virtual environment
	rm -rf runs/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
