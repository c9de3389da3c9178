# make demo   real photographs from labels to a page, offline: three minutes on two CPU cores
# make test   linter, type checker and tests
# make lint   the linter and the type checker
# make faults kills, bad flags, damaged and hostile files, with a table; then all that CI leaves out
# make clean  delete what the demo wrote
PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt
RUN = .venv/bin/python
PETS_MODES = full tags points scribbles boxes outlines pixels hybrid_tags_points
NUCLEI_MODES = full points boxes
CACHE = --cache_dir data/demo
# $(call train,SET,MODES): a probe for each kind of label, all of them tested, two compared, one page
define train
	set -e; for mode in $(2); do \
	  $(RUN) train.py --learner probe --supervision_mode $$mode --run_name $$mode --data_dir examples/$(1) \
	    --weak_label_path weak_labels/demo_$(1).pkl --checkpoint_dir checkpoints/demo/$(1) $(CACHE) --resume auto; \
	done
	$(RUN) evaluate.py --checkpoint_dir checkpoints/demo/$(1) --results_dir results/demo/$(1)
	$(RUN) analyze.py --a points --b boxes --results_dir results/demo/$(1)
	$(RUN) analyze.py --report results/demo/$(1)
endef

.PHONY: demo test faults lint clean
.DELETE_ON_ERROR:

demo: .venv/installed
	$(RUN) weak_label_generator.py --data_dir examples/pets $(CACHE) \
	  --output_file weak_labels/demo_pets.pkl --preview 8
	$(RUN) weak_label_generator.py --data_dir examples/nuclei $(CACHE) --background_points match \
	  --output_file weak_labels/demo_nuclei.pkl --preview 4
	$(call train,pets,$(PETS_MODES))
	$(call train,nuclei,$(NUCLEI_MODES))
	@echo "Open results/demo/pets/report.html and results/demo/nuclei/report.html"
	@echo "Labels as drawn: weak_labels/demo_pets_preview.png, weak_labels/demo_nuclei_preview.png"

test: .venv/tested lint
	.venv/bin/python -m pytest -n 2 --dist worksteal

faults: .venv/tested
	.venv/bin/python -m pytest -n 2 --dist worksteal -m "slow or not slow" tests/faults
	.venv/bin/python -m pytest -n 2 --dist worksteal -m slow --ignore tests/faults

lint: .venv/tested
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf data/demo checkpoints/demo results/demo weak_labels/demo*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; run make PYTHON=/path/to/a/newer/python3"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt .ci/constraints.txt | .venv/bin/python
	@echo "installing into .venv (PyTorch is large: a few minutes, once)"
	$(PIP) -r requirements.txt
	@touch $@

.venv/tested: .ci/requirements-dev.txt .venv/installed
	$(PIP) -r .ci/requirements-dev.txt
	@touch $@
