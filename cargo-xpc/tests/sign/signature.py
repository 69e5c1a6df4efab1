"""Reads all that a signature of a program can hold, with LIEF, hashlib, plistlib and cryptography, and prints it as JSON.

signature.py PROGRAM INFO-PLIST CODE-RESOURCES. Every hash is computed anew, every signature checked with the key of its certificate; what
does not hold ends the program.
"""

import hashlib
import json
import plistlib
import struct
import sys

import lief
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs7

lief.logging.disable()
path, info, resources = sys.argv[1:]
whole = open(path, "rb").read()
ALGORITHMS = {1: "sha1", 2: "sha256"}
HASHES = {"1.3.14.3.2.26": "sha1", "2.16.840.1.101.3.4.2.1": "sha256"}


def tlv(data, at=0):
    """Tag, content, and where the next value begins."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[at : at + count], "big"), at + count
    return tag, data[at : at + length], at + length


def values(data):
    """The values in a content: tag, content, and all of it."""
    at, found = 0, []
    while at < len(data):
        tag, content, after = tlv(data, at)
        found.append((tag, content, data[at:after]))
        at = after
    return found


def oid(content):
    numbers, number = [content[0] // 40, content[0] % 40], 0
    if numbers[0] > 2:
        numbers = [2, content[0] - 80]
    for byte in content[1:]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers, number = numbers + [number], 0
    return ".".join(map(str, numbers))


def core_entitlements(data):
    """Apple's DER form of a dictionary: [APPLICATION 16] { version, [16] { SEQUENCE { key, value }* } }."""
    tag, content, end = tlv(data)
    assert tag == 0x70 and end == len(data), hex(tag)
    (_, version, _), (tag, _, whole) = values(content)
    assert version == b"\1" and tag == 0xB0
    return core_value(whole)


def core_value(data):
    tag, content, _ = tlv(data)
    if tag == 0x01:
        return content != b"\0"
    if tag == 0x02:
        return int.from_bytes(content, "big", signed=True)
    if tag == 0x0C:
        return content.decode()
    if tag == 0x30:
        return [core_value(value) for _, _, value in values(content)]
    assert tag == 0xB0, hex(tag)
    pairs = [[part for _, _, part in values(pair)] for _, pair, _ in values(content)]
    keys = [core_value(key) for key, _ in pairs]
    assert keys == sorted(keys), keys
    return {core_value(key): core_value(value) for key, value in pairs}


def signed_message(der, content):
    """Checks a signed message with one signer over `content`; its attributes, its certificates from the signer up, and its signature."""
    certificates = pkcs7.load_der_pkcs7_certificates(der)
    kind, explicit = [part for _, part, _ in values(tlv(der)[1])]
    assert oid(kind) == "1.2.840.113549.1.7.2"
    fields = values(tlv(explicit)[1])
    if content is None:
        inner = values(fields[2][1])
        assert oid(inner[0][1]) == "1.2.840.113549.1.9.16.1.4"
        content = tlv(inner[1][1])[1]
    (_, signer, _) = values(fields[-1][1])[0]
    parts = values(signer)
    (tag, named, _), (_, algorithm, _) = parts[1:3]
    assert tag == 0x30
    serial = int.from_bytes(values(named)[1][1], "big")
    leaf = next(it for it in certificates if it.serial_number == serial and it.issuer.public_bytes() == values(named)[0][2])
    name = HASHES[oid(values(algorithm)[0][1])]
    assert parts[3][0] == 0xA0
    attributes = {}
    for _, attribute, _ in values(parts[3][1]):
        (_, kind, _), (_, held, _) = values(attribute)
        attributes[oid(kind)] = values(held)
    assert attributes["1.2.840.113549.1.9.4"][0][1] == hashlib.new(name, content).digest()
    # Signed as the set that they are, and not under the tag that they stand under.
    signature = parts[5][1]
    digest = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}[name]
    leaf.public_key().verify(signature, b"\x31" + parts[3][2][1:], padding.PKCS1v15(), digest)
    chain = [leaf]
    while chain[-1].issuer != chain[-1].subject:
        issuer = next(it for it in certificates if it.subject == chain[-1].issuer)
        chain[-1].verify_directly_issued_by(issuer)
        chain.append(issuer)
    chain[-1].verify_directly_issued_by(chain[-1])
    unsigned = {oid(values(it)[0][1]): values(values(it)[1][1]) for _, it, _ in values(parts[6][1])} if len(parts) > 6 else {}
    return attributes, unsigned, chain, signature, content


