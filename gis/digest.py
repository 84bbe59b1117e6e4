"""SM3 (GM/T 0004-2012): the digest of events, definitions and snapshots. Knows nothing of what is digested."""

from cryptography.hazmat.primitives.hashes import SM3, Hash


def sm3(*parts: bytes) -> bytes:
    """The 32-byte SM3 digest of the parts joined."""
    state = Hash(SM3())
    for part in parts:
        state.update(part)
    return state.finalize()


def sm3_hex(*parts: bytes) -> str:
    """The digest as 64 hexadecimal digits."""
    return sm3(*parts).hex()
