"""Copies records in transactions, one step for each line of standard input, with confluent-kafka (librdkafka).

`transactional_confluent.py BOOTSTRAP SOURCE TARGET GROUP TRANSACTIONAL_ID [name=value ...]`, the pairs being properties
of the producer. The steps and the answers are described in tests/src/clients/transactional.rs.
"""

import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

bootstrap, source, target, group, transactional_id = sys.argv[1:6]
producing = {
    "bootstrap.servers": bootstrap,
    "client.id": "dohle-compat-librdkafka",
    "transactional.id": transactional_id,
    "transaction.timeout.ms": 60000,
    "reconnect.backoff.max.ms": 500,
}
producing.update(pair.split("=", 1) for pair in sys.argv[6:])
consuming = {
    "bootstrap.servers": bootstrap,
    "client.id": "dohle-compat-librdkafka",
    "group.id": group,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
    "reconnect.backoff.max.ms": 500,
}
producer = None
consumer = None
read = []


def retried(step):
    """Repeats a step while its error may be retried, as librdkafka asks for, for half a minute."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return step()
        except KafkaException as failed:
            if not failed.args[0].retriable() or time.monotonic() > deadline:
                raise


def init():
    global producer, consumer
    producer = Producer(producing)
    retried(lambda: producer.init_transactions(10))
    consumer = Consumer(consuming)
    consumer.subscribe([source])


def read_records(count):
    read.clear()
    while len(read) < count:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            if message.error().fatal():
                raise KafkaException(message.error())
            continue
        read.append(message)


def write():
    errors = []

    def delivered(error, _message):
        if error is not None:
            errors.append(error)

    for message in read:
        producer.produce(target, key=message.key(), value=b"copy of " + message.value(), on_delivery=delivered)
    producer.flush(60)
    if errors:
        raise KafkaException(errors[0])


def offsets():
    following = {}
    for message in read:
        partition = message.partition()
        following[partition] = max(following.get(partition, 0), message.offset() + 1)
    places = [TopicPartition(source, *place) for place in following.items()]
    metadata = consumer.consumer_group_metadata()
    retried(lambda: producer.send_offsets_to_transaction(places, metadata, 10))


def give_up(step):
    """Ends the process, as a supervisor would: librdkafka waits for a thread of a broker that never ends."""
    print("failed", step, "_BLOCKED the call does not return", flush=True)
    os._exit(1)


for line in sys.stdin:
    words = line.split()
    watchdog = threading.Timer(45, give_up, words[:1])
    watchdog.start()
    try:
        match words[0]:
            case "init":
                init()
            case "begin":
                producer.begin_transaction()
            case "read":
                read_records(int(words[1]))
            case "write":
                write()
            case "offsets":
                offsets()
            case "commit":
                retried(lambda: producer.commit_transaction(10))
            case "abort":
                retried(lambda: producer.abort_transaction(10))
            case _:
                raise ValueError(line)
        watchdog.cancel()
        print("ok", words[0], flush=True)
    except KafkaException as failed:
        watchdog.cancel()
        error = failed.args[0]
        print("failed", words[0], error.name(), error.str(), flush=True)
