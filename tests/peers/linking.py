"""What the linker was told: rpaths, and the room between the load commands and the first section."""

import json
import sys

import lief

lief.logging.disable()
binary = lief.MachO.parse(sys.argv[1]).at(0)
end = 32 + binary.header.sizeof_cmds
first = min(section.offset for section in binary.sections if section.offset)
json.dump({"rpaths": [rpath.path for rpath in binary.rpaths], "room": first - end}, sys.stdout)
