"""A browser by the W3C WebDriver protocol: Chromium through its chromedriver."""

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol hands out elements."""
KEYS = {"Enter": "\ue007", "ArrowDown": "\ue015", "Tab": "\ue004", "Escape": "\ue00c"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_SECONDS = 20.0


def find_programs() -> tuple[str, str] | None:
    """The paths of browser and driver; None if one of them is not installed."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window of a browser."""

    def __init__(self, driver: httpx.Client, session: str) -> None:
        self._driver = driver
        self._path = f"/session/{session}"

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a command and return its value."""
        response = self._driver.request(method, self._path + path, json=body)
        value = response.json()["value"]
        assert response.status_code == 200, f"{path}: {value.get('message', value)}"
        return value

    def open(self, url: str) -> None:
        self.send("POST", "/url", {"url": url})

    def reload(self) -> None:
        self.send("POST", "/refresh", {})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function body in the page."""
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, expression: str) -> Any:
        """The value of an expression, once it is true."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            if value := self.run(f"return {expression}"):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}")

    def texts(self, selector: str) -> list[str]:
        """The visible text of all elements that a selector finds."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return self.run(script, selector)

    def click(self, selector: str, number: int = 0) -> None:
        found = self.send("POST", "/elements", {"using": "css selector", "value": selector})
        self.send("POST", f"/element/{found[number][ELEMENT]}/click", {})

    def press(self, *keys: str) -> None:
        """Press keys by their names, and type everything else."""
        actions = []
        for key in "".join(KEYS.get(one, one) for one in keys):
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def screenshot(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.send("GET", "/screenshot")))

    def log(self) -> list[str]:
        """Lines that the page wrote to its console since the last call."""
        return [entry["message"] for entry in self.send("POST", "/se/log", {"type": "browser"})]

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a command of Chromium's own protocol."""
        return self.send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def use_colours(self, scheme: str) -> None:
        """Prefer ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_phone,
        )


@contextmanager
def open_browser(browser: str, driver: str) -> Iterator[Browser]:
    """A headless browser, which ends with the context."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "binary": browser,
        "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    }
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    with (
        subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        try:
            _wait_until_ready(client)
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            session = answer.json()["value"]["sessionId"]
            try:
                yield Browser(client, session)
            finally:
                client.delete(f"/session/{session}")
        finally:
            process.terminate()


def _wait_until_ready(client: httpx.Client) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("chromedriver does not start")
