"""A real browser for tests: Debian's chromium, without a window. The only file that imports selenium.

Nothing of it leaves this machine: the driver is the system's own, named here, so that selenium looks for none and sends
no statistics; and chromium resolves no name but the loopback address.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.needs import BrowserPrograms
from tests.servers import wait_for

T = TypeVar("T")

PHONE: Final = 400
DESK: Final = 1280
_HEIGHT: Final = 900
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # root, and most containers, have no sandbox; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm of a container is too small for a page
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


@dataclass(frozen=True)
class View:
    """How a page is looked at."""

    width: int = DESK
    language: str = "en"
    dark: bool = False
    scripts: bool = True


class Browser:
    """One chromium. A page is opened in some `View`, and asked afterwards."""

    def __init__(self, programs: BrowserPrograms, profile: Path):
        options = ChromeOptions()
        options.binary_location = programs.browser
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        os.environ.update({"SE_AVOID_STATS": "true", "SE_OFFLINE": "true"})
        self._driver = Chrome(options, Service(programs.driver))
        self._driver.set_page_load_timeout(30)
        self._agent = str(self._driver.execute_script("return navigator.userAgent"))

    def open(self, url: str, view: View = View()) -> None:
        """Load a page. What the console said before is forgotten."""
        self.console()
        mobile = view.width < 600
        size = {"width": view.width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": mobile}
        self._cdp("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if view.dark else "light"}
        self._cdp("Emulation.setEmulatedMedia", features=[scheme])
        self._cdp("Emulation.setFocusEmulationEnabled", enabled=True)
        self._cdp("Emulation.setScriptExecutionDisabled", value=not view.scripts)
        self._cdp("Network.setUserAgentOverride", userAgent=self._agent, acceptLanguage=view.language)
        self._driver.get(url)

    def forget(self) -> None:
        """Remove all cookies: what a page remembers of its reader."""
        self._driver.delete_all_cookies()

    def console(self) -> list[str]:
        """The errors and warnings of the console since the last call: violations of the policy are among them."""
        return [str(entry["message"]) for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def run(self, script: str, *args: object) -> Any:
        """The value of a script in the page: `return ...`."""
        return self._driver.execute_script(script, *args)

    def wait_until(self, script: str, seconds: float = 20) -> None:
        """Wait until a script in the page returns true."""
        wait_for(script, lambda: self.run(script), seconds)

    @property
    def url(self) -> str:
        return str(self._driver.current_url)

    @property
    def html(self) -> str:
        return str(self._driver.page_source)

    def text(self, css: str = "body") -> str:
        """What is visible of the first element, as a person reads it."""
        return self._steady(lambda: self.first(css).text)

    def texts(self, css: str) -> list[str]:
        """The same of all."""
        return self._steady(lambda: [element.text for element in self.all(css)])

    def first(self, css: str) -> WebElement:
        """Waits for it a little: a page that a click asked for may still be on its way. Raises AssertionError."""
        return wait_for(css, lambda: self.all(css))[0]

    def all(self, css: str) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, css)

    def tab(self) -> dict[str, Any]:
        """Press the tabulator key; what has the focus then: its tag, its text, and whether one sees that it has it."""
        self._driver.switch_to.active_element.send_keys(Keys.TAB)
        found: dict[str, Any] = self.run(_FOCUSED)
        return found

    def type(self, css: str, text: str) -> None:
        """Replace what a field contains."""
        field = self.first(css)
        field.clear()
        field.send_keys(text)

    def key(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self._driver.switch_to.active_element.send_keys(*keys)

    def hover(self, css: str, share: float) -> None:
        """Move the mouse over an element: `share` of its width from the left, in the middle of its height."""
        element = self.first(css)
        offset = round((share - 0.5) * element.size["width"])
        ActionChains(self._driver).move_to_element_with_offset(element, offset, 0).perform()

    def too_wide(self) -> list[str]:
        """What reaches beyond the right edge of the page, but inside a part that scrolls by itself: it must be none."""
        found: list[str] = self.run(_TOO_WIDE)
        return found

    def poor_contrasts(self) -> list[str]:
        """Texts with less contrast than WCAG 2's AA asks for: 4.5, or 3 where they are large."""
        found: list[str] = self.run(_CONTRAST)
        return found

    def narrow_texts(self, css: str) -> list[str]:
        """Such elements with few letters a line, on the average: one letter a line is unreadable."""
        found: list[str] = self.run(_NARROW, css)
        return found

    def screenshot(self, path: Path, max_height: int = 1600) -> None:
        """A PNG of the whole page, up to some height."""
        import base64

        height = min(max_height, int(self.run("return document.documentElement.scrollHeight")))
        width = int(self.run("return document.documentElement.clientWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self._cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._driver.quit()

    def _steady(self, read: Callable[[], T]) -> T:
        """What is read, once more where the page refreshed itself meanwhile."""
        for _ in range(5):
            try:
                return read()
            except StaleElementReferenceException:
                continue
        return read()

    def _cdp(self, command: str, **params: object) -> Any:
        return self._driver.execute_cdp_cmd(command, dict(params))


def names_of(messages: Sequence[str]) -> str:
    """Console messages, for an assertion's text."""
    return json.dumps(list(messages), ensure_ascii=False, indent=1)


_FOCUSED: Final = """
const e = document.activeElement, s = getComputedStyle(e);
return {tag: e.tagName.toLowerCase(), text: (e.innerText || e.value || e.name || '').trim().slice(0, 60),
  seen: (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none'};
"""

_TOO_WIDE: Final = """
const edge = document.documentElement.clientWidth, found = [];
const whole = document.documentElement.scrollWidth;
if (whole > edge) found.push('the page scrolls: ' + whole);
function clipped(e) {
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(p).overflowX)) return true;
  return false;
}
for (const e of document.body.querySelectorAll('*')) {
  const r = e.getBoundingClientRect();
  if (r.width && r.height && r.right > edge + 1 && !(e.closest('svg') && e.tagName !== 'svg') && !clipped(e))
    found.push(e.tagName.toLowerCase() + '.' + (e.getAttribute('class') || '') + ' ' + Math.round(r.right)
      + ' ' + e.textContent.trim().slice(0, 40));
}
return found.slice(0, 10);
"""

# Relative luminance and contrast as WCAG 2.2 defines them. A background that is an image counts as what is below it.
_CONTRAST: Final = """
const probe = document.createElement('i');
probe.style.backgroundColor = 'Canvas';
document.body.append(probe);
const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(text) {
  const m = text.match(/^rgba?\\(([\\d.]+), ([\\d.]+), ([\\d.]+)(?:, ([\\d.]+))?\\)$/);
  if (m) return [+m[1], +m[2], +m[3], m[4] === undefined ? 1 : +m[4]];
  pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
  const d = pen.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255];
}
const canvas = rgba(getComputedStyle(probe).backgroundColor);
probe.remove();
function over(top, under) {
  return [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
}
function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((under, top) => over(top, under), canvas);
}
function light(c) {
  const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const found = new Map();
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement, s = getComputedStyle(e), text = texts.currentNode.data.trim();
  if (!text || !e.getClientRects().length || s.visibility === 'hidden' || e.closest('svg')) continue;
  const under = ground(e), ink = over(rgba(s.color), under);
  const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
  const px = parseFloat(s.fontSize), large = px >= 24 || (px >= 18.66 && +s.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5))
    found.set(e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + ratio.toFixed(2), text.slice(0, 40));
}
return [...found].map(([where, text]) => where + ': ' + text);
"""

# Lines are counted where the text is, so that a row that is high because of its neighbour does not count.
_NARROW: Final = """
const found = [];
for (const e of document.querySelectorAll(arguments[0])) {
  const text = (e.innerText || '').trim();
  if (text.length < 20 || !e.checkVisibility()) continue;
  const range = document.createRange();
  range.selectNodeContents(e);
  const tops = new Set([...range.getClientRects()].filter(r => r.width).map(r => Math.round(r.top / 8)));
  const meant = text.split('\\n').filter(line => line.trim()).length;  // short lines that the page makes itself
  if (tops.size > 2 * meant && text.length / tops.size < 6) found.push(e.tagName + ': ' + text.slice(0, 80));
}
return found;
"""
