"""Reads a bundle with tools that the product does not use, and prints what it found as JSON.

plistlib reads every property list, LIEF and macholib every Mach-O, hashlib recomputes every hash. What the two Mach-O
readers disagree on, and every hash that differs, is listed under "wrong".
"""

import hashlib
import json
import os
import plistlib
import struct
import sys

import lief
from macholib.MachO import MachO
from macholib.mach_o import LC_CODE_SIGNATURE

lief.logging.disable()
root = sys.argv[1]
wrong = []
CPU = {0x01000007: "x86_64", 0x0100000C: "arm64"}


def files(top):
    for folder, folders, names in os.walk(top):
        for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            yield os.path.join(folder, name)


def relative(path):
    return os.path.relpath(path, root)


def blobs(data):
    """The blobs of an embedded signature, by slot."""
    magic, _length, count = struct.unpack_from(">III", data)
    assert magic == 0xFADE0CC0, hex(magic)
    found = {}
    for at in range(count):
        slot, offset = struct.unpack_from(">II", data, 12 + 8 * at)
        length = struct.unpack_from(">I", data, offset + 4)[0]
        found[slot] = data[offset : offset + length]
    return found


def code_directory(blob):
    fields = struct.unpack_from(">IIIIIIIIIBBBBI", blob)
    names = "magic length version flags hash_offset ident_offset special code limit hash_size hash_type platform page spare"
    cd = dict(zip(names.split(), fields))
    cd["identifier"] = blob[cd["ident_offset"] : blob.index(b"\0", cd["ident_offset"])].decode()
    cd["algorithm"] = {1: "sha1", 2: "sha256"}[cd["hash_type"]]
    cd["cdhash"] = hashlib.new(cd["algorithm"], blob).digest()[:20]
    size, start = cd["hash_size"], cd["hash_offset"]
    cd["pages"] = [blob[start + size * i : start + size * (i + 1)] for i in range(cd["code"])]
    cd["slots"] = {i: blob[start - size * i : start - size * (i - 1)] for i in range(1, cd["special"] + 1)}
    return cd


def check_hashes(path, slice_bytes, parts, cd, info, resources):
    digest = lambda data: hashlib.new(cd["algorithm"], data).digest()
    page = 1 << cd["page"]
    for i, expected in enumerate(cd["pages"]):
        if digest(slice_bytes[page * i : min(page * (i + 1), cd["limit"])]) != expected:
            wrong.append(f"{relative(path)}: page {i} has another hash")
    if len(cd["pages"]) * page < cd["limit"]:
        wrong.append(f"{relative(path)}: pages are missing")
    sealed = {1: info, 3: resources} | {slot: parts.get(slot) for slot in (2, 5, 7, 8, 9, 10, 11)}
    for slot, expected in cd["slots"].items():
        data = sealed.get(slot)
        if any(expected) and (data is None or digest(data) != expected):
            wrong.append(f"{relative(path)}: special slot {slot} has another hash")
        if not any(expected) and data is not None:
            wrong.append(f"{relative(path)}: special slot {slot} is empty")


def read(path):
    try:
        return open(path, "rb").read()
    except (FileNotFoundError, IsADirectoryError):
        return None


def macho(path, info=None, resources=None):
    slices = []
    theirs = MachO(path)
    whole = open(path, "rb").read()
    for header in theirs.headers:
        start, size = header.offset, header.size
        data = whole[start : start + size]
        binary = lief.MachO.parse(list(data)).at(0)
        arch = CPU[header.header.cputype & 0xFFFFFFFF]
        if int(binary.header.cpu_type) & 0xFFFFFFFF != header.header.cputype & 0xFFFFFFFF:
            wrong.append(f"{relative(path)}: LIEF and macholib see different architectures")
        entry = {
            "arch": arch,
            "minos": ".".join(map(str, binary.build_version.minos[:2])) if binary.has_build_version else None,
            "libraries": [library.name for library in binary.libraries],
            "rpaths": [rpath.path for rpath in binary.rpaths],
            "imports": sorted(symbol.name for symbol in binary.imported_symbols),
            "signed": binary.has_code_signature,
        }
        places = [command[1] for command in header.commands if command[0].cmd == LC_CODE_SIGNATURE]
        if bool(places) != binary.has_code_signature:
            wrong.append(f"{relative(path)}: LIEF and macholib disagree about the signature")
        if places:
            at, length = places[0].dataoff, places[0].datasize
            parts = blobs(data[at : at + length])
            directories = [code_directory(parts[slot]) for slot in sorted(parts) if slot == 0 or 0x1000 <= slot < 0x1005]
            for cd in directories:
                check_hashes(path, data, parts, cd, info, resources)
            best = max(directories, key=lambda cd: cd["hash_type"])
            entitlements = plistlib.loads(parts[5][8:]) if 5 in parts else None
            entry |= {
                "identifier": best["identifier"],
                "flags": best["flags"],
                "hashes": [cd["algorithm"] for cd in directories],
                "cdhash": best["cdhash"].hex(),
                "entitlements": entitlements,
                "der": 7 in parts,
                "constraints": [slot for slot in (8, 9, 10, 11) if slot in parts],
                "cms": len(parts.get(0x10000, b"")) > 8,
            }
        slices.append(entry)
    return slices


