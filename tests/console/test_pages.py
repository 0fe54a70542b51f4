"""The console in a real browser."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from minifn.api import console_pages
from tests.console.scene import MARKUP, history, newest, sign_in_link
from tests.patience import patient
from tests.serving import Api, Server, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHECKS = (Path(__file__).parent / "checks.js").read_text()
#: Path of every page, with the text that shows that it has its data.
PAGES = {
    "": "Build failed",
    "executions": "completed",
    "schedule": "report",
    "usage": "Total",
    "health": "Checks",
    "nodes": "This server has no cluster",
    "keys": "No API key yet",
    "wall": "draft",
    "new": "Create",
    "functions/hello": "http://hello.functions.localhost:",
    "functions/hello/try": "The same call",
    "functions/hello/deployments": "active",
    "functions/hello/variables": "GREETING",
    "functions/hello/settings": "Delete the function",
    "functions/hello/usage": "Total",
    "functions/hello/code": "Save and deploy",
    "functions/draft": "No execution yet",
    "nowhere/at/all": "There is no page",
}
Theme = Literal["light", "dark"]
VIEWS: tuple[tuple[int, Theme], ...] = (
    (1280, "light"),
    (1280, "dark"),
    (360, "light"),
    (360, "dark"),
)
#: axe-core costs most, so it looks at each width and each theme once.
AXE_VIEWS = (VIEWS[0], VIEWS[3])
WAIT_MS = 10_000


class Console:
    """One tab of the console. It fails the test for errors of scripts and of the policy."""

    def __init__(self, context: "BrowserContext", server: Server) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.url = f"{server.url}/console/"
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        # A refused or failed request is the matter of a test, not an error of a script.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def open(self, path: str, text: str = "") -> None:
        """Open a page and wait for a text."""
        self.page.goto(self.url + path)
        self.see(text)

    def follow(self, path: str, text: str = "") -> None:
        """Follow a link to a page, without loading the document again, and wait for a text."""
        self.page.evaluate(
            """path => {
                const link = document.createElement("a");
                link.href = path;
                document.body.append(link);
                link.click();
                link.remove();
            }""",
            path or "./",
        )
        self.see(text)

    def see(self, text: str) -> None:
        """Wait until a text is shown."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def count(self, selector: str) -> int:
        """Return how many elements there are."""
        return self.page.locator(selector).count()


@pytest.fixture
def api(staged_server: Server) -> Iterator[Api]:
    with staged_server.api as client:
        yield client


@pytest.fixture
def tab(session: "BrowserContext", staged_server: Server) -> Iterator[Console]:
    """A new tab that is signed in."""
    opened = Console(session, staged_server)
    yield opened
    opened.page.close()
    assert opened.problems == []


def test_every_page_is_readable(tab: Console, axe: str) -> None:
    """At two widths and in both themes: names, headings, tables, contrast, nothing too wide."""
    problems: dict[tuple[str, int, str], list[str]] = {}
    tab.open("", "New function")
    for path, text in PAGES.items():
        tab.follow(path, text)
        for width, theme in VIEWS:
            tab.page.set_viewport_size({"width": width, "height": 800})
            tab.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            problems[path, width, theme] = tab.page.evaluate(CHECKS)
            if axe and (width, theme) in AXE_VIEWS:
                problems[path, width, theme] += violations(tab.page, axe)
    assert {view: found for view, found in problems.items() if found} == {}


def violations(page: "Page", axe: str) -> list[str]:
    """Return what axe-core finds against a page."""
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def test_colours_of_text_have_contrast() -> None:
    style = (console_pages.PLACE / "style.css").read_text()
    pairs = dict(re.findall(r"--(\w+): light-dark\((#\w{6}, #\w{6})\)", style))
    assert len(pairs) > 8
    for name in ("text", "muted", "accent", "ok", "warn", "bad"):
        for ground in ("back", "surface", "hover"):
            for front, back in zip(pairs[name].split(", "), pairs[ground].split(", "), strict=True):
                assert contrast(front, back) >= 4.5, (name, ground, front, back)


