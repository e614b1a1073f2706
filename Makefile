# `make` lists the targets. A user needs `make run` and `make test`; everything that is built lies in build/.
# PYTHON: the interpreter that pyrunc is built for and run by (default: the distribution's, if it is 3.11 or newer).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
# What PREFIX/bin/pyrunc is: native (linked to the interpreter's library), script, or auto, the first that can be.
LAUNCHER ?= auto
BUNDLE ?= hello
ROUNDS ?= 50
FUZZ_SECONDS ?= 600
# How many faults `make faults` tries of each kind of container, and how many mutants `make mutants` of each module; which
# (the same for the same SEED).
SAMPLE ?= 40
SEED ?= 1
# What `make soak` does over and over, and how often (storm: for how many seconds).
SOAK ?= joins=1000 storm=600 cycles=10000 execs=10000
# What `make conformance` and `make bench` compare with; the ones that are not installed are left out.
PEERS ?= crun runc

PACKAGING := runtime/packaging
export PYTHON
# Deferred: on a new machine there may be no fit Python before $(SYSTEM) has run.
python = $(shell $(PACKAGING)/find-python)
VENV := build/venv
PIP := $(VENV)/bin/pip --quiet --disable-pip-version-check --no-input
site = $(wildcard $(VENV)/lib/python3.*/site-packages)

# Stamps: a file for each step that has none of its own.
SYSTEM := build/stamps/system
DEPENDENCIES := build/stamps/dependencies
TOOLS := build/stamps/tools
NATIVE := runtime/pyrunc/_native.abi3.so
PROGRAM := build/bin/pyrunc
# What `make bench`, `make faults` and `make soak` look at is what a user gets, in a place that needs no root to write.
INSTALLED := build/installed
DOCS := build/stamps/docs

