"""``python -m chattwist.bundle``: keys for a cluster whose replicas are on several machines.

Makes one directory a replica, each to be copied to its machine: with its own key and certificate, and the authority's
certificate. The authority's key is in none of them, and is not kept unless it is asked for: whoever has it can be any
replica. Kept, in OUT/ca, it makes the keys of replicas that are added to the cluster file later.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from chattwist.cluster import Address, Cluster, load
from chattwist.errors import StartError
from chattwist.replication import keys

KEPT = "ca"


def make(cluster: Cluster, out: str, keep: bool) -> list[Address]:
    """Make the bundles that are missing in the directory ``out``; StartError if there are some without their authority.

    Gives the replicas for which there is a new one.
    """
    kept = os.path.join(out, KEPT)
    if os.path.exists(os.path.join(kept, keys.AUTHORITY)):
        authority = keys.load_authority(kept)
    elif os.path.isdir(out) and os.listdir(out):
        raise StartError(
            f"{out} is not empty and has no {KEPT}/ to go on with: name a new directory, for new keys for all"
        )
    else:
        authority = keys.Authority.new()
    if keep:
        keys.make_directory(kept)
        keys.save_authority(kept, authority)
    new = [a for a in cluster.replicas if not os.path.exists(os.path.join(bundle(out, a), keys.file_name(a)))]
    for address in new:
        _make_one(authority, bundle(out, address), address)
    return new


def bundle(out: str, address: Address) -> str:
    """Where the keys of one replica are put."""
    return os.path.join(out, keys.file_name(address).removesuffix(".pem"))


def _make_one(authority: keys.Authority, directory: str, address: Address) -> None:
    keys.make_directory(directory)
    keys.write(directory, keys.AUTHORITY, keys.certificate_pem(authority.certificate))
    keys.write(directory, keys.file_name(address), authority.issue(address))


def main(arguments: Sequence[str]) -> None:
    """Make the bundles and print what to copy where; SystemExit, one line, on a mistake."""
    parser = argparse.ArgumentParser(
        "python -m chattwist.bundle", description="Make keys for replicas on several machines."
    )
    parser.add_argument("--cluster", required=True, metavar="FILE", help="the cluster file that all replicas read")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new directory, or one with a kept authority")
    parser.add_argument(
        "--keep-ca", action="store_true", help=f"keep the authority in DIR/{KEPT}, to add replicas later"
    )
    options = parser.parse_args(arguments)
    if not options.out:
        raise SystemExit("bundle: --out is empty")
    try:
        new = make(load(options.cluster), options.out, options.keep_ca)
    except StartError as error:
        raise SystemExit(f"bundle: {error}") from None
    except OSError as error:
        raise SystemExit(f"bundle: {error.filename or options.out}: {error.strerror}") from None
    for address in new:
        print(f"copy {bundle(options.out, address)}/* to {address.host}, into DIR/keys/ of its --data DIR")
    if not new:
        print("nothing to make: each replica of the cluster file has its keys")
    elif options.keep_ca:
        print(f"keep {os.path.join(options.out, KEPT)} away from all of them: whoever has it can be any replica")


if __name__ == "__main__":
    main(sys.argv[1:])
