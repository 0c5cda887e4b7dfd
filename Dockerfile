# syntax=docker/dockerfile:1
# Two stages: wheels are made in the first, the second has Python, the wheels, and no shell tools
# beyond what Debian's slim image needs. Runs as a user of its own on a read-only root.
#
#   docker build -t relayminer .
#   docker run --read-only --tmpfs /tmp -v relayminer:/var/lib/relayminer \
#       -v ./relayminer.yaml:/etc/relayminer/relayminer.yaml:ro relayminer

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY relayminer relayminer
COPY plugins plugins
# Wheels only: nothing is compiled, so no compiler is needed.
RUN python -m venv /opt/relayminer \
 && /opt/relayminer/bin/pip install --no-cache-dir --prefer-binary . \
 && /opt/relayminer/bin/python -m compileall -q /opt/relayminer/lib \
 && /opt/relayminer/bin/pip uninstall -y pip

FROM python:3.13-slim-bookworm
RUN rm -rf /usr/local/lib/python3.13/site-packages/pip* /usr/local/bin/pip* \
 && useradd --uid 65532 --home-dir /var/lib/relayminer --create-home --shell /usr/sbin/nologin relayminer
COPY --from=build /opt/relayminer /opt/relayminer
ENV PATH=/opt/relayminer/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RELAYMINER_HOME=/var/lib/relayminer
USER 65532:65532
WORKDIR /var/lib/relayminer
VOLUME /var/lib/relayminer
# Relays; health and metrics.
EXPOSE 8080 9092
STOPSIGNAL SIGTERM
ENTRYPOINT ["relayminer"]
CMD ["run", "--config", "/etc/relayminer/relayminer.yaml"]
