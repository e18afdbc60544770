# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
# aws-lc-rs builds C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ make cmake libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --profile dist --locked --bin bearerd

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/dist/bearerd /usr/local/bin/bearerd
ENV BEARERD_CONFIG=/etc/bearerd/routes.yaml
EXPOSE 8080 9902
ENTRYPOINT ["/usr/local/bin/bearerd"]
CMD ["run"]
