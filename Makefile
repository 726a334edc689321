# `make venv` makes .venv with pip; it does nothing while setup.cfg and constraints.txt are unchanged.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOWEST := .venv-lowest
NEXT ?= .venv-next
# Threads that wait actively take the processor from each other; read before torch is loaded.
export OMP_WAIT_POLICY := PASSIVE
# That mkdocs-material ends in 2027 is no news at each build.
export NO_MKDOCS_2_WARNING := 1
# The tests start some two hundred processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# Where the X-rays of the experiments are: montgomery and shenzhen, each with images/ and labels/.
XRAYS ?= ../shared/data/cxr-lung

.PHONY: venv demo test test-all test-lowest test-next e2e scenarios simulate-quick simulate-quick-xrays simulate-quick-pools \
	chaos lint docs sam2 bench bench-selection wheel clean

venv: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[server,test,dev]'
	touch $(STAMP)

demo: venv
	$(BIN)/xssr demo $(DEMO_ARGS)

# Four tests side by side, each with one thread, as those with servers often wait; a file's tests follow one another,
# as some share a server. Files in their order rather than those with many tests first: the longest have few.
WORKERS ?= 4
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
	--durations 15

# Of all tests at once only: TEST_ARGS may name a few.
ifndef TEST_ARGS
COVERAGE := --cov xssr_strategy --cov-report term:skip-covered --cov-report json:coverage.json --cov-fail-under 80
TOUCHED := $(BIN)/python -m tests.untouched coverage.json
endif

# No server, no browser, nothing slow; the examples in docstrings; what the tests cover. None of them waits, so that more
# workers than cores would only load the libraries more often.
test: WORKERS := 2
test: venv
	$(PYTEST) -m "not e2e and not slow" $(COVERAGE) $(TEST_ARGS)
	$(TOUCHED)

# Without coverage, which would slow down the servers' tests and says nothing of other processes.
test-all: venv
	$(PYTEST) $(TEST_ARGS)

# The lower ends of setup.cfg, in a virtual environment of its own, without the peers, which need later versions, and the
# pages of CONTRIBUTING.md, which need ruff. Its versions are for Python 3.10: make test-lowest PYTHON=python3.10.
PEERS := --ignore tests/selection/test_peers.py --ignore tests/segmentation/methods/test_synthesis_peer.py
test-lowest: $(LOWEST)/.installed
	CI=true $(LOWEST)/bin/python -m pytest -m "not e2e" $(PEERS) \
		--ignore tests/test_contributing.py tests/test_*.py $(addprefix tests/,archive datastores embedding images labels \
		pool segmentation selection storage tasks versions web) $(TEST_ARGS)
	CI=true $(LOWEST)/bin/python -m pytest -m e2e tests/e2e/test_bad_labels.py $(TEST_ARGS)

$(LOWEST)/.installed: setup.cfg pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt \
		--editable '.[server,foundation,large]' hypothesis pytest pytest-timeout
	touch $@

# What MONAI Label's main branch needs: pydicom 3 and its highdicom, in a virtual environment of its own. With a clone of
# that branch, or MONAILABEL=git+https://github.com/Project-MONAI/MONAILabel, also what needs MONAI Label itself.
NEXT_TESTS := archive embedding images labels pool pool_map selection simulation storage versions
test-next: $(NEXT)/.installed
ifdef MONAILABEL
	$(NEXT)/bin/pip install --quiet --disable-pip-version-check --constraint $(NEXT)/constraints.txt \
		--no-build-isolation '$(MONAILABEL)'
endif
	CI=true $(NEXT)/bin/python -m pytest -m "not e2e and not slow" $(PEERS) \
		$(addprefix tests/,$(NEXT_TESTS)) $(if $(MONAILABEL),$(addprefix tests/,datastores segmentation tasks web), \
		$(patsubst %,--ignore tests/%.py,labels/test_formats simulation/test_label_names)) $(TEST_ARGS)

$(NEXT)/.installed: setup.cfg pyproject.toml constraints.txt constraints-next.txt
	test -x $(NEXT)/bin/python || $(PYTHON) -m venv $(NEXT)
	sed -n 's/==.*/==/p' constraints-next.txt | grep --invert-match --fixed-strings --file - constraints.txt \
		| cat - constraints-next.txt > $(NEXT)/constraints.txt
	$(NEXT)/bin/pip install --quiet --disable-pip-version-check --constraint $(NEXT)/constraints.txt \
		--editable '.[foundation,large]' dcmqi dicomweb-client einops fastapi highdicom hypothesis pandas pynrrd pytest \
		pytest-timeout pytorch-ignite setuptools SimpleITK torchvision wheel
	touch $@

# Real servers, a real DICOM archive, OHIF in a real browser; nothing is skipped.
e2e: venv
	$(BIN)/python tests/e2e/requirements.py
	CI=true $(PYTEST) -m e2e $(TEST_ARGS)

# The long way on real images: annotate, train, segment.
scenarios: venv
	$(BIN)/python -m tests.e2e.xray $(SCENARIO_ARGS)
	$(BIN)/python -m tests.e2e.hippocampus $(SCENARIO_ARGS)

# A slice of the X-ray experiment and one of the pools in a few minutes; their figures prove nothing.
simulate-quick: simulate-quick-xrays simulate-quick-pools

simulate-quick-xrays: venv
	$(BIN)/xssr simulate --source $(XRAYS)/montgomery --target $(XRAYS)/shenzhen --labels lung --budget 5,22 \
		--strategies xssr,kmeans,coreset,random,full --seeds 2 --draws 2 --size 64 --steps 160 --encoder-steps 120 \
		--out simulations/quick $(SIMULATE_ARGS)

simulate-quick-pools: venv
	$(BIN)/python -m benchmarks.pools development simulations/quick-pools --budget 6 --steps 40 --encoder-steps 40 \
		--draws 8 --pools "three hospitals with one of 5 %,slices of B,a third has a follow-up" \
		--figure simulations/quick-pools/percentiles.svg

# Kills, full disks, load and long runs; the short form is part of the tests.
chaos: venv
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --quiet --strict
	$(BIN)/python -m tests.audit

# The site, build/site/index.html, which needs no network; a link that leads nowhere fails.
docs: venv
	$(BIN)/mkdocs build --quiet --strict

# A SAM 2 of a million parameters, trained on phantoms in half an hour and kept; fails where it misses a bound.
sam2: venv
	$(BIN)/python -m benchmarks.tiny_sam2 simulations/tiny-sam2

bench: venv
	$(BIN)/python -m benchmarks

# Without the waiting policy above, which would slow down the libraries compared with.
bench-selection: venv
	env -u OMP_WAIT_POLICY $(BIN)/python -m benchmarks.selection

wheel: venv
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(LOWEST) $(NEXT) build dist demo *.egg-info .coverage* coverage.json
