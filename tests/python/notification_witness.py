"""Sees every message of an exchange, duplicates too: writes down its properties and what is in its envelope."""

import json
import sys
import time

import amqp
import kombu

url, exchange, topic = sys.argv[1:]


def heard(body, message):
    envelope = body if isinstance(body, dict) else json.loads(body)
    inner = json.loads(envelope["oslo.message"])
    seen = {
        "version": envelope["oslo.version"],
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "properties": {key: message.properties[key] for key in ("delivery_mode", "priority")},
        "routing_key": message.delivery_info["routing_key"],
        "exchange": message.delivery_info["exchange"],
        "message": inner,
    }
    print("heard", json.dumps(seen), flush=True)
    message.ack()


bus = kombu.Exchange(exchange, type="topic", durable=True)
queue = kombu.Queue("witness-" + exchange, bus, routing_key=topic + ".*", durable=True)
announced = False
while True:
    try:
        with kombu.Connection(url) as connection, connection.Consumer(queue, callbacks=[heard]):
            if not announced:
                print("listening", flush=True)
                announced = True
            while True:
                connection.drain_events()
    except (OSError, amqp.exceptions.AMQPError, kombu.exceptions.KombuError) as error:
        print("away", error, flush=True)
        time.sleep(0.2)
