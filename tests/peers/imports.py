"""What programs ask of the system: for each slice the libraries, the oldest system, and the symbols from elsewhere."""

import json
import sys

import lief

lief.logging.disable()

N_STAB, N_TYPE, N_EXT = 0xE0, 0x0E, 0x01


def imported(symbol):
    """Undefined and external, as nm has it: also what nothing is bound to."""
    return not symbol.raw_type & N_STAB and symbol.raw_type & N_TYPE == 0 and symbol.raw_type & N_EXT


def slice_of(binary):
    return {
        "architecture": binary.header.cpu_type.name,
        "libraries": sorted(library.name for library in binary.libraries),
        "minimum": binary.build_version.minos[:2],
        "symbols": sorted(symbol.name for symbol in binary.symbols if imported(symbol)),
    }


def slices(path):
    # The slices go with the file that they are in.
    file = lief.MachO.parse(path)
    return [slice_of(file.at(number)) for number in range(file.size)]


json.dump({path: slices(path) for path in sys.argv[1:]}, sys.stdout)
