# The front door. meson and ninja build; this says the few things people do.
#
#	make            build everything; the programs are in build/bin/
#	make run        the demo world, live (ONCE=1: 100 requests, a report, an exit code)
#	make test       every test; the last line is "N passed, N failed, N skipped"
#	make deb        Debian packages, in build/deb
#	make install    below PREFIX (/usr/local) and DESTDIR
#	make bench      side by side with the peers
#	make fuzz       every fuzz target, FUZZ_SECONDS each (600)
#	make soak       mixed load and edits, SOAK_SECONDS (1800); memory must stay flat
#	                (SOAK_STEADY=1: no edits; everything copied, captured and recorded)
#	make coverage   which lines the tests reach: build-coverage/index.html
#	make compatibility   docs/compatibility.md anew from the tables
#	make shell-reference docs/shell.md: its commands anew from the shell's tables
#	make fmt        formats the lines that differ from the last commit
#	make clean      remove what was built

PYTHON = /usr/bin/python3
PROGRAMS = controller/spanwire-controller engine/spanwire-engine shell/spanwire
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
SOAK_STEADY ?=
PYTEST = $(PYTHON) -B -m pytest -q -c tests/e2e/pytest.ini

# Namespaces need root. As a user we ask for it, and only for what needs it.
SUDO = $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=ONCE,DEMO_BREAK,SPANWIRE_WORKERS)
export ONCE
export DEMO_BREAK
export PYTHONDONTWRITEBYTECODE = 1

DESTDIR ?=
PREFIX ?= /usr/local

.PHONY: all run test deb install bench fuzz soak coverage compatibility shell-reference fmt clean
.NOTPARALLEL:

all: deps-build
	@test -f build/build.ninja || meson setup build
	@ninja -C build
	@mkdir -p build/bin
	@for p in $(PROGRAMS); do ln -sf ../$$p build/bin/; done

deps-%:
	@tools/deps $(subst +, ,$*)

run: deps-build+run all
	@$(SUDO) $(PYTHON) -B -m lab.demo

test: deps-build+run+deb+test all
	@$(SUDO) $(PYTHON) -B tools/test-all

deb: deps-build+deb
	@tools/deb

install: deps-build+deb
	@test -f build-install/build.ninja || meson setup build-install >/dev/null
	@meson configure build-install --prefix $(abspath $(PREFIX))
	@DESTDIR=$(DESTDIR) meson install -C build-install

bench: deps-build+run+test+bench all
	@$(SUDO) $(PYTHON) -B bench/run

fuzz: deps-build+run+test
	@$(PYTHON) -B tests/fuzz/run --seconds $(FUZZ_SECONDS)

soak: deps-build+run+test all
	@$(SUDO) env SOAK_SECONDS=$(SOAK_SECONDS) SOAK_STEADY=$(SOAK_STEADY) $(PYTEST) tests/e2e/test_soak.py

coverage: deps-build+run+deb+test+coverage all
	@$(SUDO) $(PYTHON) -B tools/coverage

compatibility: all
	@$(PYTHON) tools/compatibility build/model/model-dump

shell-reference: all
	@$(PYTHON) tools/shell-reference build/shell/spanwire

# Tables are aligned by hand, so only what was changed is formatted.
fmt: deps-dev
	@git diff -U0 --no-color HEAD -- '*.c' '*.h' | clang-format-diff -p1 -i

clean:
	@rm -rf build build-*