def check_seal(bundle, resources):
    """Every file is in CodeResources with its hash, and nothing else is."""
    contents = os.path.join(bundle, "Contents")
    sealed = plistlib.loads(resources)["files2"]
    executable = plistlib.load(open(os.path.join(contents, "Info.plist"), "rb"))["CFBundleExecutable"]
    present = set()
    nested = []
    for folder, folders, names in os.walk(contents):
        for name in list(folders):
            path = os.path.join(folder, name)
            if name.endswith((".xpc", ".framework")) and not os.path.islink(path):
                folders.remove(name)
                nested.append(path)
        links = [f for f in folders if os.path.islink(os.path.join(folder, f))]
        present |= {os.path.relpath(os.path.join(folder, name), contents) for name in names + links}
    present -= {f"MacOS/{executable}", "_CodeSignature/CodeResources", "Info.plist", "PkgInfo"}
    for path in sorted(present):
        full = os.path.join(contents, path)
        entry = sealed.pop(path, None)
        if entry is None:
            wrong.append(f"{relative(full)} is not sealed")
        elif os.path.islink(full):
            if entry.get("symlink") != os.readlink(full):
                wrong.append(f"{relative(full)}: another target is sealed")
        elif "hash2" in entry and entry["hash2"] != hashlib.sha256(open(full, "rb").read()).digest():
            wrong.append(f"{relative(full)}: another hash is sealed")
    for path in nested:
        entry = sealed.pop(os.path.relpath(path, contents), None)
        if entry is None or "cdhash" not in entry or "requirement" not in entry:
            wrong.append(f"{relative(path)} is not sealed as nested code")
        elif path.endswith(".xpc") and entry["cdhash"].hex() not in [s["cdhash"] for s in machos[main_executable(path)]]:
            wrong.append(f"{relative(path)}: another cdhash is sealed")
    for path in sealed:
        wrong.append(f"{path} is sealed in {relative(bundle)}, but not there")


def main_executable(bundle):
    info = plistlib.load(open(os.path.join(bundle, "Contents/Info.plist"), "rb"))
    return os.path.join("MacOS", info["CFBundleExecutable"]) and relative(
        os.path.join(bundle, "Contents/MacOS", info["CFBundleExecutable"])
    )


bundles = [root] + sorted(
    os.path.join(folder, name) for folder, names, _ in os.walk(root) for name in names if name.endswith(".xpc")
)
machos, plists = {}, {}
mains = {os.path.join(root, main_executable(b)): b for b in bundles}
for path in files(root):
    if os.path.islink(path):
        continue
    data = open(path, "rb").read()
    if path.endswith((".plist", "CodeResources")):
        plists[relative(path)] = plistlib.loads(data)
    if data[:4] in (b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe"):
        bundle = mains.get(path)
        version = os.path.dirname(path)
        if bundle:
            info, seal = os.path.join(bundle, "Contents/Info.plist"), os.path.join(bundle, "Contents")
        else:  # The code of a framework's version, or a file by itself, which has neither.
            info, seal = os.path.join(version, "Resources/Info.plist"), version
        info, resources = read(info), read(os.path.join(seal, "_CodeSignature/CodeResources"))
        machos[relative(path)] = macho(path, info, resources)
for bundle in bundles:
    resources = read(os.path.join(bundle, "Contents/_CodeSignature/CodeResources"))
    if resources:
        check_seal(bundle, resources)
json.dump({"wrong": wrong, "machos": machos, "plists": plists}, sys.stdout, default=lambda o: o.hex() if isinstance(o, bytes) else str(o))
