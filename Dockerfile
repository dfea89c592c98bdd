# syntax=docker/dockerfile:1
#
#   docker build -t corpex .
#   docker run --read-only --tmpfs /tmp --stop-timeout 40 -v corpex-data:/data -p 127.0.0.1:8080:8080 corpex
#
# The container writes to /data only. With DATABASE_URL and CORPEX_S3_BUCKET set it keeps its keys and
# rebuildable indexes there; give every instance the same keys through CORPEX_KEYS_DIR.

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies on their own: this layer stands until Cargo.toml, Cargo.lock or the way to build change.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY scripts/release scripts/
# (Tests and benches that Cargo.toml names may be absent here as long as it gives their `path`.)
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && scripts/release program \
    && rm -r src

COPY . .
# Cargo goes by modification times, and those of the sources may be older than the stand-ins just built.
RUN touch src/lib.rs src/main.rs \
    && scripts/release --to /published program

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# A number, so that an orchestrator can see that it is not root. A new volume takes this directory's owner.
RUN install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /published/corpex /usr/local/bin/corpex
USER 10001:10001
VOLUME /data
# All of the container's interfaces: which of the host's it is published on, `docker run -p` decides.
ENV CORPEX_DATA_DIR=/data CORPEX_LISTEN=0.0.0.0:8080 CORPEX_LOG_JSON=true
EXPOSE 8080
# The image has bash and no HTTP client; bash opens the connection itself. Any status but 200, no answer and
# no listener are unhealthy. A `corpex worker` serves nothing: run it with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${CORPEX_LISTEN##*:}\" && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 4 _ status _ <&3 && [[ $status == 200 ]] || exit 1"]
ENTRYPOINT ["corpex"]
CMD ["serve"]
