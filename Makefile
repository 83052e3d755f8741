# Two commands: `make demo` and `make test`; each sets up what it needs in .venv. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Three test files at a time where there are two CPUs or more: a third of the time tests wait, for a camera or a child.
WORKERS := $(if $(filter-out 1,$(shell nproc 2>/dev/null || echo 1)),-n 3 --dist loadfile)

# Where the system keeps certificates, uv takes them: behind a company's proxy its own list is not enough.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint prose format types layers pytest slow targets debian arm reliability clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# One stamp file says that the environment fits pyproject.toml.
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed ## install everything into .venv

demo: setup ## export the committed weights to four models, measure them, and show all on one page
	$(BIN)/fer-export --int8 --out out $(if $(FER2013),--data '$(FER2013)' --split validation)
	$(BIN)/fer-bench --model out/fer_int8.tflite --model out/fer_float.tflite --model out/fer_int8.onnx --model out/fer_float.onnx $(if $(FER2013),--data '$(FER2013)' --split validation) --json out/bench.json
	$(BIN)/fer-bench demo --out out $(if $(FER2013),--data '$(FER2013)' --split validation)

test: setup lint types layers pytest ## run all checks

lint: setup prose ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

prose: setup ## spelling, and English of the documents
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/proselint --config .proselintrc.json check $$(git ls-files '*.md')

format: setup ## rewrite to the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## static types
	$(BIN)/mypy

layers: setup ## who may import whom
	$(BIN)/lint-imports

pytest: setup ## the tests
	$(BIN)/python -m pytest $(WORKERS)

slow: setup ## the slow tests: kill -9 and resume, a whole QAT stage, installation from both requirements files
	$(BIN)/python -m pytest -m slow

targets: setup ## every chip that fer-export knows: their makers' tools, those in environments of their own as far as installed
	$(BIN)/python -m pytest -q tests/export/test_targets.py tests/export/test_ethos_u.py tests/export/test_micro.py tests/export/test_tosa.py tests/export/test_npu_files.py tests/export/test_rockchip.py tests/export/test_sophgo.py tests/export/test_openvino.py -m 'slow or not slow' -rs

debian: setup ## the wheel on a minimal Debian, as root (apt-get install mmdebstrap debian-archive-keyring)
	$(BIN)/python -m tests.debian.minimal

arm: setup ## same results on emulated Arm? (apt-get install qemu-user-static mmdebstrap debian-archive-keyring)
	$(BIN)/python tests/arm/emulate.py $(if $(YUNET),--detector-model '$(YUNET)')

reliability: setup ## the long campaigns: faults, soak, damaged input, kills, versions; some hours, numbers in out/reliability
	FER_RELIABILITY=full $(BIN)/python -m pytest tests/reliability -q -s
	$(BIN)/python -m pytest tests/reliability -q -s -m slow
	$(BIN)/python tests/reliability/kill_run.py --kills 10 --json out/reliability/kills.json
	$(BIN)/python tests/reliability/fuzz_run.py --count 10000 --json out/reliability/fuzz.json
	$(BIN)/python tests/reliability/matrix.py --markdown out/reliability/platforms.md

clean: ## remove what was built, not what was trained
	rm -rf out dist .pytest_cache .mypy_cache .ruff_cache
