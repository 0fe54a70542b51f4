"""The documentation and the code say the same, and every link leads somewhere."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from minifn import Config, Minifn, __version__, limits
from minifn.api import OPERATIONS, console_pages, docs
from minifn.change_feed import NAMES
from minifn.cli import COMMANDS, main
from minifn.cli.options import CLIENT_VARIABLES, FIELDS, OPTIONS, flag
from minifn.cluster.placement import NODE_VARIABLE
from minifn.config import ENGINES, variable
from minifn.languages.manifest import load_families
from minifn.models import Deployment, Execution, Function, Variable
from minifn.workers.specs import CONCURRENCY_VARIABLE
from tests.docs import reference
from tests.docs.blocks import PAGES, ROOT
from tests.sdk import install

README = (ROOT / "README.md").read_text()
TEXTS = {path: path.read_text() for path in (ROOT / "README.md", *sorted(PAGES.glob("*.md")))}
FRONT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
LONG_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
README_LINES_MAX = 160
#: Variables that only functions have.
OF_FUNCTIONS = {CONCURRENCY_VARIABLE, NODE_VARIABLE}
CONTRIBUTING_LINES_MAX = 80


@pytest.mark.parametrize("name", reference.REFERENCE)
def test_reference_pages_are_up_to_date(name: str) -> None:
    written = (PAGES / f"{name}.md").read_text()
    assert written == reference.REFERENCE[name](), "run `python -m tests.docs.reference`"


def test_the_front_pages_are_short() -> None:
    assert len(README.splitlines()) <= README_LINES_MAX
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= CONTRIBUTING_LINES_MAX


def test_options_named_anywhere_exist() -> None:
    options = {
        name
        for _, command in reference.each_command(main, "minifn")
        for item in command.params
        for name in item.opts
        if name.startswith("--")
    }
    assert {flag(item) for item in OPTIONS} <= options
    shown = {
        (path.name, word)
        for path, text in TEXTS.items()
        for line in re.findall(rf"(?<!/)\bminifn (?:{'|'.join(COMMANDS)})\b[^\n`|]*", text)
        for word in LONG_OPTION.findall(line)
    }
    assert {(name, word) for name, word in shown if word not in options} == set()
    assert shown


def test_settings_named_anywhere_exist() -> None:
    known = {*map(variable, FIELDS.values()), *OF_FUNCTIONS, *CLIENT_VARIABLES}
    texts = {**TEXTS, ROOT / "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
    named = {
        (path.name, word)
        for path, text in texts.items()
        for word in re.findall(r"\bMINIFN_[A-Z_]+\b", text)
    }
    assert {(name, word) for name, word in named if word not in known} == set()
    assert len(named) > len(known)


def test_requests_named_anywhere_are_operations() -> None:
    known = {(item.method, re.sub(r"{\w+}", "{}", item.path)) for item in OPERATIONS}
    wrong = [
        (path.name, method, target)
        for path, text in TEXTS.items()
        for method, target in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) /v1(/[^\s`?]*)`", text)
        if (method, re.sub(r"{\w+}", "{}", target)) not in known
    ]
    assert wrong == []


def test_every_route_is_an_operation_or_a_page(tmp_path: Path) -> None:
    routes = Minifn(Config(data=tmp_path / "data")).app.routes
    paths = {route.path for route in routes if isinstance(route, Route)}
    assert paths == {f"/v1{operation.path}" for operation in OPERATIONS} | {
        route.path for route in (*console_pages.ROUTES, *docs.ROUTES)
    }


def test_every_kind_of_record_has_an_event() -> None:
    assert {Function, Deployment, Execution, Variable} == set(NAMES)


def test_clients_that_are_named_are_those_of_the_tests() -> None:
    [named] = [
        text
        for text in TEXTS[PAGES / "deploying.md"].split("\n\n")
        if text.startswith("Every method of")
    ]
    tested = [
        *install.PYTHON_VERSIONS,
        *install.NODE_VERSIONS,
        *install.WEB_VERSIONS,
        *install.CLI_VERSIONS,
    ]
    assert re.findall(r"\d+\.\d+\.\d+", named) == tested


def test_engines_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", TEXTS[PAGES / "security.md"], re.MULTILINE)
    assert [row for row in rows if row in ENGINES][: len(ENGINES)] == list(ENGINES), (
        "the rows of minifn/docs/security.md and ENGINES of minifn/config.py differ"
    )


def test_every_public_limit_is_on_the_page_of_limits() -> None:
    named = set(re.findall(r"\w+", (ROOT / "tests/docs/limits.py").read_text()))
    constants = {name for name in vars(limits) if name.isupper()}
    assert constants
    assert not constants - named, "name them in tests/docs/limits.py"


def test_messages_that_are_explained_exist() -> None:
    """Each heading of troubleshooting has words that the code, or a program it calls, says."""
    foreign = {"Could not resolve host: hello.functions.localhost", "Read-only file system"}
    code = "\n".join(
        path.read_text()
        for folder in ("minifn", "runtimes")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".cjs", ".json")
    )
    # One string may be written in several pieces.
    code = re.sub(r'"\s+f?"', "", code)
    headings = re.findall(r"^### `(.*)`$", TEXTS[PAGES / "troubleshooting.md"], re.MULTILINE)
    assert len(headings) > 30
    parts = [
        (heading, part)
        for heading in headings
        if heading not in foreign
        for part in heading.split("...")
    ]
    assert [heading for heading, part in parts if part.strip(" :()") not in code] == []


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    command = README.split("# test\n")[1].splitlines()[0]
    assert command.endswith(".venv/bin/pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert "/^# test$/" in script
    assert 'eval "$test_command"' in script
    assert "run: .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert command.split(" && ")[1] in (ROOT / "CONTRIBUTING.md").read_text()


def test_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert __version__ == released[0] or "\n## [Unreleased]\n" in changelog
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_changelog_of_the_next_release_is_about_it_alone() -> None:
    """A merge of a branch from before the release brings its lines back."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    upcoming = changelog.split("\n## [Unreleased]\n")[1].split("\n## [")[0]
    assert "in the response formats of 1.6 to 1.9: functions, deployments" not in upcoming
    lines = [line for line in changelog.splitlines() if line.startswith("- ")]
    assert sorted(set(lines)) == sorted(lines)


