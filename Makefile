# ClipScout. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
# The environment that is active, if it holds the tested set; else this folder's own, which `make setup` makes.
TESTED := from importlib.metadata import version as v; import sys; v("clipscout"); \
  sys.exit((v("torch").split("+")[0], v("trl")) != ("2.13.0", "1.16.0") or print(sys.prefix))
ACTIVE := $(shell for python in python python3; do $$python -c '$(TESTED)' 2>/dev/null && break; done)
BIN := $(or $(ACTIVE),$(VENV))/bin
CLIPSCOUT := $(BIN)/python -m clipscout.main
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
LAUNCH ?= launch/accelerate/cpu.yaml
CORPUS ?= small_world
# Tests run in two processes, a file in one of them.
WORKERS ?= 2
# DATA without CORPUS is a folder of one's own, with questions.jsonl and trees/.
OWN := $(if $(filter file,$(origin CORPUS)),$(DATA))
OUT ?= $(or $(OWN),runs/$(CORPUS))
POLICY ?= retrieval
OWN_ASKED := $(if $(filter undefined,$(origin BENCHMARK)),$(OWN))
BENCHMARK ?= $(if $(OWN),$(notdir $(OWN:%/=%)),$(CORPUS))
# A policy's results go where no trajectories and no other policy's results are, unless OUT is given.
EVAL_OUT = $(if $(filter file,$(origin OUT)),runs/eval/$(BENCHMARK)-$(POLICY),$(OUT))
# What a training is told besides its config.
TRAINED = $(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL)) $(if $(filter file,$(origin OUT)),,--out $(OUT))
SFT_CONFIG ?= configs/sft/tiny_cpu.yaml
RL_CONFIG ?= configs/grpo/tiny_cpu.yaml
$(if $(CHECKPOINT),$(error CHECKPOINT is called MODEL now))

.DEFAULT_GOAL := help
.PHONY: help setup doctor demo demo-lm questions lines captions traces dataset sft rl merge push eval report test test-all test-faults lint audit \
  bench-captions bench-traces bench-navigation bench-rewards bench-sft bench-grpo bench-lm bench-gpu bench-eval bench-search bench-scale clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
# Python compiles what is imported when it is imported; compiling every file of every package is a third of the time.
	$(VENV)/bin/pip install --quiet --no-compile torch==2.13.0
	DS_BUILD_OPS=0 $(VENV)/bin/pip install --quiet --no-compile -r requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps -e .
	touch $@

setup: $(if $(ACTIVE),,$(VENV)/.installed) ## make .venv with the tested versions, unless the active environment holds them

doctor: setup ## what this machine has, what is missing, how to fix it: ARGS="--url http://… --shared folder"
	$(CLIPSCOUT) doctor $(ARGS)

demo: setup ## the whole road on the small world: trajectories, SFT, GRPO, evaluation, report (ARGS="--seed 1 --out runs/demo-1")
	$(CLIPSCOUT) demo $(ARGS)

demo-lm: setup ## a pretrained model on real videos: base, SFT, GRPO beside the rules: MODEL=runs/smollm2 DATA=folder ARGS="--sft-steps 40"
	$(if $(MODEL),,$(error give MODEL=folder or Hub name of a pretrained model))
	$(if $(DATA),,$(error give DATA=folder of Goal-Step))
	$(BIN)/python -m benchmarks.lm_demo --model $(MODEL) --data $(DATA) $(ARGS)

questions: setup ## questions and caption trees of a corpus: CORPUS=goalstep DATA=folder OUT=folder
	$(CLIPSCOUT) questions --corpus $(CORPUS) --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS)

lines: setup ## what is said and shown as text in videos: VIDEOS=folder OUT=folder SPEECH_MODEL=small.en ARGS="--source speech,screen"
	$(if $(VIDEOS),,$(error give VIDEOS=folder))
	$(CLIPSCOUT) lines --videos $(VIDEOS) --out $(OUT) $(if $(SPEECH_MODEL),--speech-model $(SPEECH_MODEL)) $(ARGS)

captions: setup ## caption trees of a folder of videos: VIDEOS=folder OUT=folder CAPTION_URL=http://… MODEL=name
	$(if $(VIDEOS),,$(error give VIDEOS=folder))
	$(CLIPSCOUT) captions --videos $(VIDEOS) --out $(OUT) $(if $(CAPTION_URL),--url $(CAPTION_URL)) \
	  $(if $(MODEL),--model $(MODEL)) $(ARGS)

traces: setup ## trajectories, the expert's or of the model at TEACHER_URL=http://… MODEL=name: CORPUS=… DATA=… OUT=…, or DATA=folder of your own
	$(if $(TEACHER_URL),$(if $(MODEL),,$(error give MODEL=name, the teacher that $(TEACHER_URL) serves)))
	$(if $(and $(TEACHER_URL),$(OWN)),,$(CLIPSCOUT) $(if $(TEACHER_URL),questions,traces) $(if $(OWN),,--corpus $(CORPUS)) \
	  --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS))
	$(if $(TEACHER_URL),$(CLIPSCOUT) teacher --data $(OUT) --url $(TEACHER_URL) --model $(MODEL) $(TEACHER_ARGS))

