"""Somebody with a browser, on the web client."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

WAIT = 60_000.0
"""ms for anything to happen: a browser and a whole stack may share one busy machine."""
PASSWORD = "a long enough password"


@dataclass
class Visitor:
    """One browser context: its own storage, its own network. `complaints`: what the page logged as errors."""

    context: BrowserContext
    page: Page
    name: str
    complaints: list[str] = field(default_factory=list)

    def sign_up(self) -> None:
        """Make an account, and wait until connected."""
        self.page.get_by_role("button", name="I am new here").click()
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign up").click()
        expect(self.page.get_by_role("navigation", name="Rooms")).to_be_visible()
        self.is_online()

    def is_online(self) -> None:
        """Wait for the banner to go."""
        expect(self.page.locator(".banner")).to_be_hidden()

    def create(self, kind: str, name: str, *people: str) -> None:
        """Make a room, which opens."""
        self.page.get_by_role("button", name="New room").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("Kind").select_option(kind)
        dialog.get_by_label("Name", exact=True).fill(name)
        dialog.get_by_label("With").fill(", ".join(people))
        dialog.get_by_role("button", name="Create").click()
        expect(dialog).to_be_hidden()
        expect(self.page.get_by_role("heading", name=name)).to_be_visible()

    def open(self, room: str) -> None:
        """Open a room of the list."""
        self.page.get_by_role("navigation", name="Rooms").get_by_role("button", name=room).click()
        expect(self.page.get_by_role("heading", name=room)).to_be_visible()

    def say(self, *texts: str) -> None:
        """Type messages, each ended with Enter."""
        composer = self.page.get_by_role("textbox", name="Message", exact=True)
        for text in texts:
            composer.fill(text)
            composer.press("Enter")

    def is_sent(self) -> None:
        """Wait until the server has all that was said: a message is seen before that."""
        expect(self.page.locator(".message.sending")).to_have_count(0)

    def sees(self, *texts: str) -> None:
        """Wait until these are all the messages, in this order."""
        expect(self.page.locator(".message .text")).to_have_text(list(texts))

    def message(self, text: str) -> Locator:
        """A message of that text."""
        return self.page.locator(".message").filter(has_text=text)

    def act(self, text: str, action: str) -> None:
        """Use a button of a message's tools."""
        message = self.message(text)
        message.hover()
        message.get_by_role("button", name=action, exact=True).click()


@contextmanager
def visiting(browser: Browser, address: str, name: str) -> Iterator[Visitor]:
    """A new browser context on the web client."""
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    page = context.new_page()
    visitor = Visitor(context, page, f"{name}-{secrets.token_hex(4)}")
    page.on("console", lambda line: visitor.complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    page.goto(address)
    try:
        yield visitor
    finally:
        context.close()