LOCKS := $(PACKAGING)/requirements-build.txt $(PACKAGING)/requirements-runtime.txt
NATIVE_SOURCES := $(wildcard runtime/native/*) $(wildcard oci-schemas/*.json)
DOC_SOURCES := $(wildcard docs/man/*) $(PACKAGING)/manual.py $(PACKAGING)/roff.py $(PACKAGING)/completions.py \
    runtime/pyrunc/cli.py runtime/pyrunc/arguments.py $(wildcard runtime/pyrunc/commands/*.py)

run_tests = $(VENV)/bin/python -m pytest
peers = $(foreach peer,$(PEERS),$(if $(shell command -v $(peer)),--runtime $(peer)))

.PHONY: help
help: ## list the targets
	@printf 'usage: make TARGET [VARIABLE=VALUE...]\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: run
run: build ## run the example container (BUNDLE=NAME: another of bundles/), as root or as an ordinary user
	@bundles/run $(BUNDLE)

.PHONY: test
test: check ## lint, type check and all tests of this machine (the system tests as root only)
	@$(run_tests)

.PHONY: test-unit
test-unit: tools build ## the tests that need no privilege, in seconds
	@$(run_tests) tests/unit

.PHONY: test-system
test-system: tools build ## the tests that make containers, as root
	@$(run_tests) --ignore=tests/unit

.PHONY: check
check: tools build ## ruff, mypy --strict, shellcheck, and how what we compile is hardened
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/mypy
	@shellcheck $$(grep -rlE '^#!(/bin/sh|/bin/bash)' $(PACKAGING) .ci bundles conformance tests/fuzz)
	@$(run_tests) --quiet tests/unit/test_hardening.py

.PHONY: faults
faults: tools build docs ## let system calls of commands fail, a SAMPLE=40 of each kind or SAMPLE=all (days), as root
	@$(PACKAGING)/system-packages busybox-static dbus iproute2 systemd uidmap
	@$(python) $(PACKAGING)/install.py --prefix=$(CURDIR)/$(INSTALLED) --sysconfdir=$(CURDIR)/$(INSTALLED)/etc \
	    --python=$(python) > /dev/null
	@RUNTIME=$(CURDIR)/$(INSTALLED)/bin/pyrunc $(VENV)/bin/python -m tests.faults --sample $(SAMPLE) --seed $(SEED)

.PHONY: soak
soak: tools build docs ## the same commands ten thousand times (SOAK=...): nothing may be left or grow, as root
	@$(python) $(PACKAGING)/install.py --prefix=$(CURDIR)/$(INSTALLED) --sysconfdir=$(CURDIR)/$(INSTALLED)/etc \
	    --python=$(python) > /dev/null
	@RUNTIME=$(CURDIR)/$(INSTALLED)/bin/pyrunc nice $(VENV)/bin/python -m tests.soak $(SOAK)

.PHONY: mutants
mutants: tools build ## change one thing in modules without side effects, a SAMPLE=40 of each or SAMPLE=all: do tests notice?
	@$(VENV)/bin/python -m tests.mutants --sample $(SAMPLE) --seed $(SEED)

.PHONY: fuzz
fuzz: tools build ## fuzz the parsers, and pyrunc-init's reader of steps (FUZZ_SECONDS=600 each)
	@tests/fuzz/parsers $(FUZZ_SECONDS)
	@tests/fuzz/init $(FUZZ_SECONDS)

.PHONY: test-vm
test-vm: build ## podman's checks with an installed pyrunc in a virtual machine, its root and an ordinary user (as root)
	@conformance/test-vm --plan daily --keep
	@conformance/vm/vm run --timeout 900 conformance/vm/cgroup-cycles
	@conformance/vm/vm run --timeout 900 -- python3 -B -m conformance broken_hosts
	@conformance/vm/vm run --timeout 900 -- python3 -B -m conformance rootless --user tester
	@conformance/vm/vm down

.PHONY: podman-results
podman-results: build ## the same with crun and pyrunc, each user and cgroup manager, in conformance/podman/RESULTS.md
	@conformance/test-vm --plan table --resume build/podman-results.json --markdown conformance/podman/RESULTS.md

.PHONY: test-engines
test-engines: build ## docker's and containerd's checks with an installed pyrunc in a virtual machine, as root
	@conformance/test-vm containerd --plan engines --keep
	@conformance/test-vm docker --plan engines --no-install

.PHONY: test-lsm
test-lsm: build ## labels with AppArmor and with SELinux in force, with pyrunc and its peers in a virtual machine, as root
	@conformance/test-lsm

.PHONY: conformance
conformance: build ## opencontainers' validation programs with pyrunc and PEERS, as root
	@$(PACKAGING)/system-packages busybox-static
	@$(python) -m conformance.runtime_tools --strict --runtime $(PROGRAM) $(peers)

.PHONY: report
report: build ## all conformance checks in the virtual machine with pyrunc, crun and runc, in build/report.md, as root
	@$(PACKAGING)/system-packages busybox-static
	@$(python) -m conformance.report

.PHONY: bench
bench: build docs ## time and memory of each command beside PEERS (ROUNDS=50), as root
	@$(PACKAGING)/system-packages busybox-static
	@$(python) $(PACKAGING)/install.py --prefix=$(CURDIR)/$(INSTALLED) --sysconfdir=$(CURDIR)/$(INSTALLED)/etc \
	    --python=$(python) > /dev/null
	@$(python) -m conformance.bench --rounds $(ROUNDS) --runtime $(INSTALLED)/bin/pyrunc $(peers)

.PHONY: build
build: $(PROGRAM) ## everything that `build/bin/pyrunc` needs

.PHONY: docs
docs: $(DOCS) ## man pages and shell completions, in build/

.PHONY: install
install: build docs ## install below PREFIX=/usr/local (packagers: DESTDIR=, VENDOR=1, LAUNCHER=), and register with podman
	@$(python) $(PACKAGING)/install.py --prefix=$(PREFIX) --sysconfdir=$(SYSCONFDIR) --destdir=$(DESTDIR) \
		$(if $(VENDOR),--vendor) --launcher=$(LAUNCHER) --python=$(python)

.PHONY: uninstall
uninstall: ## remove what `make install` with the same PREFIX (and VENDOR) has put
	@$(python) $(PACKAGING)/install.py --prefix=$(PREFIX) --sysconfdir=$(SYSCONFDIR) --destdir=$(DESTDIR) \
		$(if $(VENDOR),--vendor) --remove

.PHONY: clean
clean: ## remove all that was built
	rm -rf build $(NATIVE) runtime/pyrunc/pyrunc-init runtime/pyrunc/oci-schemas runtime/pyrunc.egg-info
	find runtime tests conformance -name __pycache__ -prune -exec rm -rf {} +

.PHONY: tools
tools: $(TOOLS)

$(SYSTEM): $(PACKAGING)/system-packages $(PACKAGING)/find-python
	@$(PACKAGING)/system-packages
	@mkdir -p $(@D) && touch $@

# Only files whose hashes are known are downloaded, also what builds python-prctl, which has no wheels.
# Wheels first: `make install` takes the same ones, and then needs no network.
$(DEPENDENCIES): $(SYSTEM) pyproject.toml $(PACKAGING)/requirements.py $(LOCKS)
	@echo "making a virtual environment with what pyrunc needs, in $(VENV)"
	@[ -x $(VENV)/bin/python ] && \
	    cmp -s <($(VENV)/bin/python -ISc 'import sys; print(sys.version_info[:2])') \
	           <($(python) -ISc 'import sys; print(sys.version_info[:2])') || \
	    $(python) -m venv --clear $(VENV)
	@rm -rf build/wheels
	@$(PIP) install --require-hashes --requirement $(PACKAGING)/requirements-build.txt
	@$(PIP) wheel --require-hashes --use-pep517 --no-build-isolation --wheel-dir build/wheels \
	    --requirement $(PACKAGING)/requirements-runtime.txt
	@$(VENV)/bin/python $(PACKAGING)/requirements.py runtime > build/requirements
	@$(PIP) install --no-index --find-links build/wheels --upgrade --upgrade-strategy eager \
	    --requirement build/requirements
	@mkdir -p $(@D) && touch $@

$(TOOLS): $(DEPENDENCIES) $(PACKAGING)/requirements-test.txt
	@$(PACKAGING)/system-packages busybox-static shellcheck strace
	@$(PIP) install --require-hashes --requirement $(PACKAGING)/requirements-test.txt
	@touch $@

$(NATIVE): $(DEPENDENCIES) $(NATIVE_SOURCES)
	@$(VENV)/bin/python runtime/native/backend.py > /dev/null

$(PROGRAM): $(NATIVE) $(PACKAGING)/launcher.py
	@$(VENV)/bin/python $(PACKAGING)/launcher.py $@ $(python) runtime $(site)

$(DOCS): $(NATIVE) $(DOC_SOURCES)
	@$(VENV)/bin/python $(PACKAGING)/manual.py build/man
	@$(VENV)/bin/python $(PACKAGING)/completions.py build/completions
	@touch $@
