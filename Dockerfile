# The API and the command line. The same base image in both stages, since the environment is moved as it is.
FROM python:3.11.14-slim-bookworm AS build
# Options for pip; they may hold an address with a password, and stay out of the final image's history.
ARG PIP_OPTIONS=""
RUN python -m venv /opt/qa-app
WORKDIR /build
# The dependencies by themselves: they are 6 GB with torch's CUDA, and a change of the application fetches none of them.
COPY constraints.txt LICENSE pyproject.toml README.md ./
RUN mkdir qa_app samples ui \
 && touch qa_app/__init__.py \
 && /opt/qa-app/bin/pip install --no-cache-dir --constraint constraints.txt $PIP_OPTIONS ".[openvino]"
COPY qa_app qa_app
COPY samples samples
RUN /opt/qa-app/bin/pip install --no-cache-dir --no-deps --force-reinstall $PIP_OPTIONS ".[openvino]" \
 && /opt/qa-app/bin/pip uninstall --yes pip

FROM python:3.11.14-slim-bookworm
# An empty volume takes over the owner of the folder where it is mounted.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp qa \
 && install --directory --owner=qa --group=qa /data /models \
 && python -m pip uninstall --yes pip setuptools wheel
COPY --from=build /opt/qa-app /opt/qa-app
ENV PATH=/opt/qa-app/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    QA_DATA_DIR=/data \
    HF_HOME=/models
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["qa-app"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
