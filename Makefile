# Short names for what contributors do often, in an environment with `pip install -e .[dev]`.
.PHONY: test lint prose doc inventories clean

test:
	python -m pytest

lint:
	ruff check .
	ruff format --check .

prose:
	codespell
	numpydoc lint $$(git ls-files "mne_gram/*.py")

doc:
	sphinx-build -W --keep-going -b html doc doc/_build/html
	python doc/check_links.py doc/_build/html

inventories:
	python doc/inventories.py

clean:
	rm -rf build dist doc/_build doc/generated doc/auto_tutorials doc/sg_execution_times.rst
