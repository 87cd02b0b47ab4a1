# SPDX-License-Identifier: GPL-2.0-or-later
# Every target does what it needs first; each step is skipped when its result is there and valid.
#
#   KREL=   another kernel release of the mirror   KDIR=   a kernel tree of your own
#   LAYOUT_HEADERS=   more headers whose structs go into the layout table
#   STUBS=   how many hooks and callbacks can be there at once (512)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The Python that GDB embeds; the one that comes first on PATH may be another.
PYTHON := /usr/bin/python3
VENV := .venv/bin/python
KREL ?=
KDIR ?=
STUBS ?=

TOP := $(CURDIR)
c-files = $(shell git ls-files 'kmod/*.[ch]' 'micropython/*.[ch]' ':!kmod/debug/fields*.h' \
	'struct_layout/plugin/*.cc' 'struct_layout/plugin/*.h')

# The release is known once `kernel` has run: the rest of the build is a second make.
second = $(MAKE) -f Makefile $(1) release="$$(cat build/release)"
out = build/$(release)
kernel-field = $$($(PYTHON) -c 'import json; print(json.load(open("$(out)/kernel.json"))["$(1)"])')

.PHONY: all help packages kernel micropython venv module demo test test-upstream soak soak-eval storm lint bench repl clean

all: module ## Build everything: plugin, layout table, kpy.ko

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

packages: ## Install the Debian packages that are missing
	@$(PYTHON) -m guest.setup packages

kernel: packages ## Get kernel, headers and DWARF (KREL=, KDIR= choose another)
	@$(PYTHON) -m guest.setup kernel $(if $(KREL),--krel '$(KREL)') $(if $(KDIR),--kdir '$(KDIR)')

micropython: packages ## Get MicroPython's source package
	@$(PYTHON) micropython/upstream.py

venv: packages ## Make .venv with the Python packages of pyproject.toml
	@$(PYTHON) -m guest.venv

module: kernel micropython venv ## Build build/<release>/kpy.ko
	@$(call second,.module)

.PHONY: .module
.module:
	@$(VENV) -m struct_layout plugin --kdir "$(call kernel-field,kdir)" \
		-o $(out)/plugin/kpy_layout.so
	@$(VENV) -m struct_layout build --kdir "$(call kernel-field,kdir)" \
		--plugin $(out)/plugin/kpy_layout.so -o $(out)/layout.table \
		$(if $(LAYOUT_HEADERS),--headers $(LAYOUT_HEADERS))
	@$(MAKE) -j$$(nproc) -f kmod/module.mk KPY=$(TOP) KPY_BUILD=$(TOP)/$(out) \
		KPY_UPSTREAM=$$(readlink -f build/micropython) KDIR="$(call kernel-field,kdir)" \
		KPY_STUBS=$(STUBS)

demo: module ## Show what kpy is: boot, load, run Python, attach GDB
	@$(PYTHON) -m guest.demo

repl: module ## Open the REPL of the guest (started when none runs)
	@$(PYTHON) -m guest repl

test: module ## Run all tests
	@$(VENV) -m pytest

test-upstream: module ## Run MicroPython's own test suite in a guest
	@$(VENV) tests/upstream

soak: module ## Everything at once for SECONDS=600, then 200 loads
	@$(VENV) tests/soak/load.py --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(SOAK)

soak-eval: module ## Evaluations in GDB at STOPS=5000 random stops under load
	@$(VENV) tests/soak/evaluate.py --stops $(or $(STOPS),5000) $(if $(SEED),--seed $(SEED)) $(SOAK)

storm: module ## Hooks in a storm for SECONDS=600
	@$(VENV) tests/soak/storm.py --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(SOAK)

lint: venv ## Check format, style and types
	@$(VENV) -m ruff format --check .
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy
	@clang-format-14 --dry-run --Werror $(c-files)

bench: module ## Measure, and print a table
	@$(VENV) -m bench

clean: ## Remove build/ and .venv (downloads stay in the cache)
	@rm -rf build .venv
