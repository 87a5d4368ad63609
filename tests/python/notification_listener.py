"""A listener for notifications, as any OpenStack service would have one: writes each down as a line of JSON."""

import json
import sys

import oslo_messaging
from oslo_config import cfg


def say(line):
    """In one piece: two threads say something here."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Endpoint:
    def info(self, context, publisher_id, event_type, payload, metadata):
        heard = {
            "context": {key: value for key, value in context.items() if value is not None},
            "publisher_id": publisher_id,
            "event_type": event_type,
            "payload": payload,
            "metadata": metadata,
        }
        say("heard " + json.dumps(heard))


url, exchange, topic = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=url)
# What waits longest is a listener of a cloud whose queues last.
conf.set_override("amqp_durable_queues", True, group="oslo_messaging_rabbit")
target = oslo_messaging.Target(topic=topic, exchange=exchange)
listener = oslo_messaging.get_notification_listener(transport, [target], [Endpoint()], executor="threading")
# One thread, as for anybody to whom order matters: with more, messages overtake one another in the listener itself.
conf.set_override("executor_thread_pool_size", 1)
listener.start()
say("listening")
listener.wait()
