"""Files ``.safetensors``, read without the package: a length of eight bytes, a header of JSON, and the numbers.

https://github.com/huggingface/safetensors, format of version 0.3 and later.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError

KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
         "BOOL": "?"}  # fmt: skip
LONGEST = 100_000_000
"""Bytes of a header that the format allows."""


def read_safetensors(path: Path, option: str) -> dict[str, NDArray[Any]]:
    """Arrays by name; bfloat16 as float32, which holds it.

    Raises
    ------
    InputError
        If the file is missing or not of this format, naming option, file and reason.
    """
    if not path.is_file():
        raise InputError(f"{option} {path}: there is no such file")
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(LONGEST, len(content) - 8):
        raise InputError(f"{option} {path}: no file of safetensors: its header would have {size} bytes")
    try:
        header = json.loads(content[8 : 8 + size].decode("utf-8"))
        tensors = {name: facts for name, facts in header.items() if name != "__metadata__"}
        return {name: _array(facts, memoryview(content)[8 + size :]) for name, facts in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{option} {path}: no file of safetensors: {' '.join(str(error).split())}") from None


def _array(facts: dict[str, Any], content: memoryview) -> NDArray[Any]:
    kind, shape, (start, end) = facts["dtype"], [int(one) for one in facts["shape"]], facts["data_offsets"]
    half = kind == "BF16"
    if kind not in KINDS and not half:
        raise ValueError(f"numbers of {kind}; accepted are {', '.join(KINDS)} and BF16")
    stored = np.dtype("<u2" if half else KINDS[kind])
    if (
        min(shape, default=0) < 0
        or not 0 <= start <= end <= len(content)
        or end - start != math.prod(shape) * stored.itemsize
    ):
        raise ValueError(f"an array {shape} of {kind} from byte {start} to {end} of {len(content)}")
    values = np.frombuffer(content[start:end], dtype=stored).reshape(shape)
    # The upper half of a float32.
    return (values.astype("<u4") << 16).view("<f4") if half else values
