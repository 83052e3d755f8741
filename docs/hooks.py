"""What the site shows beside the files in docs/: options of each command, READMEs, guides, the changelog.

They are made when the site is built, so none can be out of date. Links that lead out of docs/ go to the page made of
that file; where there is none (source code), the text stays without a link.
"""

from __future__ import annotations

import argparse
import importlib
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final[Path] = Path(__file__).parents[1]
PAGES: Final[dict[str, str]] = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "edge/install/raspberry-pi.md": "how-to/raspberry-pi.md",
    "edge/install/coral.md": "how-to/coral.md",
    **{f"{area}/README.md": f"areas/{area}.md" for area in ("edge", "train", "export", "benchmarks", "data", "models")},
}
"""File of the repository -> page of the site. A page that docs/ has itself is left as it is."""
COMMANDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "fer-camera": ("fer_edge.app.cli", ("",)),
    "fer-analyze": ("fer_edge.analysis.cli", ("",)),
    "fer-data": ("fer_train.commands.data", ("import", "audit", "synth")),
    "fer-train": ("fer_train.commands.subcommands", ("", "teach", "ablation", "average", "calibrate", "speed")),
    "fer-export": ("fer_export.cli", ("", "release")),
    "fer-bench": ("fer_bench.cli", ("", "compare", "robustness", "demo")),
}
"""Command -> the module of its ``main``, and its subcommands ("" is the command itself)."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


class _Parsed(Exception):  # noqa: N818 - not an error: it carries the parser out of the command
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parser_of(module: str, subcommand: str) -> argparse.ArgumentParser:
    """The parser that the command would parse its arguments with."""
    main = importlib.import_module(module).main
    original = argparse.ArgumentParser.parse_known_args

    def stop(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        raise _Parsed(self)

    argparse.ArgumentParser.parse_known_args = stop  # type: ignore[method-assign]
    try:
        main([subcommand, "--help"] if subcommand else ["--help"])
    except _Parsed as parsed:
        found = parsed.parser
    finally:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction) and subcommand in action.choices:
            return action.choices[subcommand]  # type: ignore[no-any-return]
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")


def options_table(parser: argparse.ArgumentParser) -> str:
    """Markdown: one table per group of options."""
    parts = []
    for group in parser._action_groups:
        rows = []
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
                continue
            formatter = parser._get_formatter()
            shown = formatter._format_action_invocation(action)
            text = formatter._expand_help(action) if action.help else ""
            rows.append(f"| `{shown.replace('|', chr(92) + '|')}` | {_cell(text)} |")
        if rows:
            title = (group.title or "options").capitalize()
            parts += [f"### {title}", "", "| option | |", "| --- | --- |", *rows, ""]
    return "\n".join(parts)


def command_page(command: str) -> str:
    """Markdown page of a command: description, usage and every option, of its subcommands too."""
    module, subcommands = COMMANDS[command]
    parts = [f"# {command}", ""]
    for subcommand in subcommands:
        parser = parser_of(module, subcommand)
        if subcommand:
            parts += [f"## {command} {subcommand}", ""]
        elif len(subcommands) > 1:
            parts += [f"## {command} alone", ""]
        usage = re.sub(r"\x1b\[[0-9;]*m", "", parser.format_usage()).strip()
        parts += [_cell(parser.description or ""), "", "```text", usage, "```", "", options_table(parser)]
        if parser.epilog:
            parts += [_cell(parser.epilog), ""]
    return "\n".join(parts)


def _relinked(text: str, source: str, page: str) -> str:
    """Links of ``source`` (relative to the repository) as links of ``page`` (relative to docs/)."""

    def link(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match.group(0)
        path, _, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if wanted in PAGES:
            there = PAGES[wanted]
        elif wanted.startswith("docs/") and (ROOT / wanted).is_file():
            there = wanted.removeprefix("docs/")
        elif mark and (ROOT / wanted).is_file():
            there = f"pictures/{wanted.replace('/', '-')}"
        else:
            return label
        relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"{mark}[{label}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    from mkdocs.structure.files import File

    for area in ("edge", "train", "export", "benchmarks"):
        sys.path.insert(0, str(ROOT / area))
    os.environ["COLUMNS"] = "100"
    made = {f"reference/commands/{command}.md": command_page(command) for command in COMMANDS}
    for source, page in PAGES.items():
        if not (ROOT / "docs" / page).exists():
            text = (ROOT / source).read_text(encoding="utf-8")
            made[page] = _relinked(text, source, page)
            for mark, _, target in _LINK.findall(text):
                picture = (ROOT / source).parent / target
                if mark and picture.is_file() and "docs" not in picture.resolve().relative_to(ROOT).parts:
                    name = posixpath.normpath(posixpath.join(posixpath.dirname(source), target)).replace("/", "-")
                    files.append(File.generated(config, f"pictures/{name}", content=picture.read_bytes()))
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Roles of docstrings (``:func:`name```), which only Sphinx knows, become plain code."""
    del page, config, files
    return re.sub(r":(?:func|class|data|mod|meth|attr|exc):(<code>)~?", r"\1", html)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links of the pages in docs/ that lead out of it."""
    del config, files
    path = page.file.src_uri
    if (ROOT / "docs" / path).exists():
        return _relinked(markdown, f"docs/{path}", path)
    return markdown
