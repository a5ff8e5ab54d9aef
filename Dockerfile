# Prints the table from a container:
#
#     docker build --tag inc-bench .
#     docker run --init inc-bench
#
# Timings to publish belong outside of it; docs/container.md says why, and how to get the results out.
FROM debian:bookworm-20260918-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

# Only Python and certificates are Debian's, with the security updates of the day. Every other package comes
# from requirements/*.lock and is checked against its SHA-256 there.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3.11 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 --user-group bench \
    && install --directory --owner=bench --group=bench /home/bench/inc-bench

WORKDIR /home/bench/inc-bench
COPY --chown=bench:bench . ./

USER bench
ENV PIP_NO_CACHE_DIR=1
RUN ./run.sh run --set-up

ENTRYPOINT ["./run.sh"]
CMD ["run"]
