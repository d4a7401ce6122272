# ntkrun with the pinned versions of constraints.txt, as a user without rights:
#
#     docker build -t ntkrun .
#     docker run --rm -v ntkrun-data:/data -v ntkrun-results:/work/results ntkrun experiment=fig3
#
# For an NVIDIA GPU: docker build --build-arg EXTRA=[cuda13] -t ntkrun . and docker run --gpus all ...  (docs/install.md)
FROM python:3.11-slim

ARG EXTRA=
ARG UID=1000

WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE CITATION.cff CHANGELOG.md ./
COPY configs configs
COPY hydra_plugins hydra_plugins
COPY ntkrun ntkrun
RUN pip install --no-cache-dir -c constraints.txt ".${EXTRA}"

# Images that a run fetches go to ~/tensorflow_datasets, compiled programs to ~/.cache
RUN useradd --create-home --uid "${UID}" ntkrun \
 && mkdir -p /data /work/results \
 && ln -s /data /home/ntkrun/tensorflow_datasets \
 && chown -R ntkrun /data /work \
 && rm -rf /src/*

USER ntkrun
WORKDIR /work
VOLUME ["/data", "/work/results"]
ENTRYPOINT ["ntkrun"]
CMD ["--help"]
