"""Reads lines of a value's description, a tab and our encoding of it in hexadecimal digits.

Fails unless pymobiledevice3 reads that encoding as the value described; answers with its own encoding of the value.
"""

import json
import struct
import sys

from pymobiledevice3.remote.xpc_message import XpcMessageType, XpcObject


def make(described):
    kind, value = described
    if kind == "DICTIONARY":
        value = [(bytes.fromhex(key).decode(), make(inner)) for key, inner in value]
    elif kind == "ARRAY":
        value = [make(inner) for inner in value]
    elif kind == "STRING":
        value = bytes.fromhex(value).decode()
    elif kind in ("DATA", "UUID"):
        value = bytes.fromhex(value)
    elif kind == "DOUBLE":
        (value,) = struct.unpack("<d", struct.pack("<Q", value))
    return XpcObject(XpcMessageType[kind], value)


for line in sys.stdin:
    described, encoded = line.split("\t")
    due, found = make(json.loads(described)), XpcObject.parse(bytes.fromhex(encoded))
    if due != found:
        sys.exit(f"{encoded.strip()} was read as {found}, not as {due}")
    print(due.build().hex())
