# The two commands of a newcomer are `make demo` and `make test`; both set up what they need first.
.PHONY: demo test setup lint bench front clean
.DEFAULT_GOAL := setup
FRONT := $(shell find layers/web field_app -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

demo: .venv/.front   ## a live synthetic town at http://127.0.0.1:8000/wall
	@./setup.sh system run
	@exec .venv/bin/wangge up --demo

test: setup lint     ## every test, the browser's included
	@./setup.sh front_test
	.venv/bin/pytest -n 2 --dist loadscope

setup: .venv/.front  ## packages, .venv and the built pages
	@./setup.sh system test

lint: .venv/.front
	.venv/bin/ruff check --quiet
	.venv/bin/ruff format --check --quiet
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

bench: .venv/.front  ## figures and .wangge/bench.json; ONLY=name for one, SCALE=0.1 for smaller sizes
	@./setup.sh system run
	@.venv/bin/python -m tests.bench.run

front: .venv/.front

clean:               ## what was built and installed here; the town's data in .wangge stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf layers/web/node_modules layers/web/dist field_app/node_modules field_app/dist

.venv/.ready: requirements.lock pyproject.toml
	@./setup.sh system run
	@./setup.sh python

.venv/.front: .venv/.ready $(FRONT)
	@./setup.sh front
