# What people and CI do with this checkout. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
CARGO := cargo
# Always the whole workspace: each selection of packages has its own features, and builds anew.
CARGO_TEST := $(CARGO) test --workspace --locked
# Clusters that run at once, of three nodes each.
TEST_THREADS ?= 2
DATA ?= ./data
TAG ?= dohle:latest
BASE ?=
# Which images are made: with a shell, without anything but the program.
FLAVORS ?= shell distroless

# The Apache Kafka that `make bench-kafka` compares with.
BENCH_KAFKA ?= 4.4.0

# The binary that the tests of whole nodes and the bench run.
DOHLE_BIN ?= $(CURDIR)/target/release/dohle

# The node under valgrind, which counts its instructions: unless DOHLE_BIN names another one, the static binary, whose
# counts do not depend on the machine's C library.
COUNTED = DOHLE_COUNTED=$(if $(filter $(CURDIR)/target/release/dohle,$(DOHLE_BIN)),$$(deploy/image.sh binary),$(DOHLE_BIN)) \
  DOHLE_BIN=$(CURDIR)/tests/bench_guard/counted.sh

.PHONY: help run binary test test-unit test-wire wire-record record-authorizer record-properties test-cluster test-streams compat-deps image test-images test-peers fuzz sim mutants chaos bench bench-kafka bench-guard record-bench-guard lint unused deny advisories tidy
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s $$'\t'

test-wire test-cluster test-streams test-peers chaos bench bench-kafka: export DOHLE_BIN := $(DOHLE_BIN)
# A test that fails prints its error alone; a backtrace would hide it. Panics keep theirs.
test-wire test-cluster test-streams test-images chaos bench-guard: export RUST_LIB_BACKTRACE ?= 0

# Builds a release, unless DOHLE_BIN names another binary.
binary:
	$(if $(filter $(CURDIR)/target/release/dohle,$(DOHLE_BIN)),$(CARGO) build --release --locked --bin dohle)

run: ## build, and run a cluster of three nodes until Ctrl-C, data under ./data
	$(CARGO) build --release --locked --bin dohle
	exec target/release/dohle dev --data $(DATA)

test: test-unit test-wire test-cluster ## all tests; installs the clients that they use

# Always the same random input, so that a test fails because of a change and not by chance. `make fuzz` draws new seeds.
test-unit: export PROPTEST_RNG_SEED ?= 1
test-unit: ## tests of the crates, and the tidy test
	$(CARGO_TEST)

test-wire: binary ## answers on the wire, compared with those recorded from Apache Kafka
	$(CARGO_TEST) --test wire

# With a receiver of clients' metrics, without which Apache Kafka does not serve the APIs of client telemetry.
wire-record: export DOHLE_KAFKA_ARGS := --override metric.reporters=TelemetryReceiver
wire-record: compat-deps ## record anew what Apache Kafka answers, in tests/wire; DOHLE_WIRE_API=EndTxn,Fetch for some
	DOHLE_BIN=$(CURDIR)/tests/wire/kafka.sh DOHLE_LOG_CHECK=off $(CARGO) run --locked --bin record-wire
	DOHLE_BIN=$(CURDIR)/tests/wire/kafka.sh DOHLE_LOG_CHECK=off DOHLE_WIRE_NEWER=1 \
	  DOHLE_KAFKA_LIBS=$$(tests/compat/kafka-libs.sh 4.4.0) $(CARGO) run --locked --bin record-wire

record-authorizer: compat-deps ## record anew the verdicts of Kafka's StandardAuthorizer, in crates/auth/tests
	java -Dstdout.encoding=UTF-8 -cp "target/compat/java/classes:target/compat/java/libs/*" \
	  AuthorizerVerdicts 80 1 >crates/auth/tests/standard_authorizer.txt
	java -Dstdout.encoding=UTF-8 -cp "$$(tests/compat/kafka-libs.sh 4.4.0)/*" tests/compat/java/src/AuthorizerVerdicts.java \
	  40 2 ranges >crates/auth/tests/standard_authorizer-4.4.0.txt

