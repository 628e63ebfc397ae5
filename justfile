# Developers' entry; users have ./flowforge.
default: check

check: lint types architecture test

lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

types:
    .venv/bin/mypy

architecture:
    .venv/bin/lint-imports

test *args:
    ./flowforge test {{args}}

docs:
    ./flowforge docs

lock:
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group build pyproject.toml -o requirements.lock
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group dev --group otel -c requirements.lock pyproject.toml -o requirements-dev.lock

demo:
    ./flowforge demo
