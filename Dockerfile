# docker build -t expo-gateway .
# docker run --read-only --tmpfs /tmp -p 127.0.0.1:8080:8080 -v expo-gateway:/data expo-gateway
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY expo_gateway expo_gateway
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir /dist .
# Without pip, which nobody needs in there.
RUN python -m venv --without-pip /opt/expo-gateway \
    && python -m pip --python /opt/expo-gateway/bin/python install --no-cache-dir --disable-pip-version-check \
        --constraint constraints.txt "$(ls /dist/*.whl)[fast]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="expo-gateway" \
      org.opencontainers.image.description="An Expo-compatible push gateway and emulator." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:${PYTHON}-slim"
# A new volume takes over owner and mode of what it covers.
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g gateway -m 0700 /data \
    && install -d -o gateway -g gateway -m 0755 /ca
COPY --from=build /opt/expo-gateway /opt/expo-gateway
ENV PATH=/opt/expo-gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# With TLS or without, at EXPO_GATEWAY_SERVER__PORT. A port that an option of serve sets needs a check of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["expo-gateway", "health"]
ENTRYPOINT ["expo-gateway"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data"]
