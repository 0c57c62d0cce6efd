# syntax=docker/dockerfile:1
# One server with its private Redis, for this machine only, or for a network with a policy (docs/security.md):
#   docker run -p 127.0.0.1:7070:7070 -v weir:/data -e WEIR_INSECURE=true weirkeeper
#   docker run -p 7070:7070 -v weir:/data -v ./weir:/etc/weir:ro -e WEIR_ACCESS_FILE=/etc/weir/policy.yaml \
#     -e WEIR_TLS_CERT=/etc/weir/server.pem -e WEIR_TLS_KEY=/etc/weir/server.key weirkeeper
# Options follow as flags (docker run … weirkeeper --workers 4) or as WEIR_* variables; `serve --help` lists them. The program is `weir`,
# so commands follow as well, and run beside a server:
#   docker run --rm weirkeeper status -u http://weir.example:7070
#   docker exec CONTAINER weir status

# Exact versions, so that the same source makes the same image: raise them on purpose.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
# The packages first: they change seldom, and their layer is kept until they do. Every workspace has a manifest.
COPY package.json package-lock.json ./
COPY client/package.json client/
COPY console/package.json console/
RUN npm ci
COPY . .
RUN npm run build && npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
# tini is process 1 in place of the server: it reaps what Redis may leave, and passes signals on.
RUN apt-get update \
  && apt-get install -y --no-install-recommends redis-server tini \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production \
  WEIR_HOST=0.0.0.0 \
  WEIR_PORT=7070 \
  WEIR_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
# A workspace: node_modules has a link to it. What is built of the console is in dist.
COPY --from=build /app/client/package.json client/
COPY --from=build /app/client/dist client/dist
COPY --from=build /app/dist dist
COPY --from=build /app/dist-packages dist-packages
COPY package.json LICENSE ./
# The program of the package, as npm links it.
RUN chmod 0755 dist/programs/weir.js && ln -s /app/dist/programs/weir.js /usr/local/bin/weir
# A new volume takes over the owner and mode that the folder has here.
RUN install -d -o node -g node -m 0700 /data
USER node
VOLUME /data
EXPOSE 7070
STOPSIGNAL SIGTERM
# The start period leaves time to load a large log; a server that is ready sooner counts as healthy at once.
# It asks itself, so its certificate need not be for 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "require(process.env.WEIR_TLS_CERT ? 'https' : 'http').get({ port: process.env.WEIR_PORT, path: '/health/ready', rejectUnauthorized: false }, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# `weir` starts Node.js with the flags of `npm start`; docs/operations.md says why.
ENTRYPOINT ["tini", "--", "weir"]
CMD ["serve"]
