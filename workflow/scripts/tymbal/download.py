"""Getting what others offer on the network: resumed, verified by checksum, and in place as a whole or not at all.

The standard library alone, as it runs where the workflow is started from, outside of containers.
"""

import gzip
import hashlib
import http.client
import logging
import lzma
import math
import re
import shutil
import subprocess
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tymbal.config.data import Archive
from tymbal.config.released import RELEASED, local_path
from tymbal.config.remote import Remote
from tymbal.errors import InputError
from tymbal.files import FULL, read_json, write_json
from tymbal.progress import Progress
from tymbal.roots import locate

log = logging.getLogger(__name__)

ATTEMPTS = 5  # of a transfer, each going on where the last broke off
WAIT_S = 5.0  # before the next
TIMEOUT_S = 60.0  # without a byte
CHUNK = 1 << 20
# What a host answers that is busy or being mended, and may answer otherwise soon.
PASSING = (
    http.client.REQUEST_TIMEOUT,
    http.client.TOO_MANY_REQUESTS,
    http.client.INTERNAL_SERVER_ERROR,
    http.client.BAD_GATEWAY,
    http.client.SERVICE_UNAVAILABLE,
    http.client.GATEWAY_TIMEOUT,
)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PART = re.compile(r"(.+)\.z\d\d")  # of a zip that was split
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True)
class Arrived:
    """A file as it arrived.

    Attributes:
        file: its name.
        url: where it was published, from wherever it was taken.
        bytes: its size.
        sha256: its checksum.
        verified: what it was held against, `sha256`, `md5`; empty if no checksum was published.
    """

    file: str
    url: str
    bytes: int
    sha256: str
    verified: str


def download(
    datasets: Mapping[str, Sequence[Archive]],
    checkpoints: Sequence[str],
    roots: Mapping[str, Path],
    mirror: str | None = None,
    results: Path = Path("results"),
) -> list[str]:
    """Get data sets and released checkpoints that are not there yet, and record what arrived.

    Args:
        datasets: name -> what it is made of: archives, and files that are kept as they are.
        checkpoints: names of released ones; they lie below the working directory.
        roots: name of a root -> folder.
        mirror: folder or address where files are looked for by their names, instead of at their own addresses.
        results: `NAME/download.json` in it: folder -> files, with size, checksum and what that was held against. Of a
            checkpoint it lies beside it.

    Returns:
        A line for each folder and file.

    Raises:
        InputError: the first that cannot be had.
    """
    told = []
    for name, archives in datasets.items():
        for into in dict.fromkeys(archive.into for archive in archives):
            folder = locate(into, roots)
            mine = [archive for archive in archives if archive.into == into]
            arrived = get_folder([archive for archive in mine if _is_packed(archive)], folder, mirror)
            record = results / name / "download.json"
            _record(record, into, mine, arrived)  # before any file beside it, which may fail
            for each in mine:
                if not _is_packed(each) and (one := get_file(each, folder / each.name, mirror)):
                    _record(record, into, mine, [one])
                    arrived.append(one)
            told.append(f"{name}: {_line(folder, arrived)}")
    for name in checkpoints:
        path = Path(local_path(name))
        one = get_file(RELEASED[name], path, mirror)
        told.append(f"{name} ({RELEASED[name].licence}): {_line(path, [one] if one else [])}")
        if one:
            write_json(path.with_name(f"{name}.download.json"), asdict(one))
    return told


def _record(path: Path, into: str, made_of: Sequence[Archive], arrived: Sequence[Arrived]) -> None:
    """Add what has arrived for a folder to what is told of it; what it is no longer made of is told no more."""
    if arrived:
        before = read_json(path) if path.exists() else {}
        told = {each["file"]: each for each in before.get(into, [])} | {each.file: asdict(each) for each in arrived}
        write_json(path, {**before, into: [told[each.name] for each in made_of if each.name in told]})


def _line(path: Path, arrived: Sequence[Arrived]) -> str:
    """What was done, for the terminal."""
    if not arrived:
        return f"{path} is there already"
    unverified = [each.file for each in arrived if not each.verified]
    size = f"{sum(each.bytes for each in arrived) / 1e6:.1f} MB"
    return f"{path}, {size}, " + (
        f"not verified, as no checksum was published: {', '.join(unverified)}" if unverified else "verified"
    )


