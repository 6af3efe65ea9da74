# roomd: `make run` from a fresh clone needs Python 3.11 or newer and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JS := clients/js
GENERATORS := tests/generators
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

# The modules without I/O, clock or randomness: their branch coverage must be 100 %.
PURE_FILES := roomd/protocol/*,roomd/rooms/*,roomd/auth/tokens.py,roomd/limits/*,roomd/counters.py,roomd/ice.py,roomd/config/*

LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

.DEFAULT_GOAL := help
.PHONY: help install run run-postgres run-cluster test bytecode coverage browsers systemd deb screenshots nightly blips attack chaos cluster-faults readers week restarts lint types fmt docs lock bench bench-cluster bench-pair peers clean node system

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'PYTHON=python3.12 chooses the interpreter, VENV=folder the environment, ARGS="…" goes to run, test and bench.'

# The service cannot write bytecode, so without this each of its starts would compile every module of roomd.
install: $(VENV)/.installed ## Install what is needed into .venv
	@$(BIN)/python -m compileall -q roomd

run-postgres: $(VENV)/.installed-dev ## Run PostgreSQL on a socket under var/postgresql/, and the daemon on it
	@[ -n "$$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || { eval "$$APT"; apt_install postgresql; }
	@exec $(BIN)/python -m tests.support.postgresql var/postgresql $(BIN)/roomd serve --demo $(ARGS)

run-cluster: $(VENV)/.installed-dev ## Run PostgreSQL, NATS, and three nodes on the ports 8765 to 8767
	@[ -n "$$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || { eval "$$APT"; apt_install postgresql; }
	@PATH="$$PATH:/usr/sbin" command -v nats-server >/dev/null || { eval "$$APT"; apt_install nats-server; }
	@exec $(BIN)/python -m tests.support.cluster var/cluster

run: install ## Install what is needed, run the daemon with a demo room and its database under var/
	@exec $(BIN)/roomd serve --demo $(ARGS)

# The tests start more than 200 processes. Without stored bytecode each of them would compile every module again.
test: export PYTHONDONTWRITEBYTECODE :=
test: system $(VENV)/.installed-dev $(JS)/node_modules/.installed ## Run all checks and tests, and print the coverage of the pure modules
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint bytecode
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses 5 --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	@echo 'Branch coverage of the pure modules:'
	$(BIN)/coverage report --include=$(PURE_FILES) --fail-under=100

# Five workers that collect the tests at the same time would each compile every module of them.
bytecode:
	@$(BIN)/python -m pytest --collect-only --quiet --quiet > /dev/null

# Tracing every test and the daemons in them takes half as long again.
coverage: export TEST_ROOMD_NIGHTLY := 1
coverage: system $(VENV)/.installed-dev $(GENERATORS)/node_modules/.installed .venv-generators/.installed ## Run all tests, the long ones of the measurements too, and print the coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses 4 --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95

screenshots: system $(VENV)/.installed-dev ## Write pictures of the meeting page to screenshots/
	TEST_ROOMD_SCREENSHOTS=1 $(BIN)/python -m pytest tests/page/test_looks.py $(ARGS)

browsers: system $(VENV)/.installed-dev ## Run every test of the meeting page in Chromium and in Firefox
	TEST_ROOMD_BROWSERS=all $(BIN)/python -m pytest --numprocesses 2 tests/page $(ARGS)

systemd: system $(VENV)/.installed-dev ## Run every test of the service under a real systemd, as root, and print outages
	@PATH="$$PATH:/usr/sbin" command -v debootstrap >/dev/null || { eval "$$APT"; apt_install debootstrap; } \
	|| echo 'Tests on a fresh Debian are skipped: sudo apt-get install debootstrap'
	TEST_ROOMD_SYSTEMD=all $(BIN)/python -m pytest -raP tests/systemd $(ARGS)

nightly: $(VENV)/.installed-dev ## Run the long state machine and the long comparison with RFC 6455: 100,000 steps, 100,000 clients
	ROOM_MACHINE_STEPS=100000 $(BIN)/python -m pytest tests/rooms/test_room_machine.py $(ARGS)
	TEST_ROOMD_FUZZ=100000 $(BIN)/python -m pytest --numprocesses 4 --dist worksteal \
		tests/gateway/test_conformance.py tests/gateway/test_http_fuzz.py $(ARGS)
	$(MAKE) coverage
	TEST_ROOMD_STORE=postgresql TEST_ROOMD_NIGHTLY=1 \
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal tests/journeys $(ARGS)
	$(MAKE) browsers
	$(MAKE) attack ARGS=
	$(MAKE) chaos ARGS=
	$(MAKE) cluster-faults ARGS=
	$(MAKE) readers ARGS=
	$(MAKE) restarts ARGS=
	$(MAKE) week ARGS=
	$(MAKE) systemd ARGS=

blips: node $(VENV)/.installed-dev ## Try clients of each kind for two minutes on a network that fails
	$(BIN)/python -m tests.support.blips $(ARGS)

attack: $(VENV)/.installed-dev ## Attack a daemon in many ways for five minutes, beside ordinary clients who must not notice
	$(BIN)/python -m tests.support.attacks $(ARGS)

chaos: $(VENV)/.installed-dev ## Do to a daemon for five minutes what machines and peers do: kill it, fill its disk, lock its database
	$(BIN)/python -m tests.support.chaos $(ARGS)

cluster-faults: $(VENV)/.installed-dev ## Do to a cluster what machines and networks do, a minute each: kill, freeze, cut off, promote, stop
	$(BIN)/python -m tests.support.cluster.faults $(ARGS)

readers: $(VENV)/.installed-dev ## Compare what readers of the event log keep with the database, while the daemon and the readers are killed
	$(BIN)/python -m tests.support.readers $(ARGS)

week: $(VENV)/.installed-dev ## Let guests join and leave a million times, and look at memory and the database
	$(BIN)/python -m tests.support.endurance.week $(ARGS)

restarts: $(VENV)/.installed-dev ## Restart a daemon five times under 1,000 clients in 50 full rooms
	$(BIN)/python -m tests.support.endurance.restarts $(ARGS)

lint: $(VENV)/.installed-dev $(JS)/node_modules/.installed ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@[ ! -e $(JS)/node_modules/.installed ] || for project in $(JS) tests/page; do \
		(set -x; $(JS)/node_modules/.bin/tsc --project $$project) || exit; \
	done

types: $(VENV)/.installed-dev $(JS)/node_modules/.installed ## Write the types of the JavaScript client anew
	$(BIN)/python $(JS)/generate_types.py
	rm -rf $(JS)/types
	$(JS)/node_modules/.bin/tsc --project $(JS)/tsconfig.types.json

fmt: $(VENV)/.installed-dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

deb: $(VENV)/.installed ## Build a Debian package in dist/, for the Debian of this machine
	$(BIN)/python -m debian.build $(ARGS)

docs: $(VENV)/.installed-dev ## Write the generated parts of docs/reference
	$(BIN)/python -m docs.generate

bench: $(VENV)/.installed-bench ## Measure beside ceilings and peers
	$(BIN)/python -m bench.peers.install
	$(BIN)/python -m bench $(ARGS)

bench-cluster: $(VENV)/.installed-dev ## Measure several nodes beside one, and PostgreSQL beside SQLite
	$(BIN)/python -m bench.cluster $(ARGS)

bench-pair: $(VENV)/.installed-dev ## Measure beside another checkout: make bench-pair BEFORE=folder
	@[ -n '$(BEFORE)' ] || { echo 'make bench-pair BEFORE=folder: the checkout to compare with, after `make install` there'; exit 1; }
	$(BIN)/python -m bench.pair --before '$(BEFORE)' $(ARGS)

peers: $(VENV)/.installed-bench ## Test the peers of the measurements
	$(BIN)/python -m bench.peers.install
	BENCH_PEERS=1 $(BIN)/python -m pytest tests/bench/test_peers.py $(ARGS)

# Keeps the versions there are; `make lock ARGS=--upgrade` brings newer ones.
lock: $(VENV)/.installed-dev ## Write requirements*.txt and the client's package-lock.json anew
	$(LOCK) $(ARGS) --build-deps-for editable --output-file requirements.txt pyproject.toml
	$(BIN)/python -c "$$GROUP" dev \
	| $(LOCK) $(ARGS) --constraint requirements.txt --output-file requirements-dev.txt -
	$(BIN)/python -c "$$GROUP" bench \
	| $(LOCK) $(ARGS) --constraint requirements.txt --constraint requirements-dev.txt --output-file requirements-bench.txt -
	echo 'openapi-python-client>=0.29,<0.30' | $(LOCK) $(ARGS) --output-file requirements-generators.txt -
	@! command -v npm >/dev/null || for folder in $(JS) $(GENERATORS); do \
		(set -x; cd $$folder && npm $(if $(filter --upgrade,$(ARGS)),update,install) --package-lock-only) || exit; \
	done

define GROUP
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["dependency-groups"][sys.argv[1]], sep="\n")
endef
export GROUP

clean: ## Remove the environment and every cache; the database under var/ stays
	rm -rf $(VENV) $(JS)/node_modules bench/peers/node_modules screenshots build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A shell function that installs Debian packages, as root or by `sudo -n`, and fails where neither is possible.
define APT
if [ "$$(id -u)" = 0 ]; then sudo=; else sudo='sudo -n'; fi
apt_install() {
	command -v apt-get >/dev/null && $$sudo true 2>/dev/null || return 1
	install="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $$*"
	echo "Installing $$*"
	$$install || { $$sudo apt-get update && $$install; }
}
endef
export APT

# Debian has the modules that create environments in a separate package.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo 'roomd needs Python 3.11 or newer: make PYTHON=python3.12 …'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		package=python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv; \
		eval "$$APT"; apt_install $$package \
		|| { echo "python -m venv needs it, so install it first: sudo apt-get install $$package"; exit 1; }; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The build backend is locked too, so installing the project itself downloads nothing.
$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/.created
	$(PIP) install --require-hashes --requirement requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

# Node 18 or newer checks and tests the JavaScript client and the page. Without it a line says so, and the tests are skipped.
node:
	@packages=; \
	node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null || packages=nodejs; \
	command -v npm >/dev/null || packages="$$packages npm"; \
	[ -z "$$packages" ] || { eval "$$APT"; apt_install $$packages; } \
	|| echo "JavaScript is not checked, its tests are skipped: they need Node 18 or newer and npm (Debian: $$packages)"

# Two browsers for the page, a TURN server with its client, two proxies, promtool, a systemd that tests boot in namespaces of its own, a
# clock that they set for one process, and PostgreSQL; tests/support skips the tests of what is missing, and fails without PostgreSQL.
# Debian's coturn, haproxy, nginx, postgresql and prometheus would run as open services: their units are masked while they are installed and disabled afterwards.
system: node
	@packages=; \
	command -v chromium >/dev/null || packages=chromium; \
	command -v firefox-esr >/dev/null || packages="$$packages firefox-esr"; \
	command -v turnserver >/dev/null || packages="$$packages coturn"; \
	PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || packages="$$packages nginx"; \
	PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || packages="$$packages haproxy"; \
	command -v promtool >/dev/null || packages="$$packages prometheus"; \
	[ -x /lib/systemd/systemd ] || packages="$$packages systemd"; \
	PATH="$$PATH:/usr/sbin:/sbin" command -v ip >/dev/null || packages="$$packages iproute2"; \
	[ -e "$$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)" ] || packages="$$packages libfaketime"; \
	[ -e "$$(echo /usr/lib/postgresql/*/bin/postgres)" ] || packages="$$packages postgresql"; \
	PATH="$$PATH:/usr/sbin" command -v nats-server >/dev/null || packages="$$packages nats-server"; \
	[ -n "$$packages" ] || exit 0; \
	eval "$$APT"; \
	unit() { for one in coturn haproxy nats-server nginx postgresql prometheus; do \
		case $$packages in *$$one*) [ ! -d /run/systemd/system ] || $$sudo systemctl --quiet $$1 $$one; esac; \
	done; }; \
	unit mask 2>/dev/null; \
	apt_install $$packages \
	|| echo "Tests are skipped that need: $$packages. Install by: sudo apt-get install $$packages"; \
	{ unit unmask; unit disable; } 2>/dev/null || true

$(JS)/node_modules/.installed $(GENERATORS)/node_modules/.installed: %/node_modules/.installed: %/package-lock.json | node
	@! command -v npm >/dev/null || { cd $* && npm ci --ignore-scripts; }
	@[ ! -d $(@D) ] || touch $@

.venv-generators/.installed: requirements-generators.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed-dev
	$(PIP) install --require-hashes --requirement requirements-bench.txt
	@touch $@
