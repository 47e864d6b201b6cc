# capsule-report in a container: see docs/deploy.md. Packages are those of locks/image.txt, by their
# hashes. The base is named by its tag; give BASE a digest to pin that too.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/capsule
COPY locks/image.txt locks/
RUN python -m pip --python /opt/capsule/bin/python --no-cache-dir install \
    --require-hashes --only-binary :all: -r locks/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY capsule_analytics capsule_analytics
COPY data/sample data/sample
RUN python -m pip --python /opt/capsule/bin/python --no-cache-dir install \
    --no-deps --no-build-isolation .
RUN /opt/capsule/bin/python -m compileall -q /opt/capsule/lib

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /data --create-home capsule
COPY --from=build /opt/capsule /opt/capsule
ENV PATH=/opt/capsule/bin:$PATH \
    MPLBACKEND=agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
# The store (in .local/share), capsule.toml and the report: what shall last.
WORKDIR /data
VOLUME /data
ENTRYPOINT ["capsule-report"]
CMD ["--help"]