def get_folder(archives: Sequence[Archive], folder: Path, mirror: str | None = None) -> list[Arrived]:
    """Get all archives of a folder, and unpack them into it.

    What is unfinished lies in a hidden folder beside it, from where another call goes on.

    Args:
        archives: what it is made of; without any, nothing is done.
        folder: made as a whole or not at all. If it is there and holds anything, nothing is done.
        mirror: folder or address where the files are looked for by their names, instead of at their own addresses.

    Returns:
        What arrived.

    Raises:
        InputError: there is no room, a file cannot be had, is not the published one, or cannot be unpacked.
    """
    if not archives or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        return []
    joined = {match[1] for archive in archives if (match := PART.fullmatch(archive.name))}
    if joined and shutil.which("zip") is None:
        raise InputError(
            f"{', '.join(sorted(joined))}: a zip in parts, which the program `zip` joins; it is not on PATH. Install "
            f"it (package zip), or join the parts elsewhere and unpack them into {folder} yourself."
        )
    folder = folder.resolve()  # what a link points to is replaced, on the disk that it is on
    work = folder.with_name(f".{folder.name}.download")
    work.mkdir(parents=True, exist_ok=True)
    _require_room(archives, work, mirror, len(joined))
    arrived = [_fetch(archive, work, mirror) for archive in archives]

    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    for archive, (path, _) in zip(archives, arrived, strict=True):
        if PART.fullmatch(archive.name):
            continue
        log.info("unpacking %s", path)
        try:
            _unpack(_joined(path, work) if path.stem in joined else path, unpacked, archive.strip)
        except DAMAGED as error:
            if path.parent == work:
                path.unlink()
            raise InputError(
                f"{path} cannot be unpacked ({error}): it is damaged, or no archive but, say, a page of its host. See "
                f"what {archive.url} offers, and try again."
            ) from error
        except RuntimeError as error:  # zipfile's: there is a password, or an unknown compression
            raise InputError(
                f"{path} cannot be unpacked here ({error}). Unpack it into {folder} with another program."
            ) from error
        except OSError as error:
            raise _full(unpacked, error) from error
    unpacked.replace(folder)
    shutil.rmtree(work)
    return [told for _, told in arrived]


def get_file(remote: Remote, path: Path, mirror: str | None = None) -> Arrived | None:
    """Get one file; None if it is there already.

    Args:
        remote: where it is.
        path: what it is to be called.
        mirror: as of `get_folder`.

    Raises:
        InputError: as there.
    """
    if path.exists():
        return None
    work = path.with_name(f".{path.name}.download")
    work.mkdir(parents=True, exist_ok=True)
    _require_room([remote], work, mirror, 0)
    found, told = _fetch(remote, work, mirror)
    if found.parent == work:
        found.replace(path)
    else:
        shutil.copyfile(found, work / "copy")
        (work / "copy").replace(path)
    shutil.rmtree(work)
    return told


def _is_packed(remote: Remote) -> bool:
    return remote.name.endswith((".zip", *TARS)) or PART.fullmatch(remote.name) is not None


def _is_address(mirror: str | None) -> bool:
    return mirror is None or mirror.startswith(("http://", "https://"))


def _require_room(remotes: Sequence[Remote], work: Path, mirror: str | None, n_joined: int) -> None:
    """Stop before anything is transferred if it cannot fit; what is unpacked is counted as large as its archive."""
    sizes = {remote.name: remote.bytes or 0 for remote in remotes}
    here = sum(path.stat().st_size for path in work.glob("*") if path.name.removesuffix(".part") in sizes)
    whole = sum(sizes.values())
    copies = _is_address(mirror) + any(map(_is_packed, remotes)) + bool(n_joined)
    needed, free = max(0, copies * whole - here), shutil.disk_usage(work).free
    unknown = sum(remote.bytes is None for remote in remotes)
    more = f", and {unknown} files of a size that was not published" if unknown else ""
    log.info("needed in %s: %.1f GB or more%s; free: %.1f GB", work.parent, needed / 1e9, more, free / 1e9)
    if needed > free:
        raise InputError(
            f"{work.parent}: {needed / 1e9:.1f} GB are needed or more ({whole / 1e9:.1f} GB of archives{more}, and "
            f"what is unpacked of them), {free / 1e9:.1f} GB are free. Make room, or set `data_root` to a larger disk."
        )


def _fetch(remote: Remote, work: Path, mirror: str | None) -> tuple[Path, Arrived]:
    """The file, verified: in the mirror if that is a folder, else in `work`."""
    if mirror is not None and not _is_address(mirror):
        path = Path(mirror, remote.name)
        if not path.is_file():
            raise InputError(
                f"{path}: no such file. `mirror` is the folder {mirror}: put {remote.name} there, or leave `mirror` "
                f"out to get it from {remote.url}"
            )
    else:
        path = work / remote.name
        address = remote.url if mirror is None else f"{mirror.rstrip('/')}/{quote(remote.name)}"
        if not path.exists():
            _transfer(address, remote, work / f"{remote.name}.part")
            (work / f"{remote.name}.part").replace(path)
    return path, _verified(path, remote, ours=path.parent == work)