record-properties: compat-deps ## record anew which values of properties Apache Kafka accepts, in crates/dohle
	tests/compat/record-properties.sh >crates/dohle/src/testdata/sweep-4.3.1.tsv
	DOHLE_KAFKA_LIBS=$$(tests/compat/kafka-libs.sh 4.4.0) tests/compat/record-properties.sh \
	  crates/dohle/src/testdata/sweep-4.3.1.tsv >crates/dohle/src/testdata/sweep-4.4.0.tsv

test-cluster: compat-deps binary ## real nodes, real clients; DOHLE_CORPUS_LINES=N for a quick run
	DOHLE_KAFKA_LIBS=$(CURDIR)/target/compat/java/libs $(CARGO_TEST) --test kafka_clean
	CARGO=$(CARGO) TEST_THREADS=$(TEST_THREADS) REPEAT=$(REPEAT) tests/cluster.sh

test-streams: compat-deps binary ## Kafka Streams, Connect, MirrorMaker and transactions, in full
	DOHLE_PROGRAMS=full $(CARGO_TEST) --test cluster -- --test-threads=1 streams:: connect:: mirror:: transactions::

compat-deps: ## install or build the clients that the cluster tests use, under target/compat
	$(CARGO) fetch --locked
	tests/compat/install.sh

image: ## dohle:latest and dohle:latest-distroless from a static binary; TAG=name:tag, BASE=image to lay it on
	BASE=$(BASE) FLAVORS="$(FLAVORS)" CARGO=$(CARGO) deploy/image.sh build $(TAG)

test-images: compat-deps ## the image and deploy/, with a Docker engine of its own
	CARGO=$(CARGO) tests/images/run.sh

test-peers: compat-deps binary ## the test suites of other clients, on Dohle and on Apache Kafka; PEERS="librdkafka sarama" for some
	tests/peers/run.sh

fuzz: ## the tests with random input with new seeds, for DURATION seconds (default 60) or DOHLE_FUZZ_CASES cases
	tests/fuzz.sh

sim: ## the simulation of replication, SEEDS=N of them (default 2000), with its rate; SEED=N repeats one
	$(CARGO_TEST) --test simulation --no-run
	SECONDS=0; SIMULATION_RUNS=$(or $(SEEDS),2000) $(if $(SEED),SIMULATION_SEED=$(SEED)) \
	  $(CARGO_TEST) --test simulation -- --nocapture acknowledged_records; echo "$$SECONDS s"

mutants: ## plants faults in a copy, which the simulation of replication must find; MUTANTS="NAME..." for some
	CARGO=$(CARGO) tests/mutants/run.sh $(MUTANTS)

chaos: binary ## faults on three real nodes with clients, for MINUTES (default 10); SEED=N repeats a run
	$(CARGO) run --locked --bin chaos -- $(or $(MINUTES),10) $(SEED)

bench: compat-deps binary ## throughput, CPU, latency and memory of three nodes; BENCH="--bytes N" and the like
	$(CARGO) run --locked --bin dohle-bench -- $(BENCH)

bench-kafka: compat-deps binary ## Dohle and Apache Kafka in turns, ratios with intervals, floors; QUICK=1, FULL=1, BENCH="--rounds N" and the like
	DOHLE_LOG_CHECK=off DOHLE_KAFKA_LIBS=$$(tests/compat/kafka-libs.sh $(BENCH_KAFKA)) \
	  $(CARGO) run --release --locked --bin bench-kafka -- $(if $(QUICK),--quick) $(if $(FULL),--full) $(BENCH)

bench-guard: ## instructions of a node for each kind of request, compared with those recorded; needs valgrind
	$(COUNTED) $(CARGO) run --locked --bin bench-guard

record-bench-guard: ## record these counts anew, in tests/bench_guard/instructions.txt
	$(COUNTED) $(CARGO) run --locked --bin bench-guard -- --record

lint: ## formatting and clippy, warnings are errors
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --test cluster --test wire --locked -- -D warnings

unused: ## dependencies that no crate uses; needs cargo-machete
	$(CARGO) machete

deny: ## licences, bans and sources of the dependencies (deny.toml); needs cargo-deny
	$(CARGO) deny check licenses bans sources

advisories: ## known faults of the dependencies; needs cargo-deny and github.com
	$(CARGO) deny check advisories

tidy: ## the test that holds the structure of the code
	$(CARGO_TEST) --test tidy
