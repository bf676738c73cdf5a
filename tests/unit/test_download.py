"""Downloads, from a server of this machine's own: resumed, verified, unpacked whole or not at all."""

import hashlib
import http.server
import io
import json
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tymbal import download
from tymbal.config.data import Archive
from tymbal.config.released import RELEASED, local_path
from tymbal.config.remote import Remote
from tymbal.download import get_file, get_folder
from tymbal.errors import InputError

NOISE = np.random.default_rng(0).bytes(3_000_000)  # some chunks, which no compression makes smaller


@dataclass
class Host:
    """What a server offers, how it behaves, and what it was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)  # of the next answers: bytes after which the connection ends
    errors: list[int] = field(default_factory=list)  # the next answers, in place of the file
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and range

    def offer(self, name: str, content: bytes, **given) -> Archive:
        """A file of the server's, of which nothing but what is given was published."""
        self.files[f"/{name}"] = content
        return Archive(url=f"{self.address}/{name}", into="set", **given)


@pytest.fixture
def host() -> Iterator[Host]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, _ = self.path.partition("?")
            wanted = self.headers.get("Range")
            offered.asked.append((self.path, wanted))
            if offered.errors:
                self.send_error(offered.errors.pop(0))
                return
            if path == "/moved.zip":
                self.send_response(302)
                self.send_header("Location", "/set.zip")
                self.end_headers()
                return
            if path not in offered.files:
                self.send_error(404)
                return
            content = offered.files[path]
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and offered.ranges else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + offered.breaks.pop(0) if offered.breaks else None
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    offered = Host(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield offered
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(download, "WAIT_S", 0)


def zipped(**files: bytes) -> bytes:
    """A zip with a folder `top/` in which they lie."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("top")
        for name, content in files.items():
            archive.writestr(f"top/{name}", content)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo, name: str = "", content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member)
        if name:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def published(content: bytes, algorithm: str = "sha256") -> dict[str, str | int]:
    """Size and checksum."""
    return {"bytes": len(content), algorithm: hashlib.new(algorithm, content).hexdigest()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- a folder ---------------------------------------------------------------------------------------------


def test_archives_are_unpacked_into_one_folder_and_nothing_else_is_left(host, tmp_path):
    one, two = zipped(a=b"1", b=NOISE), tarred(name="./sub/c.wav", content=b"3")
    archives = [
        host.offer("one.zip", one, **published(one), strip=1),
        host.offer("two.tar.gz", two, **published(two, "md5")),
    ]
    arrived = get_folder(archives, tmp_path / "set")
    assert contents(tmp_path) == {"set/a": b"1", "set/b": NOISE, "set/sub/c.wav": b"3"}
    assert [(each.file, each.bytes, each.verified) for each in arrived] == [
        ("one.zip", len(one), "sha256"),
        ("two.tar.gz", len(two), "md5"),
    ]
    assert arrived[1].sha256 == hashlib.sha256(two).hexdigest()


def test_what_is_there_is_neither_asked_for_nor_touched(host, tmp_path):
    archive = host.offer("set.zip", zipped(a=b"new"), strip=1)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_bytes(b"old")
    assert get_folder([archive], tmp_path / "set") == []
    assert contents(tmp_path) == {"set/a": b"old"}
    assert not host.asked


def test_an_empty_folder_is_filled(host, tmp_path):
    (tmp_path / "set").mkdir()
    assert get_folder([host.offer("set.zip", zipped(a=b"1"), strip=1)], tmp_path / "set")
    assert contents(tmp_path) == {"set/a": b"1"}


def test_a_folder_may_be_a_link(host, tmp_path):
    (tmp_path / "disk" / "birds").mkdir(parents=True)
    (tmp_path / "set").symlink_to("disk/birds")
    get_folder([host.offer("set.zip", zipped(a=b"1"), strip=1)], tmp_path / "set")
    assert (tmp_path / "set").is_symlink()
    assert contents(tmp_path / "disk") == {"birds/a": b"1"}


def test_a_moved_file_is_followed(host, tmp_path):
    host.offer("set.zip", zipped(a=b"1"))
    assert get_folder([Archive(url=f"{host.address}/moved.zip", into="set")], tmp_path / "set")
    assert contents(tmp_path) == {"set/top/a": b"1"}


def test_a_transfer_goes_on_where_it_broke_off(host, tmp_path):
    content = zipped(a=NOISE)
    archive = host.offer("set.zip", content, **published(content), strip=1)
    host.breaks = [1_000_000, 500_000]
    get_folder([archive], tmp_path / "set")
    assert [wanted for _, wanted in host.asked] == [None, "bytes=1000000-", "bytes=1500000-"]
    assert contents(tmp_path) == {"set/a": NOISE}


def test_another_call_goes_on_too_with_what_arrived_before(host, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    whole, content = zipped(b=b"2"), zipped(a=NOISE)
    archives = [
        host.offer("whole.zip", whole, **published(whole), strip=1),
        host.offer("set.zip", content, **published(content), strip=1),
    ]
    host.breaks = [len(whole), 1_000_000]
    with pytest.raises(InputError, match=r"broke off 1 times.*The same command goes on"):
        get_folder(archives, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    host.asked.clear()
    get_folder(archives, tmp_path / "set")
    assert host.asked == [("/set.zip", "bytes=1000000-")]
    assert contents(tmp_path) == {"set/a": NOISE, "set/b": b"2"}


def test_a_host_that_cannot_continue_gives_all_again(host, tmp_path):
    content = zipped(a=NOISE)
    archive = host.offer("set.zip", content, **published(content), strip=1)
    host.ranges, host.breaks = False, [1_000_000]
    get_folder([archive], tmp_path / "set")
    assert contents(tmp_path) == {"set/a": NOISE}


def test_without_a_checksum_nothing_is_put_together_from_two_calls(host, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    content = zipped(a=NOISE)
    archive = host.offer("set.zip", content, bytes=len(content), strip=1)
    host.breaks = [1_000_000]
    with pytest.raises(InputError):
        get_folder([archive], tmp_path / "set")
    (arrived,) = get_folder([archive], tmp_path / "set")
    assert [wanted for _, wanted in host.asked] == [None, None]
    assert arrived.verified == ""
    assert arrived.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("told", "case"),
    [
        ({"bytes": 5}, "bytes is .*, published was 5"),
        ({"sha256": "0" * 64}, "sha256 is [0-9a-f]{64}, published was 0{64}"),
        ({"md5": "0" * 32}, "md5 is [0-9a-f]{32}, published was 0{32}"),
    ],
)
def test_another_file_than_the_published_one_is_refused_and_removed(host, tmp_path, told, case):
    archive = host.offer("set.zip", zipped(a=b"1"), **told)
    with pytest.raises(InputError, match=case):
        get_folder([archive], tmp_path / "set")
    assert contents(tmp_path) == {}
    assert not (tmp_path / "set").exists()


def test_an_answer_that_is_an_error_is_told_at_once(host, tmp_path):
    with pytest.raises(InputError, match=r"gone\.zip: the host answers 404"):
        get_folder([Archive(url=f"{host.address}/gone.zip", into="set")], tmp_path / "set")
    assert len(host.asked) == 1


def test_a_busy_host_is_asked_again(host, tmp_path):
    host.errors = [503, 429]
    get_folder([host.offer("set.zip", zipped(a=b"1"))], tmp_path / "set")
    assert contents(tmp_path / "set") == {"top/a": b"1"}
    assert len(host.asked) == 3


def test_a_host_that_stays_busy_is_told(host, tmp_path):
    host.errors = [503] * download.ATTEMPTS
    with pytest.raises(InputError, match=r"set\.zip: broke off 5 times, .* HTTP Error 503"):
        get_folder([host.offer("set.zip", zipped(a=b"1"))], tmp_path / "set")


def test_room_is_looked_for_before_anything_is_transferred(host, tmp_path):
    archive = host.offer("set.zip", zipped(a=b"1"), bytes=10**18)
    with pytest.raises(InputError, match=r"2000000000\.0 GB are needed or more .*1000000000\.0 GB of archives"):
        get_folder([archive], tmp_path / "set")
    assert not host.asked


# --- archives that are not as they should be --------------------------------------------------------------


def linked(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def changed(content: bytes) -> bytes:
    """With another byte in its middle."""
    i = len(content) // 2
    return content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]


def in_directory(content: bytes, offset: int, value: int) -> bytes:
    """A zip with another byte at this place of each entry of its directory."""
    entries = [i for i in range(len(content)) if content.startswith(b"PK\x01\x02", i)]
    changed = bytearray(content)
    for i in entries:
        changed[i + offset] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.zip", in_directory(zipped(a=b"1"), 10, 99), "cannot be unpacked here .*Unpack it into .* with another"),
        ("set.zip", in_directory(zipped(a=b"1"), 8, 1), "cannot be unpacked here .*password.*Unpack it into"),
        ("set.tar.gz", tarred(name="a/../../b", content=b"1"), "would lie outside its folder"),
        ("set.tar.gz", tarred(name="/tmp/b", content=b"1"), "would lie outside its folder"),
        ("set.tar.gz", tarred(linked("a")), "is a link or a device"),
        ("set.zip", zipped(**{"../../../b": b"1"}), "would lie outside its folder"),
        ("set.zip", b"<html>Sign in</html>", "cannot be unpacked .*a page of its host"),
        ("set.tar.gz", tarred(name="a", content=NOISE)[:-1000], "cannot be unpacked"),
        ("set.tar.gz", changed(tarred(name="a", content=NOISE)), "cannot be unpacked .CRC check failed"),
    ],
    # Not of the contents, in which the time is: workers that collect in two seconds would not find the same tests.
    ids=["compression", "password", "above", "absolute", "link", "zipped above", "page", "cut", "changed"],
)
def test_bad_archives_leave_no_folder(host, tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        get_folder([host.offer(name, content)], tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert not any(path.name == "b" for path in (*tmp_path.parent.iterdir(), *tmp_path.rglob("*")))


def test_files_that_no_folder_can_be_dropped_of_are_told(host, tmp_path):
    with pytest.raises(InputError, match="drops 2 folders of each name, but 'top/a' has no more"):
        get_folder([host.offer("set.zip", zipped(a=b"1"), strip=2)], tmp_path / "set")


def test_a_file_of_two_archives_is_an_error(host, tmp_path):
    archives = [host.offer(name, zipped(a=b"1")) for name in ("one.zip", "two.zip")]
    with pytest.raises(InputError, match=r"two\.zip: 'top/a' is there twice, or in another archive too"):
        get_folder(archives, tmp_path / "set")


# --- mirrors ----------------------------------------------------------------------------------------------


def test_a_folder_as_mirror_is_read_where_it_is(tmp_path):
    content = zipped(a=b"1")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "set.zip").write_bytes(content)
    archive = Archive(url="https://example.org/x?download=1", file="set.zip", into="set", strip=1, **published(content))
    (arrived,) = get_folder([archive], tmp_path / "set", mirror=str(tmp_path / "mirror"))
    assert contents(tmp_path) == {"mirror/set.zip": content, "set/a": b"1"}
    assert arrived.url == "https://example.org/x?download=1"


def test_a_wrong_file_in_a_mirror_is_told_and_left(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"other")
    archive = Archive(url="https://example.org/set.zip?download=1", into="set", sha256="0" * 64)
    with pytest.raises(InputError, match="not the file that was published"):
        get_folder([archive], tmp_path / "set", mirror=str(tmp_path))
    assert (tmp_path / "set.zip").exists()


def test_what_a_mirror_lacks_is_told(tmp_path):
    with pytest.raises(InputError, match=r"set\.zip: no such file\. `mirror` is the folder"):
        get_folder([Archive(url="https://example.org/set.zip", into="set")], tmp_path / "set", mirror=str(tmp_path))


def test_an_address_as_mirror_is_asked_by_name(host, tmp_path):
    host.files["/a%20copy/set%201.zip"] = zipped(a=b"1")
    archive = Archive(url="https://example.org/set%201.zip", into="set")
    get_folder([archive], tmp_path / "set", mirror=f"{host.address}/a%20copy/")
    assert contents(tmp_path) == {"set/top/a": b"1"}


# --- a zip in parts ---------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("zip") is None, reason="the program zip makes the parts")
@pytest.mark.parametrize("from_mirror", [False, True])
def test_parts_of_a_zip_are_joined(host, tmp_path, from_mirror):
    source = tmp_path / "source"
    (source / "top").mkdir(parents=True)
    # None is larger than a part: of those that are, zip makes damaged files.
    files = {f"top/{i}.wav": NOISE[i : i + 40_000] for i in range(5)}
    for name, content in files.items():
        (source / name).write_bytes(content)
    subprocess.run(["zip", "-q", "-0", "-s", "64k", "-r", "big.zip", "top"], cwd=source, check=True)
    parts = sorted(source.glob("big.z*"))
    assert len(parts) > 2
    archives = [host.offer(path.name, path.read_bytes(), **published(path.read_bytes())) for path in parts]
    get_folder(archives, tmp_path / "data" / "set", mirror=str(source) if from_mirror else None)
    assert contents(tmp_path / "data") == {f"set/{name}": content for name, content in files.items()}


def test_without_the_program_that_joins_parts_nothing_is_transferred(host, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    archives = [host.offer(name, b"") for name in ("big.z01", "big.zip")]
    with pytest.raises(InputError, match="big: a zip in parts, which the program `zip` joins"):
        get_folder(archives, tmp_path / "set")
    assert not host.asked


# --- files, and all that is planned -----------------------------------------------------------------------


@pytest.mark.parametrize("from_mirror", [False, True])
def test_a_single_file(host, tmp_path, from_mirror):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "weights.pth").write_bytes(NOISE)
    host.files["/weights.pth"] = NOISE
    remote = Remote(url=f"{host.address}/weights.pth?dl=1", **published(NOISE))
    path = tmp_path / "checkpoints" / "weights.pth"
    mirror = str(tmp_path / "mirror") if from_mirror else None
    assert get_file(remote, path, mirror).verified == "sha256"
    assert contents(tmp_path / "checkpoints") == {"weights.pth": NOISE}
    assert bool(host.asked) is not from_mirror
    assert get_file(remote, path) is None


def test_all_that_is_planned_is_got_recorded_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "ssast-tiny-patch-400"
    content = zipped(a=b"1")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for file, held in {"set.zip": content, RELEASED[name].name: b"weights"}.items():
        (mirror / file).write_bytes(held)
    archives = [
        Archive(url="https://example.org/set.zip", into="set", strip=1, **published(content)),
        Archive(url="https://example.org/labels.csv", into="set"),
    ]

    def get() -> list[str]:
        return download.download({"birds": archives}, [name], {"data": tmp_path / "data"}, str(mirror))

    with pytest.raises(InputError, match=r"labels\.csv: no such file"):
        get()
    (mirror / "labels.csv").write_bytes(b"x")
    first = get()
    assert "not verified, as no checksum was published: labels.csv" in first[0]
    assert f"BSD-3-Clause): {local_path(name)}" in first[1]
    assert contents(tmp_path / "data") == {"set/a": b"1", "set/labels.csv": b"x"}
    assert Path(local_path(name)).read_bytes() == b"weights"
    record = json.loads(Path("results/birds/download.json").read_text(encoding="utf-8"))
    assert [(each["file"], each["verified"]) for each in record["set"]] == [("set.zip", "sha256"), ("labels.csv", "")]
    of_weights = json.loads(Path(f"resources/checkpoints/released/{name}.download.json").read_text(encoding="utf-8"))
    assert of_weights["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert [line.endswith("is there already") for line in get()] == [True, True]
    (tmp_path / "data" / "set" / "labels.csv").unlink()
    get()  # what is not got again stays in the record
    assert json.loads(Path("results/birds/download.json").read_text(encoding="utf-8")) == record
    (mirror / "second.csv").write_bytes(b"y")
    archives[1] = Archive(url="https://example.org/second.csv", into="set")
    get()  # what is no longer wanted does not
    record = json.loads(Path("results/birds/download.json").read_text(encoding="utf-8"))
    assert [each["file"] for each in record["set"]] == ["set.zip", "second.csv"]
