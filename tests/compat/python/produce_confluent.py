"""An idempotent producer that writes numbered records until SIGINT, with confluent-kafka (librdkafka).

`produce_confluent.py BOOTSTRAP TOPIC PARTITIONS BYTES [name=value ...]`, the pairs being properties of librdkafka. Record
N goes to partition N % PARTITIONS; its value is N in ten digits, filled up to BYTES. It prints

    acknowledged PARTITION OFFSET N     for each record that all replicas in sync have
    failed N ERROR                      for a record that was given up
    sent COUNT                          after SIGINT, once every record is acknowledged or given up
"""

import signal
import sys

from confluent_kafka import Producer

bootstrap, topic, partitions, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
config = {
    "bootstrap.servers": bootstrap,
    "client.id": "dohle-compat-librdkafka",
    "enable.idempotence": True,
    "linger.ms": 5,
    "queue.buffering.max.messages": 200,
    "reconnect.backoff.max.ms": 500,
}
config.update(pair.split("=", 1) for pair in sys.argv[5:])
stopping = False


def stop(_signal, _frame):
    global stopping
    stopping = True


def delivered(error, message):
    number = int(message.value()[:10])
    if error is None:
        print("acknowledged", message.partition(), message.offset(), number, flush=True)
    else:
        print("failed", number, error, flush=True)


signal.signal(signal.SIGINT, stop)
producer = Producer(config)
number = 0
while not stopping:
    try:
        value = f"{number:010}".ljust(size, ".")
        producer.produce(topic, value, partition=number % partitions, on_delivery=delivered)
        number += 1
        producer.poll(0)
    except BufferError:
        producer.poll(0.1)
producer.flush()
print("sent", number, flush=True)
