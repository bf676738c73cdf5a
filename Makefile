# Everything a user or developer types; `make` alone lists it. Needs Python 3.11 or newer, make and git.
PYTHON ?= python3
CONFIG ?=
ONLY ?=

VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-cluster venv lint bench figures pictures tutorial tutorial-pictures docs clean lock

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

demo: venv  ## the whole chain on the embedded soundscapes, to a report
	snakemake --profile local
	@echo
	@echo "Report: file://$(CURDIR)/results/report/index.html"

test: venv  ## all tests but those on a cluster
	@# Files in their order, in which the longest, whole chains, are early: xdist would begin with those of many tests.
	pytest -n auto --dist loadfile --no-loadscope-reorder

test-cluster: venv  ## a Slurm of its own, started and stopped again (root on Debian; installs packages, builds the image)
	pytest -r fE -m cluster tests/cluster

venv: $(VENV)/complete  ## only the environment, in .venv/

$(VENV)/complete: envs/all.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"Python 3.11 or newer is needed, found {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --progress-bar off --require-hashes -r envs/all.txt
	@# For `python -m tymbal`, and for nothing else: scripts find the package beside them.
	@echo "import sys; sys.orig_argv[1:3] == ['-m', 'tymbal'] and sys.path.extend(['workflow/scripts', '$(CURDIR)/workflow/scripts'])" \
	  > $$(echo $(VENV)/lib/python3.*/site-packages)/tymbal.pth
	@touch $@

lint: venv  ## formats, lints and types of everything
	ruff check workflow tests docs
	ruff format --check workflow tests docs
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	mypy

bench: venv  ## speed and memory, to results/bench/bench.json (ONLY=name for one)
	python tests/bench/run.py $(if $(ONLY),--only $(ONLY))

figures: venv  ## redraw figures and pages from results/summary (CONFIG=file for another configuration)
	snakemake figures pages --profile local $(if $(CONFIG),--configfile $(CONFIG)) \
	  --forcerun plot_model_figure plot_dataset_figure plot_pretraining_figure write_report write_model_report \
	  --allowed-rules figures pages plot_model_figure plot_dataset_figure plot_pretraining_figure \
	  write_report write_model_report

SEASON := results/predictions/synthetic-season/soundscapes-ssast-tiny-fold1-seed0
pictures: venv  ## redraw the pictures of docs/: what the model of `make demo` hears in synthesised recordings, and drawings
	PYTHONPATH=workflow/scripts python docs/pictures/drawings.py
	PYTHONPATH=workflow/scripts python docs/pictures/season.py record resources/synthetic-season
	snakemake --profile local predict --config recordings=resources/synthetic-season model=results/soundscapes/ssast-tiny/fold1/seed0
	PYTHONPATH=workflow/scripts python docs/pictures/season.py draw $(SEASON)

tutorial: venv  ## recordings and labels to follow docs/tutorial.md with, in resources/mine/
	PYTHONPATH=workflow/scripts python docs/pictures/tutorial.py record resources/mine

tutorial-pictures: venv  ## redraw the pictures of docs/tutorial.md, when its commands have been given
	PYTHONPATH=workflow/scripts python docs/pictures/tutorial.py draw results

docs: venv  ## the documentation as a site, in site/; fills in the tables of its reference
	python docs/reference/tables.py
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict -f docs/mkdocs/mkdocs.yml
	@echo "Documentation: file://$(CURDIR)/site/index.html"

clean:  ## remove logs, caches, the demo and the report; other data sets' features, models and predictions stay
	rm -rf site logs benchmarks .snakemake/log .snakemake/scripts .pytest_cache .mypy_cache .ruff_cache
	rm -rf resources/soundscapes results/soundscapes results/summary results/figures results/report results/validate results/bench
	rm -rf resources/synthetic-season results/predictions/synthetic-season
	find workflow tests -name __pycache__ -prune -exec rm -rf {} +

lock:  ## pin envs/*.txt again from envs/*.in (needs uv)
	cd envs && for name in all launcher science export; do uv pip compile --quiet --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-header --no-annotate -o $$name.txt \
	  $$(case $$name in all) echo launcher.in science.in export.in dev.in;; *) echo -c all.txt $$name.in;; esac); done
