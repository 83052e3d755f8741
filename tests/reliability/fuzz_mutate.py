"""Mutations of a byte string: bits, chunks, lengths, splices; and of JSON documents as such."""

from __future__ import annotations

import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, Final

ODD_NUMBERS: Final[tuple[int, ...]] = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 1 << 20, (1 << 31) - 1, -(1 << 31), (1 << 32) - 1,
    (1 << 63) - 1, -(1 << 63),
)  # fmt: skip
ODD_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1e308, 1e-320, 10**30, "", "x" * 5000, "../../etc/passwd", "\x00", "é\ud800", [], {},
    [[]], {"": None}, "NaN", 0.5,
)  # fmt: skip
JSON_TOKENS: Final[tuple[bytes, ...]] = (b"{", b"}", b"[" * 3000, b'"', b"\\u", b"NaN", b"1e999", b",", b":", b"\x00")

Mutator = Callable[[random.Random, bytearray], bytearray]


def mutate(rng: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """A seed after one to six mutations; ``tokens`` are inserted whole now and then."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        kind = rng.randrange(9)
        if kind == 7:
            data = _splice(rng, data, rng.choice(seeds))
        elif kind == 8 and tokens:
            at = rng.randint(0, len(data))
            data[at:at] = rng.choice(tokens)
        else:
            data = rng.choice(_MUTATORS)(rng, data)
    return bytes(data)


def mutate_gently(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with one or two numbers changed: what passes the first checks and reaches the depths."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2))):
        data = rng.choice((_flip_bits, _odd_number, _nudge))(rng, data)
    return bytes(data)


def mutate_zip(rng: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """A zip with one member's content or name mutated and the checksums right, or with its bytes mutated."""
    if rng.random() < 0.4:
        return mutate(rng, seeds, tokens)
    with zipfile.ZipFile(io.BytesIO(rng.choice(seeds))) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    name, content = members[chosen]
    if rng.random() < 0.3:
        name = mutate(rng, [name.encode()], tokens).decode("latin-1") or "x"
    else:
        content = mutate(rng, [content]) if rng.random() < 0.5 else mutate_gently(rng, [content])
    members[chosen] = name, content
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", rng.choice((0, 8))) as archive:
        warnings.simplefilter("ignore")  # the same name twice is meant
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.replace("\x00", "") or "x"), content)
    return buffer.getvalue()


def mutate_json(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A JSON document with odd values at random places, or with its bytes mutated."""
    if rng.random() < 0.4:
        return mutate(rng, seeds, JSON_TOKENS)
    document = json.loads(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        document = _change(rng, document)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _change(rng: random.Random, value: Any) -> Any:
    """``value`` with one node replaced, removed or doubled, at any depth."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.08:
        return rng.choice(ODD_VALUES)
    changed: Any = value.copy()
    key = rng.choice(list(changed)) if isinstance(changed, dict) else rng.randrange(len(changed))
    deed = rng.random()
    if deed < 0.1:
        del changed[key]
    elif deed < 0.15 and isinstance(changed, list):
        changed += [changed[key]] * 50
    else:
        changed[key] = _change(rng, changed[key])
    return changed


def _flip_bits(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _odd_number(rng: random.Random, data: bytearray) -> bytearray:
    """A length, an offset, a count: an odd number in 1, 2, 4 or 8 bytes, of either byte order."""
    size = rng.choice((1, 2, 4, 4, 4, 8))
    if len(data) < size:
        return data
    number = rng.choice(ODD_NUMBERS) & ((1 << 8 * size) - 1)
    at = rng.randrange(len(data) - size + 1)
    data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    return data


def _nudge(rng: random.Random, data: bytearray) -> bytearray:
    """Some little-endian 32-bit number a little larger or smaller."""
    if len(data) < 4:
        return data
    at = rng.randrange(len(data) // 4) * 4
    (number,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, (number + rng.choice((-8, -4, -1, 1, 4, 8))) & 0xFFFFFFFF)
    return data


def _truncate(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randint(0, len(data))]


def _remove(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    del data[at : at + rng.choice((1, 2, 4, 64))]
    return data


def _double(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    data[at:at] = data[at : at + rng.choice((1, 4, 64, 512))] * rng.choice((1, 1, 8))
    return data


def _noise(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    noise = rng.randbytes(rng.choice((1, 4, 16, 64)))
    data[at : at + len(noise)] = noise
    return data


def _splice(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


_MUTATORS: Final[tuple[Mutator, ...]] = (_flip_bits, _flip_bits, _odd_number, _odd_number, _nudge, _truncate, _remove,
                                         _double, _noise)  # fmt: skip
