"""A member of a group, with confluent-kafka (librdkafka).

`group_confluent.py BOOTSTRAP TOPIC GROUP [name=value ...]`, the pairs being properties of librdkafka. What it prints is
described in tests/src/clients/member.rs. SIGINT makes it leave.
"""

import signal
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

bootstrap, topic, group = sys.argv[1:4]
config = {
    "bootstrap.servers": bootstrap,
    "client.id": "dohle-compat-librdkafka",
    "group.id": group,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 2000,
    "reconnect.backoff.max.ms": 500,
}
config.update(pair.split("=", 1) for pair in sys.argv[4:])
if config.get("group.protocol") != "consumer":
    config.setdefault("session.timeout.ms", 3000)
    config.setdefault("heartbeat.interval.ms", 300)

owned = set()
uncommitted = {}
stopping = False


def say(*words):
    print(*words, flush=True)


def stop(_signal, _frame):
    global stopping
    stopping = True


def assigned(_consumer, partitions):
    owned.update(p.partition for p in partitions)
    say("assigned", ",".join(map(str, sorted(owned))))


def revoked(_consumer, partitions):
    for p in partitions:
        owned.discard(p.partition)
        uncommitted.pop(p.partition, None)
    say("assigned", ",".join(map(str, sorted(owned))))


def commit():
    offsets = [TopicPartition(topic, *it) for it in uncommitted.items()]
    try:
        for committed in consumer.commit(offsets=offsets, asynchronous=False):
            if committed.error is None:
                uncommitted.pop(committed.partition, None)
                say("committed", committed.partition, committed.offset)
    except KafkaException:
        # A rebalance or a lost coordinator came in between: it is tried again, unless the partition is lost.
        for p in offsets:
            say("uncommitted", p.partition, p.offset)


signal.signal(signal.SIGINT, stop)
consumer = Consumer(config)
consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
while not stopping:
    message = consumer.poll(0.1)
    if message is not None:
        if message.error():
            raise KafkaException(message.error())
        say("record", message.partition(), message.offset(), message.value().decode())
        uncommitted[message.partition()] = message.offset() + 1
    if uncommitted:
        commit()
consumer.close()
say("left")
