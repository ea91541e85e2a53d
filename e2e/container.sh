#!/usr/bin/env bash
# Builds the Dockerfile and runs flinch as PID 1 in a container, without a Docker engine and without an image registry:
# buildah with a base made on this machine (busybox; for the build with the Go tree of `go env GOROOT` in it), podman with
# runc to run it. Skips with a reason where that cannot be done.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "container.sh: skipped: $*"; exit 0; }
fail() { echo "container.sh: FAILED: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip "needs root (image layers, cgroups)"
for tool in buildah podman runc busybox go; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done

work=$(mktemp -d)
store=(--root "$work/store" --runroot "$work/run" --storage-driver vfs)
podman=(podman "${store[@]}" --runtime runc --cgroup-manager cgroupfs)
running=()
cleanup() {
	for name in "${running[@]}"; do "${podman[@]}" kill "$name" >/dev/null 2>&1 || true; done
	"${podman[@]}" rm -fa >/dev/null 2>&1 || true
	rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT

# base NAME FOLDER: an image that holds the folder, and nothing else.
base() {
	local container
	container=$(buildah "${store[@]}" from --quiet scratch)
	buildah "${store[@]}" add --quiet "$container" "$2" / >/dev/null
	buildah "${store[@]}" config --env PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin:/sbin "$container"
	buildah "${store[@]}" commit --quiet "$container" "localhost/$1" >/dev/null
	buildah "${store[@]}" rm "$container" >/dev/null
}

small=$work/small
mkdir -p "$small"/{bin,dev,etc,proc,root,sys,tmp,usr/local/bin,app}
cp "$(command -v busybox)" "$small/bin/busybox"
"$small/bin/busybox" --install -s "$small/bin" 2>/dev/null || for applet in $("$small/bin/busybox" --list); do ln -sf busybox "$small/bin/$applet"; done
find "$small/bin" -type l -exec sh -c 'for link; do ln -sfn busybox "$link"; done' sh {} +
echo 'root:x:0:0:root:/root:/bin/sh' >"$small/etc/passwd"
base small "$small"

echo "container.sh: building the Dockerfile"
go mod download
go_image=localhost/small # the Go tree of this machine comes as volumes: nothing of it needs to be copied into layers
buildah "${store[@]}" build --quiet --isolation chroot --pull=never --tag localhost/flinch \
	--volume "$(go env GOROOT):/usr/local/go:ro" --volume "$(go env GOMODCACHE):/root/go/pkg/mod" --volume "$(go env GOCACHE):/root/.cache/go-build" \
	--build-arg GO_IMAGE=$go_image --build-arg BASE_IMAGE=localhost/small \
	--env GOPROXY=off --env GOFLAGS=-mod=mod --env GOTOOLCHAIN=local . >"$work/build.log" 2>&1 ||
	{ cat "$work/build.log"; fail "the image does not build"; }

# up NAME FLINCH-ARGS...: flinch as PID 1 of a container over $work/tree.
up() {
	local name=$1
	shift
	running+=("$name")
	"${podman[@]}" run --detach --name "$name" --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		--volume "$work/tree:/app" localhost/flinch "$@" >/dev/null || fail "$name does not start"
}
# eventually SECONDS COMMAND...: until it succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
logs() { "${podman[@]}" logs "$1" 2>&1; }
logged() { grep -q -- "$2" <<<"$(logs "$1")"; }

tree=$work/tree
mkdir -p "$tree"

echo "container.sh: a command runs at the start and after a change, as PID 1"
echo one >"$tree/a.txt"
up task --no-gitignore -f '*.txt' -- sh -c 'echo "run pid=$$ ppid=$PPID $FLINCH_REASON"'
eventually 10 logged task 'run .*ppid=1 start' || { logs task; fail "no first run"; }
echo two >"$tree/a.txt"
eventually 10 logged task 'run .*ppid=1 change' || { logs task; fail "no run after a change from outside"; }

echo "container.sh: orphans are reaped, those of exec too, and not killed"
"${podman[@]}" exec task sh -c '(sleep 0.2; echo lived > /app/orphan.log) & :' >/dev/null
eventually 10 test -s "$tree/orphan.log" || fail "an orphan of exec was killed"
zombies() { ! "${podman[@]}" exec task sh -c 'cat /proc/[0-9]*/stat 2>/dev/null' | grep -q ') Z '; }
eventually 10 zombies || { "${podman[@]}" exec task sh -c 'cat /proc/[0-9]*/stat'; fail "zombies"; }

echo "container.sh: stop is passed on in time, and the exit status is 128+15"
up service --service -- sh -c 'trap "echo stopping; sleep 0.3; echo stopped; exit 0" TERM; (trap "" TERM; setsid sleep 1000) & echo up; while :; do sleep 0.05; done'
eventually 10 logged service up || { logs service; fail "the service does not come up"; }
began=$(date +%s%N)
"${podman[@]}" stop --time 10 service >/dev/null
took=$((($(date +%s%N) - began) / 1000000))
[ $took -lt 8000 ] || fail "stop took $took ms"
logged service stopped || { logs service; fail "the service was not given its time to stop"; }
status=$("${podman[@]}" inspect --format '{{.State.ExitCode}}' service)
[ "$status" = 143 ] || fail "exit status $status after stop, want 143"

echo "container.sh: the binary can be copied out and runs alone"
container=$(buildah "${store[@]}" from --quiet localhost/flinch)
root=$(buildah "${store[@]}" mount "$container")
"$root/usr/local/bin/flinch" version
buildah "${store[@]}" rm "$container" >/dev/null

echo "container.sh: ok (stop took $took ms)"
