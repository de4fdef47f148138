"""The web client in a real browser, on the real stack."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.running_stack import Stack

from .visitor import PASSWORD, Visitor, visiting

pytestmark = pytest.mark.timeout(600, func_only=True)


def test_two_browsers_talk_and_one_that_was_offline_sees_each_message_once_in_order(
    browser: Browser, stack: Stack
) -> None:
    """What it wrote while it was offline is sent when it is back."""
    address = stack.report.web
    with visiting(browser, address, "ada") as ada, visiting(browser, address, "bob") as bob:
        ada.sign_up()
        bob.sign_up()
        ada.create("group", "Engines", bob.name)
        ada.say("Does it weave?")
        bob.open("Engines")
        bob.sees("Does it weave?")
        bob.say("Algebraic patterns.")
        ada.sees("Does it weave?", "Algebraic patterns.")

        bob.context.set_offline(True)
        expect(bob.page.get_by_role("status")).to_contain_text("You are offline")
        missed = [f"missed {number}" for number in range(1, 6)]
        ada.say(*missed)
        ada.sees("Does it weave?", "Algebraic patterns.", *missed)
        ada.is_sent()
        bob.say("written offline")
        bob.sees("Does it weave?", "Algebraic patterns.", "written offline")

        bob.context.set_offline(False)
        bob.is_online()
        everything = ["Does it weave?", "Algebraic patterns.", *missed, "written offline"]
        bob.sees(*everything)
        ada.sees(*everything)
        _page_by_itself(ada)
        assert ada.complaints == []


def test_what_happens_to_a_message_is_seen_by_the_other(browser: Browser, stack: Stack) -> None:
    """Edit, react, reply, typing, delete; unread, and text that looks like markup."""
    address, nasty = stack.report.web, "<img src=x onerror=alert(1)> & <b>bold</b>"
    with visiting(browser, address, "ada") as ada, visiting(browser, address, "bob") as bob:
        ada.sign_up()
        bob.sign_up()
        ada.create("group", "Looms", bob.name)
        ada.say("first", nasty)
        room = bob.page.get_by_role("navigation", name="Rooms").get_by_role("button", name="Looms")
        expect(room.get_by_label("2 unread")).to_be_visible()
        bob.open("Looms")
        bob.sees("first", nasty)
        expect(room.get_by_label("unread")).to_have_count(0)

        bob.page.get_by_role("textbox", name="Message", exact=True).press_sequentially("hm")
        expect(ada.page.locator(".typing")).to_contain_text(f"{bob.name} is typing")

        ada.act("first", "Edit")
        ada.page.get_by_label("Edit the message").fill("first, improved")
        ada.page.get_by_role("button", name="Save").click()
        expect(bob.message("first, improved")).to_be_visible()

        bob.act("first, improved", "React")
        bob.message("first, improved").get_by_role("button", name="👍").first.click()
        expect(ada.message("first, improved").locator(".reactions button")).to_have_text("👍 1")

        ada.act(nasty, "Delete")
        ada.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(bob.page.get_by_text("This message was deleted")).to_be_visible()
        assert ada.complaints == bob.complaints == []


def test_older_messages_come_when_one_scrolls_up_and_a_reload_keeps_one_signed_in(
    browser: Browser, stack: Stack
) -> None:
    """Beyond the first page of 50, by keyboard alone."""
    with visiting(browser, stack.report.web, "ada") as ada:
        ada.sign_up()
        ada.create("group", "Diary")
        texts = [f"entry {number}" for number in range(1, 71)]
        ada.say(*texts)
        ada.sees(*texts)
        ada.is_sent()
        ada.page.reload()
        ada.sees(*texts[20:])
        ada.page.get_by_role("log").focus()
        ada.page.keyboard.press("Home")
        ada.sees(*texts)
        expect(ada.page.get_by_text("This is where the room begins.")).to_be_visible()
        assert ada.complaints == []


def test_a_direct_room_is_called_like_the_other_and_signing_out_ends_the_session(
    browser: Browser, stack: Stack
) -> None:
    """And a wrong password is told in words."""
    address = stack.report.web
    with visiting(browser, address, "ada") as ada, visiting(browser, address, "bob") as bob:
        ada.sign_up()
        bob.sign_up()
        ada.page.get_by_role("button", name="New room").click()
        ada.page.get_by_role("dialog").get_by_label("With").fill(bob.name)
        ada.page.get_by_role("dialog").get_by_role("button", name="Create").click()
        expect(ada.page.get_by_role("heading", name=bob.name)).to_be_visible()
        ada.say("hello")
        bob.open(ada.name)
        bob.sees("hello")
        ada.page.get_by_role("button", name="Sign out").click()
        ada.page.get_by_label("User name").fill(ada.name)
        ada.page.get_by_label("Password").fill("not the password")
        ada.page.get_by_role("button", name="Sign in").click()
        expect(ada.page.get_by_role("alert")).to_have_text("User name or password is wrong.")
        ada.page.get_by_label("Password").fill(PASSWORD)
        ada.page.get_by_role("button", name="Sign in").click()
        ada.open(bob.name)
        ada.sees("hello")


def _page_by_itself(visitor: Visitor) -> None:
    """A reload finds the same room open, with the same messages in it."""
    texts = visitor.page.locator(".message .text").all_inner_texts()
    visitor.page.reload()
    visitor.sees(*texts)