def common_name(certificate):
    return certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def directory(blob):
    magic, length, version, flags, hashes_at, name_at, special, pages, limit = struct.unpack_from(">9I", blob)
    size, kind, _, page = struct.unpack_from(">4B", blob, 36)
    assert magic == 0xFADE0C02 and length == len(blob)
    at = lambda index: blob[hashes_at + size * index : hashes_at + size * (index + 1)]
    return {
        "algorithm": ALGORITHMS[kind],
        "identifier": blob[name_at : blob.index(b"\0", name_at)].decode(),
        "limit": limit,
        "page": 1 << page,
        "pages": [at(index) for index in range(pages)],
        "special": {slot: at(-slot) for slot in range(1, special + 1)},
        "flags": flags,
        "blob": blob,
    }


def check_hashes(cd, code, blobs):
    digest = lambda data: hashlib.new(cd["algorithm"], data).digest()
    size, limit = cd["page"], cd["limit"]
    assert [digest(code[at : min(at + size, limit)]) for at in range(0, limit, size)] == cd["pages"]
    sealed = {1: open(info, "rb").read(), 3: open(resources, "rb").read()} | {slot: data for slot, data in blobs.items() if 1 < slot < 0x1000}
    assert max(sealed) <= max(cd["special"]), (sorted(sealed), sorted(cd["special"]))
    for slot, expected in cd["special"].items():
        assert expected == (digest(sealed[slot]) if slot in sealed else bytes(len(expected))), slot


def signature(binary):
    blob = bytes(binary.code_signature.content)
    magic, length, count = struct.unpack_from(">3I", blob)
    assert magic == 0xFADE0CC0
    blobs = {}
    for index in range(count):
        slot, at = struct.unpack_from(">II", blob, 12 + 8 * index)
        blobs[slot] = blob[at : at + struct.unpack_from(">I", blob, at + 4)[0]]
    code = whole[binary.fat_offset :]
    directories = [directory(blobs[slot]) for slot in sorted(blobs) if slot == 0 or 0x1000 <= slot < 0x1005]
    for cd in directories:
        check_hashes(cd, code, blobs)
    attributes, unsigned, chain, value, _ = signed_message(blobs[0x10000][8:], blobs[0])
    hashed = lambda cd: hashlib.new(cd["algorithm"], cd["blob"]).digest()
    listed = plistlib.loads(attributes["1.2.840.113635.100.9.1"][0][1])["cdhashes"]
    assert listed == [hashed(cd)[:20] for cd in directories]
    table = {HASHES[oid(values(pair)[0][1])]: values(pair)[1][1] for _, pair, _ in attributes["1.2.840.113635.100.9.2"]}
    assert table == {cd["algorithm"]: hashed(cd) for cd in directories}
    (_, _, token), = unsigned["1.2.840.113549.1.9.16.2.14"]
    _, _, clock, _, stamp = signed_message(token, None)
    fields = values(tlv(stamp)[1])
    algorithm, imprint = [part for _, part, _ in values(fields[2][1])]
    assert imprint == hashlib.new(HASHES[oid(values(algorithm)[0][1])], value).digest()
    return {
        "slots": sorted(blobs),
        "identifiers": sorted({cd["identifier"] for cd in directories}),
        "algorithms": [cd["algorithm"] for cd in directories],
        "cdhash": hashed(directories[-1])[:20].hex(),
        "chain": [common_name(it) for it in chain],
        "stamped-by": [common_name(it) for it in clock],
        "entitlements": plistlib.loads(blobs[5][8:]) if 5 in blobs else None,
        "entitlements-der": core_entitlements(blobs[7][8:]) if 7 in blobs else None,
        "constraints": {slot: core_entitlements(blobs[slot][8:]) for slot in range(8, 12) if slot in blobs},
    }


fat = lief.MachO.parse(path)
json.dump([signature(fat.at(index)) for index in range(len(fat))], sys.stdout)
