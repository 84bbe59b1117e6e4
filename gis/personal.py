"""Personal data of callers: sealed where it is kept, masked where it is shown, pseudonymised where it is compared.

Knows keys and forms of values; knows no database and no case. Every key comes from ``WANGGE_SECRET``.
"""

import secrets
import unicodedata
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gis import errors
from gis.settings import settings

_NONCE: Final = 12
_TAG: Final = 16


def seal(value: str, bound_to: str) -> bytes:
    """SM4-GCM of ``value``: nonce, ciphertext, tag. It opens only with the same ``bound_to``, so none can be moved."""
    nonce = secrets.token_bytes(_NONCE)
    cipher = Cipher(algorithms.SM4(_key("seal", 16)), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(bound_to.encode())
    return nonce + cipher.update(value.encode()) + cipher.finalize() + cipher.tag


def unseal(sealed: bytes, bound_to: str) -> str:
    """What was sealed. Raises ``SealBroken`` for another secret, another ``bound_to`` or changed bytes."""
    nonce, body, tag = sealed[:_NONCE], sealed[_NONCE:-_TAG], sealed[-_TAG:]
    try:
        cipher = Cipher(algorithms.SM4(_key("seal", 16)), modes.GCM(nonce, tag)).decryptor()
        cipher.authenticate_additional_data(bound_to.encode())
        return (cipher.update(body) + cipher.finalize()).decode()
    except (InvalidTag, ValueError) as error:
        raise errors.SealBroken() from error


def pseudonym(phone: str) -> bytes:
    """32 bytes that are the same for the same telephone number and tell nobody without the secret which it is."""
    return keyed("subject", plain_phone(phone).encode())


def keyed(purpose: str, content: bytes) -> bytes:
    """HMAC-SM3 of ``content`` under the key of ``purpose``: a digest that nobody else can try guesses on."""
    mac = HMAC(_key(purpose, 32), SM3())
    mac.update(content)
    return mac.finalize()


def plain_phone(text: str) -> str:
    """A telephone number in its one form: digits only, without the country's 86."""
    digits = "".join(c for c in unicodedata.normalize("NFKC", text) if c.isascii() and c.isdigit())
    longer = len(digits) > 11 and (digits.startswith("86") or digits.startswith("0086"))
    return digits.removeprefix("00").removeprefix("86") if longer else digits


def mask_phone(phone: str) -> str:
    """``138****5678``; of a short number only the last two digits."""
    digits = plain_phone(phone)
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) >= 10 else f"****{digits[-2:]}"


def mask_name(name: str) -> str:
    """The first character, and how many were meant to follow is not told."""
    return f"{name.strip()[:1]}**"


@lru_cache(maxsize=16)
def _derived(secret: str, purpose: str, length: int) -> bytes:
    return HKDF(SM3(), length, salt=None, info=f"wangge {purpose}".encode()).derive(secret.encode())


def _key(purpose: str, length: int) -> bytes:
    return _derived(settings().secret, purpose, length)
