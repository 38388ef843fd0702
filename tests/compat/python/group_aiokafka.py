"""A member of a group, with aiokafka.

`group_aiokafka.py BOOTSTRAP TOPIC GROUP`. What it prints is described in tests/src/clients/member.rs. SIGINT makes it
leave.
"""

import asyncio
import logging
import signal
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, KafkaError

bootstrap, topic, group = sys.argv[1:4]
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def say(*words):
    print(*words, flush=True)


uncommitted = {}


class Listener(ConsumerRebalanceListener):
    """Prints what is owned."""

    async def on_partitions_revoked(self, revoked):
        pass

    async def on_partitions_assigned(self, assigned):
        for lost in uncommitted.keys() - assigned:
            del uncommitted[lost]
        say("assigned", ",".join(map(str, sorted(p.partition for p in assigned))))


async def consume(consumer):
    while True:
        batches = await consumer.getmany(timeout_ms=100)
        for partition, messages in batches.items():
            for message in messages:
                say("record", message.partition, message.offset, message.value.decode())
            uncommitted[partition] = messages[-1].offset + 1
        if not uncommitted:
            continue
        offsets = dict(uncommitted)
        try:
            await consumer.commit(offsets)
            word = "committed"
            uncommitted.clear()
        except (CommitFailedError, KafkaError):
            # A rebalance or a lost coordinator came in between: it is tried again, unless the partition is lost.
            word = "uncommitted"
        for partition, offset in offsets.items():
            say(word, partition.partition, offset)


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="dohle-compat-aiokafka",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=3000,
        heartbeat_interval_ms=300,
        fetch_max_wait_ms=100,
        metadata_max_age_ms=2000,
    )
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    task = asyncio.ensure_future(consume(consumer))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
    finally:
        await consumer.stop()
    say("left")


asyncio.run(main())
