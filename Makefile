# make demo   everything on drawn data, offline: about eight minutes on two CPU cores
# make test   linter, type checker and tests
# make lint   the linter and the type checker
# make clean  delete what the demo wrote
PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt
RUN = .venv/bin/python
MODES = full tags points scribbles boxes hybrid_tags_points
DEMO = --data_dir data/demo --cache_dir data/.cache

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: .venv/installed
	$(RUN) download_data.py --dataset shapes --data_dir data/demo
	$(RUN) weak_label_generator.py $(DEMO) --output_file weak_labels/demo.pkl --preview 8
	set -e; for mode in $(MODES); do \
	  $(RUN) train.py --supervision_mode $$mode --run_name $$mode $(DEMO) --weak_label_path weak_labels/demo.pkl \
	    --checkpoint_dir checkpoints/demo --img_size 96 --epochs 8 --batch_size 8 --lr 3e-4 --augment --resume auto; \
	done
	$(RUN) evaluate.py --checkpoint_dir checkpoints/demo --results_dir results/demo
	@echo "Open results/demo/comparison.png and results/demo/cost.png (labels: weak_labels/demo_preview.png)"

test: .venv/tested lint
	.venv/bin/python -m pytest -n 2

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
