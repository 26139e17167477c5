"""Makes the wheel of cgi2wsgi; it is also the PEP 517 backend that pyproject.toml names for pip.

The front is one of the wheel's scripts and the worker is in its package, under the name that the front looks for.
maturin (1.16 was tried) cannot make this wheel from the sources: for an extension module it builds no executable, it
names the library after the module, without the build, and its data folder, whose files could be scripts, must exist
before it starts.
"""

import base64
import hashlib
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXECUTABLE, READABLE = 0o100755, 0o100644


def of_cargo(name):
    """A key of the workspace's package in Cargo.toml, which no Python before 3.11 can parse."""
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^%s = "(.*)"$' % name, text, re.MULTILINE).group(1)


def metadata():
    """PEP 566, with the licence expression of PEP 639."""
    head = [
        "Metadata-Version: 2.4",
        "Name: cgi2wsgi",
        "Version: " + of_cargo("version"),
        "Summary: " + of_cargo("description"),
        "License-Expression: " + of_cargo("license"),
        "License-File: LICENSE",
        "Keywords: cgi,wsgi,web,server",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Python :: Implementation :: CPython",
        "Classifier: Programming Language :: Rust",
        "Classifier: Topic :: Internet :: WWW/HTTP :: WSGI :: Server",
        "Requires-Python: >=3.9",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(head) + "\n\n" + (ROOT / "README.md").read_text(encoding="utf-8")


def make(parts, platform, directory):
    """Zips what packaging/parts has put into `parts`. Returns the wheel's name."""
    name = "cgi2wsgi-" + of_cargo("version")
    tag = "cp39-abi3-" + platform
    information = name + ".dist-info/"
    (worker,) = pathlib.Path(parts).glob("cgi2wsgi_worker-*.so")
    package = '"""Carries the worker of cgi2wsgi, which the executable in bin/ finds here."""\n'
    wheel = "Wheel-Version: 1.0\nGenerator: packaging/wheel.py\nRoot-Is-Purelib: false\nTag: %s\n"
    files = [
        ("cgi2wsgi/__init__.py", READABLE, package.encode()),
        ("cgi2wsgi/" + worker.name, EXECUTABLE, worker.read_bytes()),
        (name + ".data/scripts/cgi2wsgi", EXECUTABLE, (pathlib.Path(parts) / "cgi2wsgi").read_bytes()),
        (information + "METADATA", READABLE, metadata().encode()),
        (information + "WHEEL", READABLE, (wheel % tag).encode()),
        (information + "licenses/LICENSE", READABLE, (ROOT / "LICENSE").read_bytes()),
    ]
    record = []
    for path, _, content in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append("%s,sha256=%s,%d\n" % (path, digest, len(content)))
    record.append(information + "RECORD,,\n")
    files.append((information + "RECORD", READABLE, "".join(record).encode()))
    file = "%s-%s.whl" % (name, tag)
    with zipfile.ZipFile(pathlib.Path(directory) / file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, mode, content in files:
            entry = zipfile.ZipInfo(path)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return file


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """For this machine: `pip install .`, with cargo's profile from `--config-settings profile=dev`."""
    profile = (config_settings or {}).get("profile", "release")
    with tempfile.TemporaryDirectory() as parts:
        subprocess.run([ROOT / "packaging/parts", parts, profile], check=True, stdout=sys.stderr)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return make(parts, platform, wheel_directory)


def build_sdist(sdist_directory, config_settings=None):
    """The files that git lists."""
    name = "cgi2wsgi-" + of_cargo("version")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as information:
        information.write(metadata())
        information.flush()
        with tarfile.open(pathlib.Path(sdist_directory) / (name + ".tar.gz"), "w:gz") as archive:
            for path in listed.stdout.decode().split("\0")[:-1]:
                archive.add(ROOT / path, name + "/" + path)
            archive.add(information.name, name + "/PKG-INFO")
    return name + ".tar.gz"


if __name__ == "__main__":
    print(make(*sys.argv[1:]))
