# Prime Spark. "make" alone lists what there is to make.
#
#   VERSION=1.2.3 make build     sets the release that the programs report
#   FUZZTIME=10s make fuzz       sets how long each fuzz test runs
#   make demo HAILO_DOUBLE=1     gives one agent of the demo a simulated Hailo; needs gcc

export PATH := $(PATH):/usr/local/go/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 1m
MAINS    := ./agent/cmd/prime-spark-agent ./coordinator/cmd/prime-spark-coordinator ./coordinator/cmd/prime-spark \
            ./shared/meshnet/cmd/prime-spark-mesh

# Outside of a checkout, or in one that git does not trust, the commit cannot be stamped.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=$(STAMP) -ldflags '-s -w -X primespark/shared/version.Number=$(VERSION)'
TOOL  := go tool -modfile=tools/go.mod

# The longest first, so that nothing waits for it at the end.
ALL := ./coordinator/systest ./...

# What the workers for Hailo accelerators and for ONNX Runtime are built with; the rest
# needs no C.
NATIVE_CC       ?= gcc
NATIVE_CC_ARM64 ?= aarch64-linux-gnu-gcc

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: need-go
need-go:
	@scripts/need-go.sh

.PHONY: build
build: need-go ## programs for this machine, into bin/
	@mkdir -p bin
	$(BUILD) -o bin/ $(MAINS)
	@scripts/native-worker.sh hailo $(NATIVE_CC) bin/prime-spark-hailo-worker
	@scripts/native-worker.sh onnxruntime $(NATIVE_CC) bin/prime-spark-ort-worker
	@install -m 0644 hailo/workerpy/worker.py bin/prime-spark-hailo-worker.py
	@ls -l bin | awk 'NR > 1 && !/^d/ { printf "  bin/%-26s %5.1f MB\n", $$NF, $$5 / 1e6 }'

.PHONY: build-arm64
build-arm64: need-go ## programs for a Raspberry Pi (linux/arm64), into bin/arm64/
	@mkdir -p bin/arm64
	GOOS=linux GOARCH=arm64 $(BUILD) -o bin/arm64/ $(MAINS)
	@scripts/native-worker.sh hailo $(NATIVE_CC_ARM64) bin/arm64/prime-spark-hailo-worker
	@scripts/native-worker.sh onnxruntime $(NATIVE_CC_ARM64) bin/arm64/prime-spark-ort-worker
	@install -m 0644 hailo/workerpy/worker.py bin/arm64/prime-spark-hailo-worker.py
	@ls -l bin/arm64 | awk 'NR > 1 { printf "  bin/arm64/%-26s %5.1f MB\n", $$NF, $$5 / 1e6 }'

.PHONY: hailo-double
hailo-double: need-go ## a libhailort without a chip, and a model for it, for demos; needs gcc
	@scripts/native-worker.sh hailo-double $(NATIVE_CC) bin/libhailort.so
	@go run scripts/demo-hef.go bin/hailo-models

.PHONY: demo
demo: build $(if $(HAILO_DOUBLE),hailo-double) ## a whole fleet on this machine: finds a face, survives the loss of its leader
	@bin/prime-spark demo $(if $(HAILO_DOUBLE),--with-hailo-double)

.PHONY: test
test: need-go ## all tests
	go test -timeout 30m $(TESTFLAGS) $(ALL)

.PHONY: lint
lint: need-go ## format, vet, fix, staticcheck, go.mod, import rules, arm64
	@scripts/lint.sh

# One processor for each test program: with more, timers of a testing/synctest bubble
# that fire on two threads at once crash the race detector (golang/go#78156). It orders
# by what happens before what, not by time, so it finds the same races; make test
# uses all processors. What go vet would say, lint has said. What it finds in others'
# code, and is known to them, scripts/race.supp names.
.PHONY: race
race: need-go ## all tests with the race detector
	GORACE='suppressions=$(CURDIR)/scripts/race.supp' go test -race -cpu 1 -vet=off -timeout 30m $(ALL)

.PHONY: check
check: lint race ## lint, and all tests with the race detector

.PHONY: fuzz
fuzz: need-go ## every fuzz test for FUZZTIME (1m)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-inputs
fuzz-inputs: need-go ## the fuzz tests of models, manifests, requests and photos, as in CI
	@scripts/fuzz-inputs.sh $(FUZZTIME)

.PHONY: golden
golden: need-go ## rewrite the golden files; review the diff like code
	go test $$(grep -rlE --include='*_test.go' 'shared/(goldentest|cli/clitest)"' . | xargs -n1 dirname | sort -u) -update
	@git status --short -- '*/testdata/*' || true

.PHONY: golden-state
golden-state: need-go ## keep the state directories of a release for the tests of later ones: VERSION=1.2.3
	go test -count=1 -run TestRecordRelease ./coordinator/systest -record '$(VERSION)' -v

