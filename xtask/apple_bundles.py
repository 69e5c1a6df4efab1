"""Takes the apps out of wheels: `apple_bundles.py <folder of wheels> <folder for apps>`. Zip files keep modes, and `zipfile` does not."""

import pathlib
import sys
import tarfile
import zipfile

wheels, apps = map(pathlib.Path, sys.argv[1:])
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".app.tar"):
                with archive.open(entry) as stream, tarfile.open(fileobj=stream) as tar:
                    tar.extractall(apps, filter="data")
            elif "/_CodeSignature/" in entry.filename:
                # One signed app: `Package/X.app/…`
                app = entry.filename.split(".app/")[0] + ".app/"
                for inner in archive.infolist():
                    if inner.filename.startswith(app):
                        place = apps / inner.filename.partition("/")[2]
                        place.parent.mkdir(parents=True, exist_ok=True)
                        place.write_bytes(archive.read(inner))
                        place.chmod((inner.external_attr >> 16) & 0o777)
