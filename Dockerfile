# syntax=docker/dockerfile:1
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# gasclawd with all that a town needs: gt, bd and dolt in versions that belong together, Claude Code, tmux, git.
# docs/docker.md says how to build and run it, and which steps are tested. For linux/amd64 and linux/arm64.

ARG SWIFT_VERSION=6.3.1
ARG GO_VERSION=1.25.7
ARG NODE_VERSION=22

# gasclawd
FROM swift:${SWIFT_VERSION}-bookworm AS gasclawd
RUN apt-get update \
    && apt-get install -y --no-install-recommends libsystemd-dev=252.* libtomlplusplus-dev=3.3.* libpcre2-dev=10.42-* \
        make=4.3-* pkg-config=1.8.* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What is not in the context (.git) is told.
ARG COMMIT=""
RUN make release COMMIT="${COMMIT}" \
    && make install PREFIX=/usr DESTDIR=/out

# gt and bd
FROM golang:${GO_VERSION}-bookworm AS town
# gt refuses bd before 0.57.0 and dolt before 1.82.4.
ARG GT_VERSION=1.0.1
ARG BD_VERSION=1.0.3
ENV GOBIN=/out GOTOOLCHAIN=local
# gt does not run unless its build is marked as its own Makefile marks it.
RUN go install -trimpath -ldflags="-s -w -X github.com/steveyegge/gastown/internal/cmd.BuiltProperly=1" \
        "github.com/steveyegge/gastown/cmd/gt@v${GT_VERSION}" \
    && CGO_ENABLED=1 go install -trimpath -tags=gms_pure_go -ldflags="-s -w" \
        "github.com/steveyegge/beads/cmd/bd@v${BD_VERSION}"

# dolt: its release, for it needs a newer Go than gt
FROM debian:bookworm-slim AS dolt
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates=20* curl=7.88.* \
    && rm -rf /var/lib/apt/lists/*
ARG DOLT_VERSION=1.83.0
# The archive's SHA-256; where it is given, nothing else is taken.
ARG DOLT_SHA256=""
ARG TARGETARCH
RUN curl --proto '=https' --tlsv1.2 -fsSL -o /tmp/dolt.tar.gz \
        "https://github.com/dolthub/dolt/releases/download/v${DOLT_VERSION}/dolt-linux-${TARGETARCH}.tar.gz" \
    && { [ -z "${DOLT_SHA256}" ] || echo "${DOLT_SHA256}  /tmp/dolt.tar.gz" | sha256sum -c -; } \
    && mkdir /out \
    && tar -xzf /tmp/dolt.tar.gz -C /out --strip-components=2 "dolt-linux-${TARGETARCH}/bin/dolt"

# What runs: no compilers
FROM node:${NODE_VERSION}-bookworm-slim
ARG CLAUDE_CODE_VERSION=2.1.330
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates=20* curl=7.88.* git=1:2.39.* iproute2=6.1.* \
        less=590-* libpcre2-8-0=10.42-* libstdc++6=12.2.* libsystemd0=252.* openssh-client=1:9.2p1-* \
        procps=2:4.0.* tmux=3.3a-* \
    && rm -rf /var/lib/apt/lists/* \
    && npm install -g "@anthropic-ai/claude-code@${CLAUDE_CODE_VERSION}" \
    && npm cache clean --force
COPY --from=gasclawd /out /
COPY --from=town /out /usr/local/bin
COPY --from=dolt /out /usr/local/bin
# User 1000, so that volumes of a usual user are its own. The folders of volumes exist with their owner, for a new volume
# takes both over.
RUN userdel --remove node \
    && useradd --uid 1000 --key HOME_MODE=0700 --create-home --home-dir /home/gastown --shell /bin/bash gastown \
    && install -d -o gastown -g gastown -m 0700 /home/gastown/.kimi-accounts /home/gastown/.claude-kimigas \
        /var/lib/gasclawd /run/gasclawd \
    && install -d -o gastown -g gastown /workspace \
    && git config --system user.name "Gas Town" \
    && git config --system user.email gastown@localhost
# Where daemon and commands meet, also in `docker exec`.
ENV GASCLAWD_PATHS_STATE=/var/lib/gasclawd \
    GASCLAWD_PATHS_RUNTIME=/run/gasclawd \
    LANG=C.UTF-8
VOLUME ["/home/gastown", "/workspace", "/var/lib/gasclawd"]
WORKDIR /workspace
# gastown, by its number: who starts the image may ask for it.
USER 1000:1000
# gasclawd stops in order within 90 s; its first 60 s a town may take to come up.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["gasclawd", "status", "--check"]
ENTRYPOINT ["gasclawd"]
CMD ["run"]
