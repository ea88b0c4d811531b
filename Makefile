# The same words in the README, in CI and at the desk. `make` alone says what there is.
#
# Every step of the set-up leaves a stamp in .venv/.stamps, so a second run repeats nothing, and
# `rm -r .venv` starts again. PYTHON= names the Python to build .venv from; ARGS= goes to the tool.

PYTHON ?=
ARGS ?=
BIN := .venv/bin
STAMPS := .venv/.stamps
WHEELS := .wheels/.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# the tests start thousands of processes, each of which would compile our modules again
export PYTHONDONTWRITEBYTECODE :=
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-compose lint format bench bench-peers soak schemas docs requirements
.PHONY: coverage pictures dist image ready step-ca

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target what; do \
		printf '  make %-14s %s\n' "$$target" "$$what"; done

# step-ca is built while the wheels come
setup: $(STAMPS)/venv ## build .venv, with the mosaic command and a step-ca
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j2) ready

demo: setup ## two gateways on this machine, from manifest to certificate
	@$(BIN)/mosaic federation demo $(ARGS)

test: setup ## every test; ARGS="-k words" picks some
	@sh tools/faketime.sh
	@sh tools/postgres.sh
	@for each in openssl curl; do command -v $$each >/dev/null \
		|| sh tools/apt.sh $$each 'a peer of a test enrolls with it' || exit; done
	@[ -x /usr/sbin/pgbouncer ] || sh tools/apt.sh pgbouncer 'a test puts it before PostgreSQL'
	@for each in go:golang-go node:nodejs; do command -v $${each%:*} >/dev/null \
		|| sh tools/apt.sh $${each#*:} 'a peer of a test is written in it' || exit; done
	@[ -x /usr/sbin/nginx ] || sh tools/apt.sh nginx-light 'a test of examples/authority'
	@[ -x /usr/sbin/haproxy ] || sh tools/apt.sh haproxy 'a test of examples/authority'
	@command -v systemd-analyze >/dev/null || sh tools/apt.sh systemd 'it judges deploy/systemd'
	@command -v promtool >/dev/null || sh tools/apt.sh prometheus 'it tries the alert rules'
	@[ -x /usr/sbin/sshd ] || sh tools/apt.sh openssh-server 'a test fetches a source over ssh'
	@command -v chromium >/dev/null || sh tools/apt.sh chromium 'the pages are tested in it'
	@sh tools/axe.sh
	@# twice as many as CI has cores: tests wait for servers a quarter of their time
	@$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder \
		--junit-xml=build/junit.xml $(ARGS)

coverage: override ARGS += --cov --cov-report=term:skip-covered
coverage: test ## the same, with the branches that no test takes; half as long again

test-compose: setup ## compose/, brought up by a container engine and broken in turn
	@sh tests/compose/run.sh $(ARGS)

lint: setup ## style, types, layers, and generated files that are out of date
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@sh tools/schemas.sh --check
	@$(BIN)/python tools/docs.py --check

format: setup ## let ruff lay out and repair the code
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

bench: setup ## the benchmarks; ARGS="plans growth" runs some of them
	@$(BIN)/python -m benchmarks $(ARGS)

# what we are compared with has an environment of its own, for it shares some dependencies with us
bench-peers: setup ## our plans against those of octoDNS, and of terraform if it is on PATH
	@[ -d .peers ] || $(BIN)/python -m venv .peers
	@.peers/bin/python -m pip --disable-pip-version-check --quiet install --only-binary :all: --no-deps \
		--require-hashes --requirement benchmarks/peers.txt
	@$(BIN)/python -m benchmarks.peers

soak: setup ## minutes under attack: ARGS="hostile --minutes 10"
	@$(BIN)/python -m tests.soak $(ARGS)

schemas: setup ## write schemas/ again from the models
	@sh tools/schemas.sh

docs: setup ## write again what the code knows of README.md and docs/
	@$(BIN)/python tools/docs.py

pictures: setup ## take the README's pictures of the pages again
	@command -v chromium >/dev/null || sh tools/apt.sh chromium 'it takes the pictures'
	@$(BIN)/python tools/pictures.py

# not of the whole set-up: what is installed lacks what pyproject.toml asks for now
requirements: $(STAMPS)/installed ## pin again what pyproject.toml asks for; ARGS=--upgrade takes newer releases
	@sh tools/requirements.sh $(ARGS)

dist: setup ## a release in dist/: wheel, source, SBOM, pins, the same bytes each time
	@sh tools/dist.sh $(ARGS)

image: ## the image of this commit, from the images that compose/images.env pins
	@sh tools/image.sh $(ARGS)

# The steps of the set-up. What is pinned is complete, so nothing is resolved (--no-deps): a newer
# release that somebody asks for with an extra would have no hash.

$(STAMPS)/venv: tools/venv.sh
	@PYTHON="$(PYTHON)" sh tools/venv.sh
	@mkdir -p $(STAMPS) && touch $@

# Wheels only, so that nothing foreign runs while it is being installed; they are kept, so that
# the tests can install into an empty environment without a network.
$(WHEELS): $(STAMPS)/venv requirements-dev.txt
	@echo 'setup: download the pinned wheels into .wheels'
	@$(PIP) download --only-binary :all: --no-deps --require-hashes --dest .wheels \
		--requirement requirements-dev.txt
	@touch $@

$(STAMPS)/installed: $(WHEELS)
	@echo 'setup: install them into .venv'
	@$(PIP) --isolated install --no-index --no-deps --find-links .wheels --require-hashes \
		--requirement requirements-dev.txt
	@touch $@

$(STAMPS)/project: $(STAMPS)/installed pyproject.toml
	@echo 'setup: install this checkout into .venv'
	@$(PIP) --isolated install --no-index --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --isolated --disable-pip-version-check check
	@touch $@

ready: $(STAMPS)/project step-ca

# It has no stamp: it lies outside the checkout, and may be removed there.
step-ca: $(STAMPS)/venv
	@$(BIN)/python tools/step_ca.py
