"""Copies records in transactions, one step for each line of standard input, with aiokafka.

`transactional_aiokafka.py BOOTSTRAP SOURCE TARGET GROUP TRANSACTIONAL_ID`. The steps and the answers are described in
tests/src/clients/transactional.rs.
"""

import asyncio
import logging
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

bootstrap, source, target, group, transactional_id = sys.argv[1:6]
logging.basicConfig(level=logging.ERROR, stream=sys.stderr)


class Copier:
    """A producer, a consumer, and what was read last."""

    def __init__(self):
        self.producer = None
        self.consumer = None
        # Read, but not asked for yet.
        self.arrived = []
        self.messages = []

    async def init(self):
        self.producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id="dohle-compat-aiokafka",
            transactional_id=transactional_id,
            transaction_timeout_ms=60000,
        )
        await self.producer.start()
        self.consumer = AIOKafkaConsumer(
            source,
            bootstrap_servers=bootstrap,
            client_id="dohle-compat-aiokafka",
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,
            metadata_max_age_ms=2000,
        )
        await self.consumer.start()

    async def begin(self):
        await self.producer.begin_transaction()

    async def read(self, count):
        while len(self.arrived) < int(count):
            for messages in (await self.consumer.getmany(timeout_ms=100)).values():
                self.arrived += messages
        self.messages, self.arrived = self.arrived[: int(count)], self.arrived[int(count) :]

    async def write(self):
        sent = [
            await self.producer.send(target, key=message.key, value=b"copy of " + message.value)
            for message in self.messages
        ]
        await asyncio.gather(*sent)

    async def offsets(self):
        following = {}
        for message in self.messages:
            # The key of the dictionary is the client's own type of a partition.
            (place,) = (p for p in self.consumer.assignment() if p.partition == message.partition)
            following[place] = max(following.get(place, 0), message.offset + 1)
        await self.producer.send_offsets_to_transaction(following, group)

    async def commit(self):
        await self.producer.commit_transaction()

    async def abort(self):
        await self.producer.abort_transaction()

    async def close(self):
        if self.consumer is not None:
            await self.consumer.stop()
        if self.producer is not None:
            await self.producer.stop()


async def main():
    copier = Copier()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        step, *arguments = line.split()
        try:
            await getattr(copier, step)(*arguments)
            print("ok", step, flush=True)
        except KafkaError as error:
            message = str(error).replace("\n", " ")
            print("failed", step, type(error).__name__, message, flush=True)
    await copier.close()


asyncio.run(main())