dataset: setup ## SFT and RL sets of a folder's trajectories, and a page about them: OUT=folder or DATA=own ARGS="--decontaminate bench.jsonl"
	$(CLIPSCOUT) dataset --data $(OUT) --out $(OUT)/sets --report $(OUT)/trajectories.html $(ARGS)

sft: setup ## supervised fine-tuning: SFT_CONFIG=configs/sft/….yaml LAUNCH=launch/accelerate/….yaml DATA=… MODEL=… ARGS="--flag value"
	$(CLIPSCOUT) sft --config $(SFT_CONFIG) --launch $(LAUNCH) --launch-args "$(LAUNCH_ARGS)" $(TRAINED) $(ARGS)

rl: setup ## GRPO: RL_CONFIG=configs/grpo/….yaml LAUNCH=… LAUNCH_ARGS="--num_processes 6" DATA=… MODEL=… ARGS=…
	$(CLIPSCOUT) grpo --config $(RL_CONFIG) --launch $(LAUNCH) --launch-args "$(LAUNCH_ARGS)" $(TRAINED) $(ARGS)

merge: setup ## one model out of an adapter and its base: MODEL=folder OUT=folder
	$(if $(MODEL),,$(error give MODEL=folder, the adapter))
	$(CLIPSCOUT) merge $(MODEL) $(OUT)

push: setup ## a model to the Hub, private unless --public: MODEL=folder REPO=organisation/name ARGS="--dry-run"
	$(if $(MODEL),,$(error give MODEL=folder, the checkpoint))
	$(CLIPSCOUT) push $(MODEL) $(REPO) $(ARGS)

eval: setup ## one policy on a benchmark: POLICY=retrieval BENCHMARK=nextgqa DATA=folder TREES=folder OUT=folder, or DATA=folder of your own
	$(CLIPSCOUT) eval --policy $(POLICY) $(if $(OWN_ASKED),,--corpus $(BENCHMARK)) --out $(EVAL_OUT) $(if $(DATA),--data $(DATA)) \
	  $(if $(TREES),--trees $(TREES)) $(if $(MODEL),--model $(MODEL)) $(ARGS)

report: setup ## one page of any runs: make report ARGS="runs/demo runs/mine --out runs/report.html"
	$(CLIPSCOUT) report $(ARGS)

test: setup ## the test suite without the slow ones
	$(BIN)/pytest -q -m "not slow" -n $(WORKERS) --dist loadfile

test-all: setup ## every test
	$(BIN)/pytest -q

test-faults: setup ## kill, fill, cut, delay, corrupt and double every stage, and count what is left: ARGS="-k captions"
	$(BIN)/pytest -q tests/faults $(ARGS)

lint: setup ## ruff, mypy and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: ## known vulnerabilities of the locked packages, and secrets in the tree
	$(PYTHON) .ci/audit.py $(ARGS)

bench-captions: setup ## CPU-seconds and memory of the caption pass, against reopening a segment at a time
	$(BIN)/python -m benchmarks.captions $(ARGS)

bench-traces: setup ## trajectories a teacher records a minute against a local stub, and the time an export takes
	$(BIN)/python -m benchmarks.traces $(ARGS)

bench-navigation: setup ## what opening a tree and a call cost
	$(BIN)/python -m benchmarks.navigation $(ARGS)

bench-rewards: setup ## episodes scored a second, against the released score
	$(BIN)/python -m benchmarks.rewards $(ARGS)

bench-sft: setup ## tokens and CPU-seconds of trajectories in one pass against one sample a turn
	$(BIN)/python -m benchmarks.sft $(ARGS)

bench-grpo: setup ## CPU-seconds of a GRPO step, ours beside plain trl
	$(BIN)/python -m benchmarks.grpo $(ARGS)

bench-lm: setup ## training steps of a pretrained model on a CPU, ours beside plain trl: MODEL=runs/smollm2 DATA=runs/goalstep
	$(if $(MODEL),,$(error give MODEL=folder, a pretrained model))
	$(if $(DATA),,$(error give DATA=folder of make traces))
	$(BIN)/python -m benchmarks.lm --model $(MODEL) --data $(DATA) $(ARGS)

bench-gpu: setup ## on one GPU: SFT and GRPO steps of Qwen3-8B with random weights, memory, rounding
	$(BIN)/python -m benchmarks.gpu $(ARGS)

bench-eval: setup ## every rule policy on NExT-GQA and Goal-Step, tables and figures for docs/ (ARGS="--data folder")
	$(BIN)/python -m benchmarks.evaluation $(ARGS)

bench-search: setup ## recall of a search, its speed and memory, accuracy against cost with search and without (ARGS="--data folder --embedder model")
	$(BIN)/python -m benchmarks.search $(ARGS)

bench-scale: setup ## cost of each strategy on generated videos from 10 minutes to 24 hours
	$(BIN)/python -m benchmarks.strategies $(ARGS)

clean: ## delete the demo run and caches, keep the virtual environment
	rm -rf runs/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
