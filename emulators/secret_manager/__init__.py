"""Secret Manager over gRPC, as Google's own clients use it, in memory."""

from emulators.secret_manager.emulator import SecretManagerEmulator

__all__ = ["SecretManagerEmulator"]
