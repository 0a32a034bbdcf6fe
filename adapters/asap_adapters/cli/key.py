"""`asap key`: the key that an agent signs its manifest with."""

from __future__ import annotations

import os
from typing import Annotated, Any

from cyclopts import Parameter

from asap_proto.errors import Misuse

from .commands import Json
from .fronts import extra_missing
from .outcome import FAILED, OK, USAGE, Stop
from .output import print_json

__all__ = ["key", "read_key"]


def key(
    file: Annotated[str, Parameter(help="Where the private key is, or is to be.")],
    /,
    *,
    new: Annotated[
        bool, Parameter(negative="", show_default=False, help="Make it; a file that is there stays.")
    ] = False,
    json: Json = False,
) -> int:
    """Print the public key, with --new of a private one that is made now and that its owner alone may read."""
    private = _made(file) if new else read_key(file)
    if json:
        print_json({"public_key": private.public})
    else:
        print(private.public)
    return OK


def read_key(file: str) -> Any:
    """The key of a file; raises `Stop`."""
    remedy = f"Make one: asap key {file} --new"
    try:
        return _signing_key().read(file)
    except OSError as error:
        raise Stop(USAGE, f"can't read {file}: {error.strerror or error}", remedy=remedy) from None
    except Misuse as error:
        raise Stop(USAGE, error.message, remedy="Name a file that `asap key FILE --new` has made.") from None


def _made(file: str) -> Any:
    private = _signing_key().new()
    try:
        # Nobody else may read it, not for a moment; and no key is ever lost to a new one.
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Stop(FAILED, f"{file} is there already", remedy="Name another file, or leave --new out.") from None
    except OSError as error:
        raise Stop(USAGE, f"can't write {file}: {error.strerror or error}", remedy="Name another file.") from None
    with open(handle, "wb") as opened:
        opened.write(private.pem())
    return private


def _signing_key() -> Any:
    try:
        from ..auth.manifests import SigningKey
    except ModuleNotFoundError as error:
        raise extra_missing(error, "auth") from None
    return SigningKey