def contrast(front: str, back: str) -> float:
    """Return the contrast of two colours, as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_signing_in_with_the_key(browser: "Browser", staged_server: Server) -> None:
    context = browser.new_context()
    tab = Console(context, staged_server)
    tab.open("executions", "Admin key")
    tab.page.fill("#key", "wrong")
    tab.page.click("text=Sign in")
    tab.page.locator("#problem").wait_for()
    tab.page.fill("#key", staged_server.key)
    tab.page.click("text=Sign in")
    tab.see("Started")
    [cookie] = [one for one in context.cookies() if one["name"].startswith("minifn_console_")]
    assert cookie["httpOnly"]
    # Every port of the host is sent the cookie, and a function may listen on one.
    stolen = {"cookie": f"{cookie['name']}={cookie['value']}", "x-minifn-console": "1"}
    answer = httpx.get(f"{staged_server.endpoint}/minifn/executions", headers=stolen)
    assert answer.status_code == 401
    assert staged_server.key not in tab.page.evaluate("JSON.stringify({...localStorage})")
    tab.page.click("text=Sign out")
    tab.see("Admin key")
    context.close()
    assert tab.problems == []


def test_a_link_signs_in_once_and_leaves_no_token(
    browser: "Browser", staged_server: Server
) -> None:
    link = sign_in_link(staged_server)
    for text in ("New function", "The link was used"):
        context = browser.new_context()
        tab = Console(context, staged_server)
        tab.page.goto(link)
        tab.see(text)
        assert tab.page.url == tab.url
        assert tab.page.evaluate("history.length") <= 2
        context.close()


def test_lines_appear_while_a_function_runs(tab: Console, api: Api) -> None:
    execution = api.enqueue("hello", path="/slow")
    tab.open(f"executions/{execution['$id']}", "tick 1")
    running = api.call("GET", f"/functions/hello/executions/{execution['$id']}", 200)
    assert running["status"] == "processing"
    tab.page.locator("status-dot", has_text="completed").wait_for()
    tab.see("tick 19")
    assert tab.count("log-view .line") == 20


def test_output_is_text_and_never_markup(tab: Console, api: Api) -> None:
    execution = api.execute("hello", path="/hostile")
    tab.open(f"executions/{execution['$id']}", "<img src=x onerror=")
    log = tab.page.locator("log-view")
    assert tab.count("main img") == 0
    assert log.locator(".line").count() == 4
    assert log.locator("span.f1").inner_text() == "red"
    assert log.locator(".line").nth(1).inner_text() == "red plain end"
    assert "more characters" in log.locator(".line").nth(2).inner_text()
    assert log.locator(".line").nth(2).evaluate("one => one.getBoundingClientRect().width") < 1280
    tab.open("functions/hello/try")
    tab.page.fill("[name=path]", "/hostile")
    tab.page.click("text=Send")
    tab.see(MARKUP)
    assert tab.count("main img") == 0
    assert "stolen" not in tab.page.title()


def test_new_executions_wait_while_the_reader_is_further_down(tab: Console, api: Api) -> None:
    tab.open("executions", "live")
    tab.page.mouse.move(5, 5)
    first = tab.page.locator("data-table .row").first
    execution = api.execute("orders", path="/fresh")
    tab.page.locator("data-table .row", has_text="/fresh").wait_for()
    tab.page.mouse.wheel(0, 2000)
    wait_until(lambda: tab.page.evaluate("scrollY") > 500, 5, "the page has scrolled")
    before = tab.page.evaluate("scrollY")
    api.execute("orders", path="/fresher")
    tab.page.locator("button.fresh", has_text="1 new").click()
    assert before > 500
    tab.page.locator("data-table .row", has_text="/fresher").wait_for()
    first.locator("a").click()
    tab.see("Run again")
    assert execution["$id"] not in tab.page.url


def test_executions_that_no_stream_told_are_listed(tab: Console, api: Api) -> None:
    tab.page.route("**/minifn/logs*", lambda route: route.abort())
    tab.open("executions", "Executions")
    tab.page.locator("data-table .row").first.wait_for()
    api.execute("orders", path="/untold")
    assert tab.page.locator(".live-note", has_text="live").count() == 0
    tab.page.unroute("**/minifn/logs*")
    tab.page.locator("data-table .row", has_text="/untold").wait_for()


def test_filters_are_in_the_address(tab: Console) -> None:
    tab.open("executions", "completed")
    tab.page.select_option("[name=status]", "failed")
    tab.see("KeyError: 'total' (main.py line 12)")
    tab.page.fill("[type=search]", "/orders/1")
    tab.page.wait_for_url("**/executions?status=failed&search=%2Forders%2F1")
    tab.page.reload()
    tab.see("KeyError")
    assert tab.page.input_value("[type=search]") == "/orders/1"
    assert tab.count("status-dot[data-tone=ok]") == 0
    tab.page.locator("data-table .row a").first.click()
    tab.see("Run again")
    tab.page.go_back()
    tab.page.wait_for_url("**/executions?status=failed*")


def test_ten_thousand_executions_scroll(tab: Console, staged_server: Server) -> None:
    history(staged_server.data, "report", 10_000)
    tab.open("functions/report", "completed")

    def scroll_to_end() -> None:
        tab.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")

    def at_end() -> bool:
        scroll_to_end()
        return int(tab.page.get_attribute("data-table", "aria-rowcount") or 0) == 10_001

    wait_until(at_end, 30, "all rows are loaded")
    # The last of them may have come after the table was scrolled.
    scroll_to_end()
    tab.see("/report/9999")
    assert tab.count("data-table .row") < 80
    started = time.monotonic()
    tab.page.evaluate(
        """async () => {
            for (let top = 0; top < 100000; top += 1000) {
                scrollTo(0, top);
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    assert time.monotonic() - started < patient(10)


def test_a_failing_build_says_why(tab: Console, api: Api) -> None:
    tab.open("", "Build failed: SyntaxError")
    deployment = newest(api, "draft")
    tab.open(
        f"project-default-minifn/functions/function-draft/deployment-{deployment}", "Build failed"
    )
    assert tab.page.url == f"{tab.url}functions/draft/deployments/{deployment}"
    tab.see("was never closed")
    tab.see("main.py")
    assert tab.page.locator("h1 ~ .sum status-dot").inner_text() == "build failed"


def test_a_function_is_made_edited_and_called(tab: Console) -> None:
    tab.open("new", "Create")
    tab.page.fill("[name=name]", "My first one")
    tab.page.click("text=Create")
    tab.page.wait_for_url("**/functions/my-first-one/code")
    editor = tab.page.locator("textarea.editor")
    editor.fill('def main(context):\n    return context.res.text("changed")\n')
    tab.page.click("text=Save and deploy")
    tab.page.locator("[role=status] status-dot", has_text="ready").wait_for()
    tab.page.click("text=Try it >> nth=-1")
    tab.page.click("text=Send")
    tab.see("changed")


def test_settings_say_the_rule_at_the_field(tab: Console) -> None:
    tab.open("functions/report/settings", "Next:")
    assert tab.count("time.run") == 5
    tab.page.fill("[name=timeout]", "100000")
    tab.page.click("text=Save")
    field = tab.page.locator(".field.wrong")
    field.wait_for()
    assert field.locator("[name=timeout]").count() == 1
    tab.page.fill("[name=schedule]", "99 * * * *")
    tab.page.locator(".field .bad").wait_for()


def test_variables_stay_secret(tab: Console) -> None:
    tab.open("functions/hello/variables", "GREETING")
    assert "swordfish" not in tab.page.content()
    tab.page.click("text=New variable")
    tab.page.fill("dialog [name=key]", "not a name")
    tab.page.fill("dialog [name=value]", "v")
    tab.page.click("dialog >> text=Save")
    tab.page.locator("dialog .field.wrong").wait_for()
    tab.page.fill("dialog [name=key]", "NAME")
    tab.page.click("dialog >> text=Save")
    tab.page.locator("data-table .row", has_text="NAME").wait_for()
    tab.page.click("[aria-label='Delete NAME']")
    tab.page.click("dialog >> text=Delete >> nth=-1")
    tab.page.locator("data-table .row", has_text="NAME").wait_for(state="detached")


def test_a_key_is_shown_once(tab: Console) -> None:
    tab.open("keys", "No API key yet")
    tab.page.click("text=New key")
    tab.page.fill("dialog [name=name]", "class")
    tab.page.click("dialog >> text=Create")
    tab.see("Copy the secret now")
    tab.page.click("text=Done")
    tab.page.locator("data-table .row", has_text="class").wait_for()
    assert tab.count("code-box") == 0
    tab.page.click("[aria-label='Delete class']")
    tab.page.click("dialog >> text=Delete >> nth=-1")
    tab.see("No API key yet")


def test_the_keyboard_alone_leads_to_an_execution(tab: Console) -> None:
    tab.open("", "New function")
    tab.page.keyboard.press("?")
    tab.see("Documentation")
    tab.page.keyboard.press("Escape")
    tab.page.locator("dialog").wait_for(state="detached")
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("e")
    tab.see("Started")
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.type") == "search"
    tab.page.evaluate("document.activeElement.blur()")
    for key in ("j", "j", "k", "Enter"):
        tab.page.keyboard.press(key)
    tab.see("Run again")


def test_a_stopped_server_is_said_and_found_again(tab: Console) -> None:
    tab.open("wall", "need help")
    bar = tab.page.locator(".offline")
    assert bar.is_hidden()
    tab.page.context.set_offline(True)
    bar.get_by_text("The server does not answer").wait_for()
    tab.page.context.set_offline(False)
    bar.wait_for(state="hidden")
