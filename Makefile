# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

SWIFT ?= swift
DEBUG = .build/debug

.PHONY: help deps build demo test lab bench format lint clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

deps: ## installs what the build and the tests need from Debian
	@scripts/deps.sh

build: deps ## the programs, with warnings as errors
	$(SWIFT) build

demo: build ## a miniature town whose keys run out before your eyes (DEMO_SECONDS=N ends it by itself)
	@$(DEBUG)/townsim demo --gasclawd $(DEBUG)/gasclawd

test: deps ## all tests
	$(SWIFT) test

lab: build ## what needs a real systemd, in a machine of namespaces; as root, and skipped where that cannot be
	@scripts/deps.sh --lab
	@Tests/Systemd/run $(DEBUG) || [ $$? -eq 77 ]

bench: deps ## measures the budgets with the release build
	$(SWIFT) build -c release
	Benchmarks/run

format: ## brings the sources into the project's format
	$(SWIFT) format --in-place --recursive Sources Tests Benchmarks/Sources

lint: ## says where the sources are not in the project's format
	$(SWIFT) format lint --recursive Sources Tests Benchmarks/Sources

clean: ## removes what was built
	rm -rf .build
