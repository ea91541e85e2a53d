# flinch in an image of its own: a static binary that runs as PID 1, in a base with a shell.
#   as the base of a dev container:   FROM flinch
#   or only the binary:               COPY --from=flinch /usr/local/bin/flinch /usr/local/bin/flinch
# Both images can be named: docker build --build-arg BASE_IMAGE=alpine -t flinch .
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=debian:stable-slim

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /flinch ./cmd/flinch

FROM ${BASE_IMAGE}
COPY --from=build /flinch /usr/local/bin/flinch
WORKDIR /app
ENTRYPOINT ["/usr/local/bin/flinch"]
