#!/usr/bin/env python3
"""Uses the Django guestbook in a real browser as a person does, through the server at BASE_URL.

It signs in, writes an entry in the admin, finds it in the admin's list and on the front page, and signs out. It writes
a screenshot of each main step to OUTPUT_DIR (front.png, login.png, admin.png, entry.png, guestbook.png), or failed.png
where a step fails. The exit status is 0 if every step succeeds.

Chromium and its driver must be in PATH (Debian: chromium chromium-driver). Selenium gets their paths, so it downloads
nothing.
"""

import argparse
import os
import shutil
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 30  # seconds for one page, on a machine that is busy with other tests

FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
]


def executable(*names):
    for name in names:
        if path := shutil.which(name):
            return path
    raise AssertionError(f"no {' or '.join(names)} in PATH (Debian: apt-get install chromium chromium-driver)")


@contextmanager
def browser():
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = executable("chromium", "chromium-browser")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium refuses to run as root with its sandbox
        # The site is on this machine: a proxy that the environment names cannot reach it.
        options.add_argument("--no-proxy-server")
        driver = webdriver.Chrome(options=options, service=Service(executable_path=executable("chromedriver")))
        driver.set_page_load_timeout(PATIENCE)
        try:
            yield driver
        finally:
            driver.quit()


class Visitor:
    """A person at the browser. `find` and `press` wait for the page."""

    def __init__(self, driver, base_url, output_dir):
        self.driver = driver
        self.base_url = base_url.rstrip("/")
        self.output_dir = output_dir

    def open(self, path):
        self.driver.get(self.base_url + path)

    def screenshot(self, name):
        path = self.output_dir / name
        assert self.driver.save_screenshot(str(path)), f"could not write {path}"

    def wait(self, condition, what):
        try:
            return WebDriverWait(self.driver, PATIENCE).until(condition)
        except TimeoutException:
            raise AssertionError(f"{what} is missing on {self.driver.current_url} ({self.driver.title!r})") from None

    def find(self, selector, what):
        return self.wait(expected.presence_of_element_located((By.CSS_SELECTOR, selector)), what)

    def fill(self, selector, text, what):
        field = self.find(selector, what)
        field.clear()
        field.send_keys(text)

    def press(self, selector, what):
        """Presses a button or follows a link, and waits until its page has gone."""
        target = self.find(selector, what)
        target.click()
        self.wait(expected.staleness_of(target), f"the page after {what}")

    def see(self, text, selector, where):
        seen = [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, selector)]
        assert any(text in one for one in seen), f"{text!r} is not {where} at {self.driver.current_url}, where there is {seen}"


def colours_come_from_the_style_sheet(visitor):
    """A style sheet that arrived has rules; one that was refused for its type or cut short has none."""
    rules = visitor.driver.execute_script(
        "return Array.from(document.styleSheets).map(sheet => [sheet.href, sheet.cssRules.length])"
    )
    assert rules and all(count for _, count in rules), f"a style sheet is missing or empty: {rules}"


def use_the_guestbook(visitor, password):
    author, text = "Grace Hopper", f"Ein Eintrag mit Käse, {uuid.uuid4().hex}"

    visitor.open("/")
    visitor.find("#sign", "the guestbook's form")
    visitor.see("Leave a trace", "h1", "the heading")
    colours_come_from_the_style_sheet(visitor)
    visitor.screenshot("front.png")

    visitor.press("nav a[href$='/login/']", "the link 'Sign in'")
    visitor.fill("#id_username", "admin", "the name in the login form")
    visitor.fill("#id_password", password, "the password in the login form")
    visitor.screenshot("login.png")
    visitor.press("#login button", "the login form's button")
    assert not visitor.driver.find_elements(By.ID, "login"), "the login was refused: is the password right?"
    visitor.see("admin", "header nav", "in the bar, signed in")

    visitor.press("nav a[href$='/admin/']", "the link 'Admin'")
    visitor.find("#user-tools", "the admin's front page")
    colours_come_from_the_style_sheet(visitor)
    visitor.screenshot("admin.png")

    visitor.press("a.addlink[href$='/guestbook/entry/add/']", "the link to add an entry")
    visitor.fill("#id_author", author, "the entry's author")
    visitor.fill("#id_text", text, "the entry's text")
    visitor.press("input[name='_save']", "the button 'Save'")
    visitor.find(".messagelist .success", "the admin's message that the entry was saved")
    visitor.see(text, "#result_list td", "in the admin's list of entries")
    visitor.screenshot("entry.png")

    visitor.open("/")
    visitor.see(author, ".entry h2", "among the guestbook's authors")
    visitor.see(text, ".entry p", "among the guestbook's entries")
    visitor.screenshot("guestbook.png")

    visitor.press("#logout", "the button 'Sign out'")
    visitor.find("nav a[href$='/login/']", "the link 'Sign in', signed out")
    visitor.open("/admin/")
    visitor.find("#login-form", "the admin's login form, signed out")


def failures_on_the_console(driver):
    """The errors on the browser's console: files that are missing or refused, errors in scripts."""
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    # Django's admin names no icon, so the browser asks for the usual one, which the site does not have.
    return [message for message in severe if "/favicon.ico " not in message]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url", metavar="BASE_URL", help="the URL of the site, such as http://localhost:8080")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=Path, help="the directory for the screenshots, which is made if it is missing")
    parser.add_argument("--password", default="admin", help="the password of the site's user admin (default: admin)")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)

    try:
        with browser() as driver:
            visitor = Visitor(driver, arguments.base_url, arguments.output_dir)
            try:
                use_the_guestbook(visitor, arguments.password)
                complaints = failures_on_the_console(driver)
                assert not complaints, f"the browser's console: {complaints}"
            except (AssertionError, WebDriverException):
                visitor.screenshot("failed.png")
                raise
    except AssertionError as error:
        sys.exit(f"browser.py: {error}")
    except WebDriverException as error:
        sys.exit(f"browser.py: Chromium: {error.msg}")  # without the driver's stack trace
    print(f"The guestbook at {arguments.base_url} works in Chromium; screenshots are in {arguments.output_dir}")


if __name__ == "__main__":
    main()
