"""A member of a group, with confluent-kafka (librdkafka).

`group_confluent.py BOOTSTRAP TOPIC GROUP [name=value ...]`, the pairs being properties of librdkafka. What it prints is
described in tests/src/clients/member.rs. SIGINT makes it leave.
"""

import signal
import sys

from confluent_kafka import Consumer, KafkaException

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
    owned.difference_update(p.partition for p in partitions)
    say("assigned", ",".join(map(str, sorted(owned))))


signal.signal(signal.SIGINT, stop)
consumer = Consumer(config)
consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
while not stopping:
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error():
        raise KafkaException(message.error())
    say("record", message.partition(), message.offset(), message.value().decode())
    try:
        for committed in consumer.commit(message=message, asynchronous=False):
            if committed.error is None:
                say("committed", committed.partition, committed.offset)
    except KafkaException:
        # A rebalance came in between: the record is read again, here or elsewhere.
        say("uncommitted", message.partition(), message.offset())
consumer.close()
say("left")
