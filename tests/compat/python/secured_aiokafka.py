"""Produces records over a listener with TLS and consumes them, with aiokafka.

`secured_aiokafka.py BOOTSTRAP TOPIC COUNT`. The environment has the files of the authority (DOHLE_TEST_CA), and of the
client's certificate and key (DOHLE_TEST_CERTIFICATE, DOHLE_TEST_KEY) if it has one. Prints the number of consumed
records.
"""

import asyncio
import logging
import os
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.helpers import create_ssl_context

bootstrap, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


async def main():
    security = {
        "bootstrap_servers": bootstrap,
        "security_protocol": "SSL",
        "ssl_context": create_ssl_context(
            cafile=os.environ["DOHLE_TEST_CA"],
            certfile=os.environ.get("DOHLE_TEST_CERTIFICATE"),
            keyfile=os.environ.get("DOHLE_TEST_KEY"),
        ),
    }
    async with AIOKafkaProducer(acks="all", **security) as producer:
        for n in range(count):
            await producer.send(topic, f"record {n}".encode())
        await producer.flush()
    consumed = 0
    consumer = AIOKafkaConsumer(topic, group_id=f"{topic}-group", auto_offset_reset="earliest", **security)
    async with consumer:
        while consumed < count:
            batches = await consumer.getmany(timeout_ms=1000)
            consumed += sum(map(len, batches.values()))
    print("consumed", consumed)


try:
    asyncio.run(main())
except Exception as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