.PHONY: pictures
pictures: need-go ## take the pictures of the page for the README anew; needs chromium
	go test -count=1 -timeout 10m -run TestFleet ./coordinator/systest/browser -pictures
	@ls -l docs/*.png | awk '{ printf "  %s %d KB\n", $$NF, $$5 / 1000 }'

.PHONY: bench
bench: build ## the figures: engine, gateway hop, failover, memory, sizes
	@scripts/bench.sh

.PHONY: deb
deb: need-go ## Debian packages for amd64 and arm64, with checksums and bills of materials, into dist/deb/
	@VERSION='$(filter-out dev,$(VERSION))' packaging/build.sh

.PHONY: deb-check
deb-check: need-go ## build the packages twice, compare, and see what lintian and systemd-analyze say
	@packaging/check.sh

.PHONY: apt-repo
apt-repo: deb ## a signed apt repository of the packages, into dist/apt/
	@packaging/apt-repo.sh

.PHONY: chaos
chaos: need-go ## the fault suite, as root: all, or CHAOS=short, or NEMESIS=15m SEED=42
	@scripts/chaos.sh

.PHONY: mesh-lab
mesh-lab: need-go ## the mesh in namespaces, as root: hubs that fail, partitions, new keys, NATs; all, or MESH=short
	@PRIME_SPARK_MESH_LAB=$${MESH:-full} go test -count=1 -v -parallel 6 -timeout 2h ./scripts/lab/mesh

.PHONY: mesh-kernel
mesh-kernel: need-go ## the mesh on the kernel's WireGuard, in Debian machines (user-mode Linux), as root: one with namespaces, then four with slow cables
	PRIME_SPARK_MACHINES=1 go test -count=1 -v -run 'TestKernel$$|TestUnit$$|TestMachines$$|TestIdle$$' -timeout 80m ./scripts/lab/mesh

.PHONY: machines
machines: need-go ## the packages on whole Debian machines (user-mode Linux), as root: install, join, cut, reboot, upgrade, purge; workers in units; crashes and killed upgrades
	PRIME_SPARK_MACHINES=1 go test -count=1 -v -run 'TestLifeOfThePackages$$|TestWorkerUnits$$|TestMishaps$$' -timeout 40m ./scripts/lab/packages

.PHONY: vm
vm: need-go ## the agent on Debian's kernel in QEMU: a real I2C bus and GPIO chip fail, a battery runs out; about two minutes
	PRIME_SPARK_VM=amd64 go test -count=1 -v -run 'TestReality$$' -timeout 20m ./scripts/lab/vm

.PHONY: vm-arm64
vm-arm64: need-go ## the same on arm64, and the arm64 package on an emulated Raspberry Pi 5, Debian 12 and 13, as root
	PRIME_SPARK_VM=arm64 go test -count=1 -v -run 'TestReality$$' -timeout 20m ./scripts/lab/vm
	PRIME_SPARK_MACHINES=1 PRIME_SPARK_PI_SUITES="$${SUITES:-bookworm trixie}" go test -count=1 -v -run 'TestPi$$' -timeout 90m ./scripts/lab/packages

.PHONY: pi
pi: need-go ## the arm64 package on an emulated Raspberry Pi 5 with Debian 13, as root: install, join, infer, reboot, purge
	PRIME_SPARK_MACHINES=1 PRIME_SPARK_PI_SUITES=trixie go test -count=1 -v -run 'TestPi$$' -timeout 40m ./scripts/lab/packages

.PHONY: vm-cluster
vm-cluster: need-go ## three coordinators and two agents as machines, as root: power cut, both kinds of freezing, cut cable, rolling upgrade; the upgrade by ssh and apt
	PRIME_SPARK_MACHINES=1 PRIME_SPARK_VM_CLUSTER=1 go test -count=1 -v -run 'TestCluster$$|TestUpgrade$$' -timeout 80m ./scripts/lab/packages

.PHONY: vm-report
vm-report: need-go ## figures of the packages: sizes, hardening, times and memory on an emulated Raspberry Pi 5; as root
	@scripts/vm-report.sh

.PHONY: vm-package
vm-package: need-go ## the package on a whole Debian in QEMU, as root, with a UPS board that cuts the power at the very end; about four minutes
	PRIME_SPARK_MACHINES=1 go test -count=1 -v -run 'TestPackage$$' -timeout 30m ./scripts/lab/vm

.PHONY: lab-kernel
lab-kernel: ## build the kernel of those machines from Debian's source (about 10 minutes)
	@dir=$${PRIME_SPARK_LAB_CACHE:-$$HOME/.cache/prime-spark-lab}/kernel; mkdir -p "$$dir"; scripts/lab/guest/kernel.sh "$$dir"

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
