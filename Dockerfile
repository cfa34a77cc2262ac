# Two images from one file:
#   docker build --tag REGISTRY/trueband-sidecar .                      the service (the last stage, so the default)
#   docker build --tag REGISTRY/trueband-training --target training .   the same with the extra `training`
#
# Python of builder and final stages must be the same: the environment is copied with its compiled packages.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# Our own wheel. Nothing below depends on the sources but through it.
COPY pyproject.toml README.md LICENSE ./
COPY calibrators/ calibrators/
COPY sidecar/ sidecar/
COPY training/ training/
COPY proto/gen/ proto/gen/
COPY constraints.txt ./
RUN pip wheel --no-deps --constraint constraints.txt --wheel-dir /wheels .

# The dependencies alone, from the two files that name them: an edit of the sources does not install them again.
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > sidecar.txt \
 && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['training'], sep='\n')" > training.txt
# The environment has no pip of its own; the builder's installs into it.
RUN python -m venv --without-pip /opt/trueband \
 && pip --python /opt/trueband/bin/python install --constraint constraints.txt --requirement sidecar.txt
# The driver of a PostgreSQL ledger, for example `--build-arg LEDGER_DRIVER='psycopg[binary]>=3.2'`. Without it: SQLite.
ARG LEDGER_DRIVER=""
RUN if [ -n "${LEDGER_DRIVER}" ]; then \
      pip --python /opt/trueband/bin/python install --constraint constraints.txt "${LEDGER_DRIVER}"; \
    fi

FROM dependencies AS training-dependencies
# torch first, from the index of its CPU builds: what PyPI has brings several GB of CUDA. Empty: take PyPI's.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN if [ -n "${TORCH_INDEX_URL}" ]; then \
      pip --python /opt/trueband/bin/python install --no-deps --index-url "${TORCH_INDEX_URL}" "$(grep '^torch==' constraints.txt)"; \
    fi \
 && pip --python /opt/trueband/bin/python install --constraint constraints.txt --requirement training.txt

FROM dependencies AS sidecar-environment
COPY --from=builder /wheels/ /wheels/
RUN pip --python /opt/trueband/bin/python install --no-deps --no-index /wheels/*.whl \
 && pip --python /opt/trueband/bin/python check

FROM training-dependencies AS training-environment
COPY --from=builder /wheels/ /wheels/
RUN pip --python /opt/trueband/bin/python install --no-deps --no-index /wheels/*.whl \
 && pip --python /opt/trueband/bin/python check

FROM ${PYTHON_IMAGE} AS runtime
# 65532 is what the chart runs as. Volumes that are new take the owner of the folders below.
RUN groupadd --gid 65532 nonroot \
 && useradd --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin nonroot \
 && install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/trueband \
 && install --directory --owner=65532 --group=65532 --mode=0755 /run/trueband
# SAFEPATH: no module is ever taken from the folder that the process happens to stand in.
ENV PATH=/opt/trueband/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532

FROM runtime AS training
ENV MPLCONFIGDIR=/tmp/matplotlib
COPY --from=training-environment /opt/trueband /opt/trueband
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

FROM runtime AS sidecar
ENV TRUEBAND_DATA_DIR=/var/lib/trueband \
    TRUEBAND_LISTEN=unix:/run/trueband/trueband.sock
COPY --from=sidecar-environment /opt/trueband /opt/trueband
ENTRYPOINT ["python", "-m", "sidecar"]
CMD ["serve"]
