"""Open the built site in headless Chromium, on a telephone's width and a desktop's, and say what is wrong.

    mkdocs build --strict
    python bench/site.py --site site --out pictures

Of every page at 400 and at 1,280 pixels: no error or warning in the console, no request that leaves the machine, no
scrolling of the page sideways, and every formula is MathML with a size. On the first page a word is searched for by
keyboard. Writes pictures of some pages at both widths; exit code 1 if anything is wrong. Speaks to Chromium by its
DevTools protocol through a pipe, so that nothing but Chromium is needed (Debian's package `chromium`).
"""

import argparse
import base64
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

WIDTHS = {400: 800, 1280: 900}
PICTURES = ("", "lessons/00_tour/", "lessons/01_key_concepts/", "algorithms/ppo/", "reference/ops/", "research/")
WORD = "advantage"
STATE = """(() => {
    const text = document.querySelector("article").cloneNode(true);
    text.querySelectorAll("code").forEach((code) => code.remove());
    const formulas = [...document.querySelectorAll("math")];
    return {
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        formulas: formulas.length,
        flat: formulas.filter((one) => one.checkVisibility() && !(one.getBoundingClientRect().width > 1)).length,
        bare: text.textContent.match(/\\\\[([]|\\$\\$/g)?.length ?? 0,
    };
})()"""


class Chromium:
    """A page of a headless browser; `events` holds what it reported since they were last cleared."""

    def __init__(self, program, profile):
        """Starts the browser with the two ends of its pipe as file descriptors 3 and 4."""
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        redirected = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", redirected, program, *flags, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        pages = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The result of a method of the DevTools protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self):
        """The next message; an event is also kept."""
        while b"\0" not in self.rest:
            read = os.read(self.into, 1 << 20)
            if not read:
                raise RuntimeError("Chromium has ended")
            self.rest += read
        message, _, self.rest = self.rest.partition(b"\0")
        answer = json.loads(message)
        if "method" in answer:
            self.events.append(answer)
        return answer

    def value(self, expression):
        """What an expression of JavaScript gives; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")

    def open(self, url, width, height):
        """Show a page in a window of a size, and wait until it is loaded and painted."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.receive()
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def complaints(self, host):
        """What the console said, and requests to other hosts than `host`, since the page was opened."""
        for event in self.events:
            given = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                yield f"exception: {given['exceptionDetails']['text']}"
            elif event["method"] == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                yield f"console: {' '.join(str(one.get('value')) for one in given['args'])}"
            elif event["method"] == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                yield f"console: {given['entry']['text']} {given['entry'].get('url', '')}"
            elif event["method"] == "Network.requestWillBeSent":
                url = urlsplit(given["request"]["url"])
                if url.scheme not in ("data", "blob") and url.netloc != host:
                    yield f"request to {url.geturl()}"

    def close(self):
        """End the browser."""
        os.close(self.out)
        self.process.wait(timeout=30)


def check_page(browser, host, page, width):
    """What is wrong with a page at a width, one line each, and how many formulas it has."""
    browser.open(f"http://{host}/{page}", width, WIDTHS[width])
    state = browser.value(STATE)
    wrong = list(browser.complaints(host))
    wrong += [f"{state['overflow']} pixels wider than the window"] if state["overflow"] > 0 else []
    wrong += [f"{state['flat']} formulas without a size"] if state["flat"] else []
    wrong += [f"{state['bare']} formulas left as LaTeX"] if state["bare"] else []
    return wrong, state["formulas"]


def search(browser, host, word):
    """The number of results that typing a word into the search field shows, within ten seconds."""
    browser.open(f"http://{host}/", 1280, WIDTHS[1280])
    browser.value("document.querySelector('[data-md-component=search-query]').focus()")
    browser.call("Input.insertText", text=word)
    for _ in range(100):
        found = browser.value("document.querySelectorAll('.md-search-result__item').length")
        if found:
            return found
        time.sleep(0.1)
    return 0


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args):
        """Nothing."""


def picture(browser, path):
    """Write what the window shows."""
    path.write_bytes(base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("site"), help="the built site (default: site)")
    parser.add_argument("--out", type=Path, help="a folder for pictures")
    parser.add_argument("--picture", action="append", help=f"a page to draw (default: {', '.join(PICTURES)})")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("bench/site.py needs Chromium: install Debian's package `chromium`")
    if not (options.site / "index.html").exists():
        sys.exit(f"{options.site} holds no site: run `mkdocs build --strict` first, or name its folder by --site")
    pages = sorted(str(path.parent.relative_to(options.site)) + "/" for path in options.site.rglob("index.html"))
    pages = ["" if page == "./" else page for page in pages]
    drawn = [page for page in options.picture or PICTURES if page in pages] if options.out else []
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=options.site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, failed, formulas = f"127.0.0.1:{server.server_port}", 0, 0
    with tempfile.TemporaryDirectory() as profile:
        browser = Chromium(program, profile)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": options.scheme}])
        for width in WIDTHS:
            for page in pages:
                wrong, count = check_page(browser, host, page, width)
                formulas += count
                for line in wrong:
                    print(f"/{page} at {width}: {line}")
                failed += len(wrong)
                if page in drawn:
                    picture(browser, options.out / f"{page.strip('/').replace('/', '-') or 'home'}-{width}.png")
        found = search(browser, host, WORD)
        if options.out:
            picture(browser, options.out / "search-1280.png")
        browser.close()
    print(f"{len(pages)} pages at {len(WIDTHS)} widths, {formulas // len(WIDTHS)} formulas, {failed} complaints")
    print(f"{found} results for {WORD!r}")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
