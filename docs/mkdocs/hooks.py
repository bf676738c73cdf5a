"""Pages keep their places in the repository, so that a link is the same there and on the site."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPO = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write out the list of pages. One that is there and not in the list stops the build, as `omitted_files` has it."""
    config.nav = list(written(config.nav or []))
    return config


def written(entries: list[Any]) -> Iterator[Any]:
    """The entries of which there are pages, each pattern as the pages that it stands for."""
    for entry in entries:
        if isinstance(entry, str):
            found = (page.relative_to(REPO).as_posix() for page in REPO.glob(entry))
            yield from sorted(found, key=lambda name: (not name.endswith("/index.md"), name))
        else:
            ((title, inside),) = entry.items()
            if pages := list(written(inside if isinstance(inside, list) else [inside])):
                yield {title: pages if isinstance(inside, list) else inside}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name pages by their path from the top of the repository, and add the files outside docs/ that any links to."""
    inside = [file for file in files if file.src_dir == config.docs_dir]
    for file in inside:
        files.remove(file)
    waiting = [f"docs/{file.src_uri}" for file in inside]
    placed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in placed or not (REPO / name).is_file():  # of a link to nothing MkDocs tells
            continue
        placed.add(name)
        files.append(File(name, str(REPO), config.site_dir, False, dest_uri=name_on_site(name)))
        if name.endswith(".md"):
            links = LINK.findall((REPO / name).read_text(encoding="utf-8"))
            waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) for link in links]
    return files


def name_on_site(name: str) -> str:
    """Where a file of the repository is on the site: what is in docs/ at the top."""
    return re.sub(r"\.md$", ".html", name.removeprefix("docs/"))
