# pip install confluent-kafka && python quickstart.py
import os

from confluent_kafka import Consumer, Producer

servers = {"bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")}

producer = Producer(servers)
producer.produce("greetings", key="python", value="hello from Python")
producer.flush()

consumer = Consumer(servers | {"group.id": "greeters-python", "auto.offset.reset": "earliest"})
consumer.subscribe(["greetings"])
key = None
while key != "python":
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    key = message.key().decode()
    print(f"{key}: {message.value().decode()}")
consumer.close()
