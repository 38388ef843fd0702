# shellcheck shell=bash disable=SC2016,SC2034
# librdkafka's tests once more, with the consumer group protocol (KIP-848) instead of the classic one.
protocol=consumer
# shellcheck source=librdkafka.sh
. "$here/suites/librdkafka.sh"
