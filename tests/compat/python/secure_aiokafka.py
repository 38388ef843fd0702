"""aiokafka on a listener that authenticates.

`secure_aiokafka.py BOOTSTRAP TOPIC [name=value ...]` with `mechanism`, `user`, `password`, and for TLS `ca` and `store`, the paths
of PEM files with trusted certificates and with the client's certificate and key; `patience` is a number of seconds. Produces
ten records to partition 0, consumes ten from its start, and prints `ok 10`. An error is printed to standard error and ends
the program with 1.
"""

import asyncio
import logging
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.helpers import create_ssl_context

bootstrap, topic = sys.argv[1:3]
options = dict(pair.split("=", 1) for pair in sys.argv[3:])
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
COUNT = 10


class Token(AbstractTokenProvider):
    """The token of OAUTHBEARER, which is the password."""

    async def token(self):
        return options["password"]


def connection():
    tls, sasl = "ca" in options, "mechanism" in options
    protocol = f"{'SASL_' if sasl else ''}{'SSL' if tls else 'PLAINTEXT'}"
    given = {"bootstrap_servers": bootstrap, "security_protocol": protocol}
    if "patience" in options:
        given["request_timeout_ms"] = 1000 * int(options["patience"])
    if tls:
        given["ssl_context"] = create_ssl_context(
            cafile=options["ca"], certfile=options.get("store")
        )
    if sasl:
        given["sasl_mechanism"] = options["mechanism"]
        given["sasl_plain_username"] = options["user"]
        given["sasl_plain_password"] = options["password"]
        if options["mechanism"] == "OAUTHBEARER":
            given["sasl_oauth_token_provider"] = Token()
    return given


async def main():
    producer = AIOKafkaProducer(**connection())
    try:
        await producer.start()
        for n in range(COUNT):
            await producer.send_and_wait(topic, f"value {n}".encode(), partition=0)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(**connection())
    try:
        await consumer.start()
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        for _ in range(COUNT):
            await asyncio.wait_for(consumer.getone(), 30)
    finally:
        await consumer.stop()
    print("ok", COUNT, flush=True)


try:
    asyncio.run(main())
except Exception as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
