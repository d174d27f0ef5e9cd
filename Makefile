# Each target does its own set-up; nothing but make and Python 3.11 or newer has to be there.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CODE := core plugins examples tests tools $(wildcard benchmarks/*.py)

# What the tests start beside Python. `make test DEBIAN_PACKAGES=` skips this where they come from elsewhere.
DEBIAN_PACKAGES := redis-server ffmpeg chromium openssl $(if $(shell command -v npm),,npm)

# The demo's captions come from a checkpoint that knows the demo's sentences, where the transcription is installed.
CAPTIONS = $$(ls -d .venv/lib/python3*/site-packages/whisper >/dev/null 2>&1 && \
	  echo --language en --option model=tests/data/micro-whisper.pt.gz)

.PHONY: help install assets demo demo-captions prepare test test-long bench bench-speech check docs lock sbom \
  debian-packages clean

help:
	@echo "make demo       encode a lecture clip into demo/ and say where the result is"
	@echo "make demo-captions   the same with captions; installs PyTorch"
	@echo "make install    set up .venv for development"
	@echo "make assets     the player's controls and hls.js, from npm; without them it has the browser's own controls"
	@echo "make check      lint, format, types, security, known vulnerabilities"
	@echo "make docs       the documentation as a site in build/site, links checked"
	@echo "make lock       renew the locks of the images, examples/pod/lock-*.txt, by constraints.txt"
	@echo "make sbom       sbom.json, what an installation consists of, in CycloneDX"
	@echo "make prepare    what the tests need, Debian packages included"
	@echo "make test       the test suite; arguments for pytest in ARGS"
	@echo "make test-long  the tests that take hours"
	@echo "make bench      what an encode costs beside ffmpeg's command line; ARGS=--quick for a glance"
	@echo "make bench-speech   captions of real speech by six ways: errors and cost; ARGS='WEIGHTS RECORDING:LANGUAGE ...'"

install: .venv/dev.stamp .venv/lrs.stamp

assets: core/web/static/vendor/versions.json

# As setup.py does it for a wheel.
core/web/static/vendor/versions.json: $(wildcard core/web/assets/*.js*) core/web/assets/build.mjs
	cd core/web/assets && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent build

demo: .venv/encode,web.stamp
	AMPHIPOD_JOBS_ROOT=amphipod-jobs $(BIN)/amphipod run examples/demo/lecture.mp4 --out demo --page $(CAPTIONS)
	@echo
	@echo "The result is in demo/; open demo/watch.html in a browser to play it. The pages show it too, and take films of yours:"
	@echo "  AMPHIPOD_JOBS_ROOT=amphipod-jobs $(BIN)/amphipod serve"

demo-captions: .venv/encode,transcript,web.stamp demo
	@echo "Its captions were written by a checkpoint that knows only the demo's sentences. For a lecture of yours:"
	@echo "  $(BIN)/amphipod models pull small"
	@echo "  $(BIN)/amphipod run lecture.mp4 --language fr --option model=small"

# More processes than two cores: two thirds of the time the tests wait for clocks, not for the processor. A browser that
# decodes in software needs a core for itself, so its tests come last.
test: prepare
	$(BIN)/python -m pytest -m "not long" --numprocesses 5 --dist loadfile --no-loadscope-reorder $(or $(ARGS),--ignore tests/browser)
	$(if $(ARGS),,$(BIN)/python -m pytest -m "not long" --numprocesses 2 --dist loadfile tests/browser)

# npm comes with the Debian packages.
prepare: .venv/dev.stamp .venv/lrs.stamp debian-packages
	@$(MAKE) --no-print-directory assets tests/browser/node_modules/.package-lock.json

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# OpenAI's own weights hear what espeak-ng speaks, where it is installed; AMPHIPOD_TEST_WEIGHTS names base.pt, else pip
# fetches it.
test-long: DEBIAN_PACKAGES += firefox-esr
test-long: prepare
	$(BIN)/python -m pytest -m long --timeout 0 $(ARGS)

bench: .venv/dev.stamp debian-packages
	$(BIN)/python -m benchmarks.encode $(ARGS)

bench-speech: .venv/dev.stamp
	$(BIN)/python -m benchmarks.speech $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CODE)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive core plugins examples tools setup.py
	$(BIN)/python -m tools.audit

# Material for MkDocs gets fixes until May 2027 and says so at each build; its successor, Zensical, reads mkdocs.yml too.
docs: .venv/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build $(ARGS)
	@echo "The site is in build/site; open build/site/index.html"

# With a hash for each file, so that an image gets what we had and nothing else. torch is left out: its builds for
# processors and for graphics cards are different files of one version, and a site chooses.
lock: .venv/lock/bin/uv
	for name in encode transcript,ct2 xapi; do \
	  grep -vE '^(torch|triton)==' constraints.txt | .venv/lock/bin/uv pip compile setup.cfg --quiet --universal \
	    --python-version 3.11 --generate-hashes --no-annotate --no-header $$(printf -- '--extra %s ' $$(echo $$name | tr , ' ')) --extra pod --constraint - \
	    --override examples/pod/overrides.txt --no-emit-package torch --no-emit-package triton \
	    --output-file examples/pod/lock-$${name%,*}.txt || exit 1; \
	done

.venv/lock/bin/uv: .venv/python.stamp
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip --quiet --disable-pip-version-check install uv

# Of what runs, without what develops it.
sbom: .venv/dev.stamp
	rm -rf build/sbom
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt '.[all]'
	$(BIN)/cyclonedx-py environment --output-reproducible --of JSON --output-file sbom.json build/sbom/bin/python
	@echo "sbom.json lists what 'amphipod[all]' installs"

# Ralph's record store, for the tests, wants older libraries than we serve with.
.venv/lrs.stamp: .venv/python.stamp tests/lrs-constraints.txt
	$(PYTHON) -m venv .venv/lrs
	.venv/lrs/bin/python -m pip --quiet --disable-pip-version-check install --constraint tests/lrs-constraints.txt \
	  'ralph-malph[cli,lrs]' requests
	@touch $@

clean:
	rm -rf .venv build sbom.json demo amphipod-jobs core/web/static/vendor core/web/assets/node_modules

# The demo needs the extras `encode` and `web` alone; the tests and the linters need `dev`, which contains it.
.venv/encode,web.stamp .venv/encode,transcript,web.stamp .venv/dev.stamp: .venv/%.stamp: .venv/python.stamp setup.cfg pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[$*]'
	@touch $@

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Amphipod needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
	  { echo "This Python can't make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

debian-packages:
	@missing=; for name in $(DEBIAN_PACKAGES); do \
	  dpkg-query --show --showformat '$${db:Status-Abbrev}' $$name 2>/dev/null | grep -q '^ii' || missing="$$missing $$name"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "The tests need these Debian packages:$$missing"; \
	  echo "Install them (sudo apt-get install$$missing), or their like, and then run: make test DEBIAN_PACKAGES="; \
	  exit 1; \
	fi; \
	apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive \
	  apt-get install --quiet=2 --yes --no-install-recommends $$missing
