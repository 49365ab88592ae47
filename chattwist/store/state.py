"""The small file beside the operations, replaced as a whole: what else a replica has to remember over a restart.

``state.json`` is one line of JSON, sealed with a checksum as the lines of the journal are.
"""

from chattwist.errors import StoreError
from chattwist.store import codec
from chattwist.store.disk import IDisk
from chattwist.store.files import new_file, readable

NAME = "state.json"


def save(disk: IDisk, data: bytes) -> None:
    """Replace what is remembered, durably, by a JSON object; DiskFull or DiskFailed: it is as before."""
    with new_file(disk, NAME) as file:
        file.write(codec.seal(data[:-1], 0)[0])
        file.publish()
    disk.close(file.handle)


def load(disk: IDisk) -> bytes:
    """What was saved last, or nothing; StoreError if the file is damaged."""
    if NAME not in disk.names():
        return b""
    with readable(disk, NAME), disk.reader(NAME) as file:
        line = file.read()
    if codec.verify(line, 0) is None:
        raise StoreError(f"{disk.path}/{NAME} is damaged. Restore it from a backup; or take it away, if another "
                         "replica runs, which gives this one everything, or if this is the only one")  # fmt: skip
    return line[: -codec.SEAL] + b"}"
