"""Keeps what Pub/Sub has from one run to the next, in one SQLite file.

It is written once, when the emulator ends in good order: nothing that was acknowledged to a
publisher is lost then. A process that is killed leaves the file of its last good end, so what was
published since is lost, and what was acknowledged since is delivered again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from emulators.pubsub.broker import Broker, Subscription
from emulators.pubsub.config import SubscriptionConfig, TopicConfig
from emulators.pubsub.delivery import Delivery, State
from emulators.pubsub.messages import Message

FILE_NAME: Final = "pubsub.sqlite"
_SCHEMA: Final = """
    CREATE TABLE broker (last_sequence INTEGER NOT NULL);
    CREATE TABLE topic (name TEXT PRIMARY KEY, config BLOB NOT NULL);
    CREATE TABLE subscription (
        name TEXT PRIMARY KEY, attached INTEGER NOT NULL, config BLOB NOT NULL
    );
    CREATE TABLE message (
        sequence INTEGER PRIMARY KEY, published INTEGER NOT NULL, ordering_key TEXT NOT NULL,
        wire BLOB NOT NULL
    );
    CREATE TABLE delivery (
        subscription TEXT NOT NULL, sequence INTEGER NOT NULL, acked INTEGER NOT NULL,
        failures INTEGER NOT NULL, PRIMARY KEY (subscription, sequence)
    );
    CREATE TABLE retained (
        topic TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (topic, sequence)
    );
"""


def save(broker: Broker, folder: Path) -> None:
    """Replaces the file in `folder` in one step, once the new one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new)) as database, database:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO broker VALUES (?)", (broker.last_sequence,))
        database.executemany(
            "INSERT INTO topic VALUES (?, ?)",
            ((name, topic.config.SerializeToString()) for name, topic in broker.topics.items()),
        )
        for name, topic in broker.topics.items():
            _save_messages(database, iter(topic.log))
            database.executemany(
                "INSERT INTO retained VALUES (?, ?)",
                ((name, message.sequence) for message in topic.log),
            )
        for subscription in broker.subscriptions.values():
            _save_subscription(database, subscription)
    new.replace(path)


def load(broker: Broker, folder: Path) -> None:
    """Fills an empty broker from the file in `folder`, if there is one."""
    path = folder / FILE_NAME
    if not path.exists():
        return
    with closing(sqlite3.connect(path)) as database:
        [(last_sequence,)] = database.execute("SELECT last_sequence FROM broker")
        broker.last_sequence = max(broker.last_sequence, last_sequence)
        messages = {
            row[0]: Message(*row)
            for row in database.execute(
                "SELECT sequence, published, ordering_key, wire FROM message"
            )
        }
        for (config,) in database.execute("SELECT config FROM topic ORDER BY name"):
            broker.create_topic(TopicConfig.FromString(config))
        for topic, sequence in database.execute(
            "SELECT topic, sequence FROM retained ORDER BY sequence"
        ):
            broker.topics[topic].log.append(messages[sequence])
        for name, attached, config in database.execute(
            "SELECT name, attached, config FROM subscription ORDER BY name"
        ):
            stored = SubscriptionConfig.FromString(config)
            subscription = broker.attach(stored, broker.topics[stored.topic] if attached else None)
            subscription.backlog.restore(_deliveries(database, name, messages))


def _save_subscription(database: sqlite3.Connection, subscription: Subscription) -> None:
    config = subscription.config
    attached = subscription.topic is not None
    database.execute(
        "INSERT INTO subscription VALUES (?, ?, ?)",
        (config.name, attached, config.SerializeToString()),
    )
    _save_messages(database, (delivery.message for delivery in subscription.backlog))
    database.executemany(
        "INSERT INTO delivery VALUES (?, ?, ?, ?)",
        (
            (config.name, d.message.sequence, d.state is State.ACKED, d.failures)
            for d in subscription.backlog
        ),
    )


def _save_messages(database: sqlite3.Connection, messages: Iterator[Message]) -> None:
    # Subscriptions of one topic share their messages.
    database.executemany(
        "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?)",
        ((m.sequence, m.published, m.ordering_key, m.wire) for m in messages),
    )


def _deliveries(
    database: sqlite3.Connection, subscription: str, messages: dict[int, Message]
) -> Iterator[Delivery]:
    for sequence, acked, failures in database.execute(
        "SELECT sequence, acked, failures FROM delivery WHERE subscription = ? ORDER BY sequence",
        (subscription,),
    ):
        state = State.ACKED if acked else State.READY
        yield Delivery(messages[sequence], state, failures=failures)
