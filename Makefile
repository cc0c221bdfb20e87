# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

SWIFT ?= swift
DEBUG = .build/debug
# A folder of its own: the release is linked in another way than what the tests use.
RELEASE = .build-release/release
PREFIX ?= /usr/local
DESTDIR ?=
export PREFIX DESTDIR
# The commit goes into the program; + says that files differ from it.
COMMIT = $(shell git describe --always --abbrev=40 --dirty=+ --exclude='*' 2>/dev/null)
# Swift's libraries are linked in, so that nothing but Debian's own is needed, and nothing looks symbols up in us. The names of folders are left out: the
# same sources give the same program wherever they lie. What else is built as a release is built with the same flags, so that nothing is built twice.
RELEASE_FLAGS = -c release --scratch-path .build-release --static-swift-stdlib --disable-local-rpath \
	-Xswiftc -file-prefix-map -Xswiftc $(CURDIR)=. -Xcc -ffile-prefix-map=$(CURDIR)=. \
	-Xcxx -ffile-prefix-map=$(CURDIR)=. -Xlinker --build-id=sha1 -Xlinker --no-export-dynamic

.PHONY: help deps build demo test simulate lab bench release install uninstall deb package-lab container-lab docs format lint clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 15

deps: ## installs what the build and the tests need from Debian
	@scripts/deps.sh

build: deps ## the programs, with warnings as errors
	$(SWIFT) build

demo: build ## a miniature town whose keys run out before your eyes (DEMO_SECONDS=N ends it by itself)
	@$(DEBUG)/townsim demo --gasclawd $(DEBUG)/gasclawd

test: deps ## all tests
	@SWIFT="$(SWIFT)" scripts/test

simulate: deps ## 10,000 histories of the deciding core (HISTORIES=N, STEPS=N, FROM=SEED; SEED=N runs one again)
	GASCLAWD_COMMIT=$(COMMIT) $(SWIFT) build $(RELEASE_FLAGS) --product simulate
	.build-release/release/simulate $(or $(HISTORIES),10000) $(or $(STEPS),1000) $(if $(FROM),from $(FROM),$(SEED))

lab: build ## what needs a real systemd, in a machine of namespaces; as root, and skipped where that cannot be
	@scripts/deps.sh --lab
	@Tests/Systemd/run $(DEBUG) || [ $$? -eq 77 ]

docs: build ## runs the commands of README and docs in a miniature town, follows links, builds the comments
	@scripts/deps.sh --docs
	@Tests/Docs/run $(DEBUG)
	@Tests/Dependencies/run $(DEBUG)/gasclawd Package.resolved
	@Tests/Docs/comments || [ $$? -eq 77 ]

bench: release ## measures the budgets and other watchers with the program as it is shipped, into docs/performance.md
	@scripts/deps.sh --bench
	GASCLAWD_COMMIT=$(COMMIT) $(SWIFT) build $(RELEASE_FLAGS) --product Benchmarks
	Benchmarks/run
	Benchmarks/run hook
	Benchmarks/run watchers

release: ## the program as it is shipped, in .build-release
	@scripts/deps.sh --build
	GASCLAWD_COMMIT=$(COMMIT) $(SWIFT) build $(RELEASE_FLAGS) --product gasclawd

install: ## installs what `make release` built: PREFIX=/usr/local, DESTDIR= for packages
	@scripts/install files $(RELEASE)

uninstall: ## removes what `make install` installed, with the same PREFIX; configuration and keys stay
	@scripts/install remove

deb: release ## the Debian package, in .build-release
	@scripts/deb $(RELEASE) .build-release

package-lab: build deb ## installs, upgrades and purges the package in a Debian of its own; as root
	@scripts/deps.sh --package
	@Tests/Package/run .build-release $(DEBUG) || [ $$? -eq 77 ]

container-lab: build release ## runs the Dockerfile's last stage without a container engine; as root
	@scripts/deps.sh --package
	@Tests/Container/run .build-release $(DEBUG) || [ $$? -eq 77 ]

format: ## brings the sources into the project's format
	$(SWIFT) format --in-place --recursive Sources Tests Benchmarks/Sources

lint: ## says where the sources are not in the project's format
	$(SWIFT) format lint --recursive Sources Tests Benchmarks/Sources

clean: ## removes what was built
	rm -rf .build .build-release
