"""confluent-kafka (librdkafka) on a listener that authenticates.

`secure_confluent.py BOOTSTRAP TOPIC [name=value ...]` with `mechanism`, `user`, `password`, and for TLS `ca` and `store`, the paths
of PEM files with trusted certificates and with the client's certificate and key. Produces ten records to partition 0,
consumes ten from its start, and prints `ok 10`. An error is printed to standard error and ends the program with 1.
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

bootstrap, topic = sys.argv[1:3]
options = dict(pair.split("=", 1) for pair in sys.argv[3:])
COUNT = 10
errors = []


def connection():
    tls, sasl = "ca" in options, "mechanism" in options
    protocol = f"{'SASL_' if sasl else ''}{'SSL' if tls else 'PLAINTEXT'}"
    given = {"bootstrap.servers": bootstrap, "security.protocol": protocol, "error_cb": errors.append}
    names = {
        "mechanism": ["sasl.mechanism"],
        "user": ["sasl.username"],
        "password": ["sasl.password"],
        "ca": ["ssl.ca.location"],
        "store": ["ssl.certificate.location", "ssl.key.location"],
    }
    if options.get("mechanism") == "OAUTHBEARER":
        # The token is the password.
        given["oauth_cb"] = lambda _: (options["password"], time.time() + 3600)
    given.update({property: value for name, value in options.items() for property in names.get(name, [])})
    return given


def fail():
    print("\n".join(map(str, errors)) or "no answer in time", file=sys.stderr)
    sys.exit(1)


producer = Producer(connection() | {"message.timeout.ms": 15000})
for n in range(COUNT):
    producer.produce(topic, f"value {n}".encode(), partition=0)
end = time.monotonic() + 20
while len(producer) and time.monotonic() < end and not errors:
    producer.poll(0.1)
if len(producer) or errors:
    producer.purge()
    fail()
consumer = Consumer(connection() | {"group.id": "secure", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
read = 0
end = time.monotonic() + 30
while read < COUNT and time.monotonic() < end:
    message = consumer.poll(0.2)
    if message is None:
        continue
    if message.error():
        errors.append(KafkaException(message.error()))
        fail()
    read += 1
consumer.close()
if read < COUNT:
    fail()
print("ok", COUNT, flush=True)
