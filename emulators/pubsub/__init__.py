"""Pub/Sub over gRPC, as Google's own clients use it, in memory."""

from emulators.pubsub.emulator import PubSubEmulator

__all__ = ["PubSubEmulator"]