def _transfer(address: str, remote: Remote, path: Path) -> None:
    """Get a file, in several attempts if need be."""
    if not (remote.sha256 or remote.md5):
        path.unlink(missing_ok=True)  # nothing would tell whether two halves belong together
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _go_on(address, remote, path)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, HTTPError) and error.code not in PASSING:
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # nothing is left; the checksum tells whether that is all of it
                raise InputError(
                    f"{address}: the host answers {error.code} {error.reason}. See whether the file has moved; with "
                    "--config mirror=FOLDER it is taken from a folder of this machine."
                ) from error
            if isinstance(error, OSError) and error.errno in FULL:
                raise _full(path, error) from error
            log.warning("%s, attempt %d of %d: %s", address, attempt, ATTEMPTS, error)
            if attempt == ATTEMPTS:
                raise InputError(
                    f"{address}: broke off {ATTEMPTS} times, the last time with: {error}. The same command goes on "
                    "from what has arrived. Without a network here: get the file elsewhere and give "
                    "--config mirror=FOLDER."
                ) from error
            time.sleep(WAIT_S)
        else:
            return


def _go_on(address: str, remote: Remote, path: Path) -> None:
    """Append to a file what it lacks."""
    have = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": "tymbal"} | ({"Range": f"bytes={have}-"} if have else {})
    with urlopen(Request(address, headers=headers), timeout=TIMEOUT_S) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # the host gives all of it, whatever was asked for
        rest = response.headers.get("Content-Length")
        promised = None if rest is None else have + int(rest)
        total = promised or remote.bytes
        progress = Progress(remote.name, math.ceil(total / 1e6), "MB", done=int(have / 1e6)) if total else None
        with path.open("ab" if have else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                if progress:
                    progress.add(int(file.tell() / 1e6) - progress.done)
    size = path.stat().st_size
    if promised is not None and size < promised:
        raise ConnectionError(f"the connection ended after {size} of {promised} bytes")


def _verified(path: Path, remote: Remote, ours: bool) -> Arrived:
    """What a file is, if it is the published one; else it is removed if it is `ours`."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", "md5")}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    size = path.stat().st_size
    found = {"bytes": size, **{name: digest.hexdigest() for name, digest in digests.items()}}
    wrong = [
        f"{key} is {found[key]}, published was {published}"
        for key in found
        if (published := getattr(remote, key)) is not None and found[key] != published
    ]
    if wrong:
        if ours:
            path.unlink()
        what = "It is removed; try again. If it is the same again, t" if ours else "T"
        raise InputError.listing(
            f"{path}, from {remote.url}: not the file that was published",
            wrong,
            f"{what}he host has another version: see what changed, and correct `bytes` and the checksum if you want it",
        )
    verified = "sha256" if remote.sha256 else "md5" if remote.md5 else ""
    if not verified:
        log.warning("%s: no checksum was published; not verified. Its sha256 is %s", remote.name, found["sha256"])
    return Arrived(remote.name, remote.url, size, str(found["sha256"]), verified)


def _joined(path: Path, work: Path) -> Path:
    """A zip in one piece, from the last of its parts; the others lie beside it."""
    whole = work / "joined.zip"
    whole.unlink(missing_ok=True)
    log.info("joining the parts of %s", path)
    done = subprocess.run(
        ["zip", "-q", "-s", "0", str(path), "--out", str(whole)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise InputError(f"{path}: its parts cannot be joined; zip says: {done.stdout}{done.stderr}".rstrip())
    return whole


def _unpack(path: Path, folder: Path, strip: int) -> None:
    """Write the files of an archive below `folder`."""
    for name, content in _members(path):
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or ".." in parts:
            raise InputError(f"{path}: holds {name!r}, which would lie outside its folder. Nothing was unpacked.")
        if not parts[strip:]:
            raise InputError(f"{path}: `strip` drops {strip} folders of each name, but {name!r} has no more than that.")
        target = folder.joinpath(*parts[strip:])
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
        except FileExistsError:
            raise InputError(f"{path}: {name!r} is there twice, or in another archive too.") from None


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file of an archive."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as content:
                        yield info.filename, content
    else:
        with tarfile.open(path) as tarred:
            for member in tarred:
                if member.isdir():
                    continue
                if not member.isfile():
                    raise InputError(f"{path}: {member.name!r} is a link or a device; expected files and folders.")
                stream = tarred.extractfile(member)
                assert stream is not None
                with stream:
                    yield member.name, stream
            assert tarred.fileobj is not None
            while tarred.fileobj.read(CHUNK):  # to the very end, where the checksum of what was compressed is
                pass


def _full(path: Path, error: OSError) -> Exception:
    """The error to raise: in words if the disk is full."""
    if error.errno in FULL:
        return InputError(f"{path}: the disk is full ({error.strerror}). Make room; the same command then goes on.")
    return error
