# The server in a container: `docker build -t gyro-ocs .`
#
#   docker run --name ocs -v ocs-data:/var/lib/ocs -p 3868:3868 gyro-ocs
#   docker exec ocs ocs subscriber list
#
# It runs with config/container.yaml: on every address of the container, with its database on the
# volume. Another file is mounted over /etc/ocs/ocs.yaml; for PostgreSQL, -e OCS_DATABASE_URL=...
# tells the server and every command alike.
#
# Stage one builds the wheel and fetches the wheels it depends on; stage two has neither compiler
# nor sources, only what is installed from them.

FROM python:3.12-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY ocs ocs
COPY config config
COPY simulators simulators
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels gyro-ocs \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin ocs \
    && install -d -o ocs -g ocs -m 0750 /var/lib/ocs
COPY config/container.yaml /etc/ocs/ocs.yaml

ENV PYTHONUNBUFFERED=1 \
    OCS_STATUS_PORT=9868
USER ocs
# Commands without a setting find the database too: it is ocs.db in the working directory.
WORKDIR /var/lib/ocs
VOLUME /var/lib/ocs
EXPOSE 3868 9868

# Healthy means ready: requests are decided. The status port must be on, and this one, in the
# configuration that the container runs with.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['OCS_STATUS_PORT']), timeout=3); c.request('GET', '/ready'); sys.exit(c.getresponse().status != 200)"]

# Exec form: the server itself is process 1, and SIGTERM lets it answer what is in flight, tell its
# peers and close its database.
STOPSIGNAL SIGTERM
ENTRYPOINT ["ocs"]
CMD ["serve", "--config", "/etc/ocs/ocs.yaml"]