@pytest.mark.parametrize("name", FRONT)
def test_links_and_paths_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    paths = re.findall(r"`((?:minifn|tests|runtimes|examples|\.ci)/[\w./-]*)`", text)
    paths += [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    missing = [path for path in paths if not (ROOT / path.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("name", [path.stem for path in PAGES.glob("*.md")])
def test_links_between_pages_lead_to_headings(name: str) -> None:
    pages = docs.manual().pages
    anchors = {page: {item.anchor for item in pages[page].sections} for page in pages}
    text = re.sub(r"^```.*?^```$", "", TEXTS[PAGES / f"{name}.md"], flags=re.DOTALL | re.MULTILINE)
    links = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert name in pages, "index.md does not list this page"
    for link in links:
        if link.endswith(".png"):
            assert (PAGES / link).stat().st_size < 60_000, link
            continue
        page, _, anchor = link.partition("#")
        page = page.removesuffix(".md") or name
        assert page in pages, link
        assert not anchor or anchor in anchors[page], link
    paths = re.findall(r"`((?:minifn|tests|runtimes|examples)/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_languages_of_the_readme() -> None:
    part = README.partition("## Languages\n")[2].partition("\n## ")[0]
    run, _, named = part.partition("Functions in ")
    families = [one for one in load_families(ROOT / "runtimes").values() if not one.like]
    for family in families:
        assert family.name.lower() in (run if family.start else named).lower(), (
            f"name {family.name} under Languages of README.md"
        )


@pytest.mark.parametrize(
    "key", [key for key, family in load_families(ROOT / "runtimes").items() if family.start]
)
def test_every_language_has_its_part_of_a_page(key: str) -> None:
    text = (ROOT / "runtimes" / key / "README.md").read_text()
    name = load_families(ROOT / "runtimes")[key].name
    assert text.startswith(f"## {name}\n")
    assert text in TEXTS[PAGES / "runtimes.md"]
    told = re.findall(r"^\| ([a-z ]+) \| .{8,}\|$", text, re.MULTILINE)
    assert told[:5] == ["install", "entry", "handler", "dependencies", "build time"]


def test_the_picture_needs_nothing_from_another_host() -> None:
    picture = (PAGES / "terminal.svg").read_text()
    assert "Hello," in picture
    assert "url(http" not in picture
    assert "@import" not in picture
