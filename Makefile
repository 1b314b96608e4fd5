# Short names for what contributors do often, in an environment with `pip install -e .[dev]`.
.PHONY: test coverage lint prose doc inventories changelog clean

test:
	python -m pytest -n 2

coverage:
	python -m pytest --cov --cov-report=term

lint:
	ruff check .
	ruff format --check .
	lint-imports

prose:
	codespell
	numpydoc lint $$(git ls-files "mne_gram/*.py")

doc:
	sphinx-build -W --keep-going -b html doc doc/_build/html
	python doc/check_links.py doc/_build/html

inventories:
	python doc/inventories.py

changelog:
	towncrier build --draft --date unreleased

clean:
	rm -rf build dist doc/_build doc/generated doc/auto_tutorials doc/sg_execution_times.rst doc/changes/unreleased.inc .coverage*
