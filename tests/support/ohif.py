"""OHIF with the MONAI Label panel, as MONAI Label serves it, in a headless browser: what an annotator does and sees."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from playwright.sync_api import Dialog, Locator, Page, Response, ViewportSize, sync_playwright

from tests.e2e.requirements import browser

_FLAGS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)

_OUTCOME = re.compile("Successful|STARTED|STOPPED|Failed|went wrong", re.IGNORECASE)

# The series is in memory and every view shows something of it: before that, the panel's mask has nothing to lie on.
_LOADED = """() => {
    const views = [...document.querySelectorAll('canvas.cornerstone-canvas')];
    const shown = canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
        .some((value, place) => place % 4 < 3 && value > 8);
    const volumes = window.cornerstone?.cache.getVolumes() ?? [];
    return views.length > 0 && views.every(shown) && volumes.length > 0
        && volumes.every(volume => volume.loadStatus?.loaded ?? true);
}"""

# The image is grey, and letters and lines lie on other elements: a coloured pixel of a view's canvas is mask.
_COLOURED = """() => Object.fromEntries([...document.querySelectorAll('canvas.cornerstone-canvas')].map(canvas => {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let coloured = 0;
    for (let i = 0; i < data.length; i += 4)
        coloured += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 8;
    return [canvas.closest('[data-viewport-uid]').dataset.viewportUid, coloured];
}))"""

_VOXELS = """() => {
    const segments = window.services.segmentationService.getSegmentations()[0].segments;
    const voxels = Object.fromEntries(Object.values(segments).map(segment => [segment.label, 0]));
    const mask = window.services.segmentationService.getLabelmapVolume('1').voxelManager;
    for (const value of mask.getCompleteScalarDataArray())
        if (value) voxels[segments[value].label]++;
    return voxels;
}"""


class Ohif:
    """One annotator at one browser; a context manager.

    Attributes:
        page: Playwright's page.
        requests: what the panel asked of MONAI Label, as "POST /activelearning/random 200".
        errors: JavaScript errors of the page.
    """

    def __init__(self, url: str, patience: float = 180.0, width: int = 1400, height: int = 900) -> None:
        """Prepare a browser.

        Args:
            url: MONAI Label's address, as http://127.0.0.1:8000.
            patience: seconds that anything may take.
            width: of the window, in pixels.
            height: of the window, in pixels.
        """
        self.url = url.rstrip("/")
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._patience = 1000 * patience
        self._size = ViewportSize(width=width, height=height)
        self.page: Page

    def __enter__(self) -> Ohif:
        self._playwright = sync_playwright().start()
        try:
            here = urlsplit(self.url).hostname
            self._browser = self._playwright.chromium.launch(
                executable_path=browser(),
                args=[
                    *_FLAGS,
                    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {here}",  # fonts from elsewhere: never
                    *(["--no-sandbox"] if os.geteuid() == 0 else []),
                ],
                timeout=self._patience,
            )
        except BaseException:
            self._playwright.stop()
            raise
        self.page = self._browser.new_page(viewport=self._size)
        self.page.set_default_timeout(self._patience)
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def open(self, study_uid: str) -> None:
        """Show a study and wait until its image is drawn in every view."""
        self.page.goto(f"{self.url}/ohif/monai-label?StudyInstanceUIDs={study_uid}")
        self._wait_for_image()

    @property
    def study(self) -> str:
        """The study that is open."""
        return self.page.url.rpartition("=")[2]

    def connect(self) -> str:
        """Connect the panel to the server it came from, or again, to see a new model; gives the message shown."""
        panel = self.page.locator(".settingsTable")
        panel.get_by_role("textbox").fill(self.url + "/")  # the panel assumes port 8000
        message = self._message_after(panel.get_by_role("button").click)
        if "Successful" in message:
            self.page.wait_for_function("window.services.segmentationService.getLabelmapVolume('1')")
        return message

    def next_sample(self) -> dict[str, str]:
        """Ask for the next sample; gives the rows of the dialog, which stays open.

        Raises:
            RuntimeError: the panel shows a message instead of the dialog.
        """
        self._open_active_learning()
        self._mark_messages()
        self.page.get_by_role("button", name="Next Sample", exact=True).click()
        title = self.page.get_by_text("Active Learning - Next Sample", exact=True)
        title.or_(self._new_messages).first.wait_for()
        if not title.is_visible():
            raise RuntimeError(self._new_messages.first.inner_text())
        cells = self.page.locator(".nextSampleForm tbody td").all_inner_texts()
        return dict(zip(cells[::2], cells[1::2], strict=True))

    def close_sample(self) -> None:
        """Leave the dialog of the next sample without going there."""
        self.page.keyboard.press("Escape")
        self.page.locator(".nextSampleForm").first.wait_for(state="hidden")

    def open_sample(self) -> str:
        """Press OK in the dialog and accept the question: the page loads anew with that study; gives the question."""
        asked: list[str] = []

        def accept(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.accept()

        self.page.once("dialog", accept)
        with self.page.expect_navigation(wait_until="load"):
            self.page.get_by_role("button", name="OK", exact=True).click()
        self._wait_for_image()
        return asked[0]

    def update_model(self) -> str:
        """Start the trainings of all models; gives the message shown.

        From then on the button says *Stop Training*, also when the training has ended, until the page is opened anew.
        """
        self._open_active_learning()
        return self._message_after(self.page.get_by_role("button", name="Update Model", exact=True).click)

    def stop_training(self) -> str:
        """Stop the running training; gives the message shown."""
        self._open_active_learning()
        return self._message_after(self.page.get_by_role("button", name="Stop Training", exact=True).click)

    def segment(self) -> str:
        """Run auto-segmentation on the series shown; gives the message shown.

        A connection made before a model was published knows none: its button cannot be pressed until ``connect``.
        """
        return self._message_after(self.page.get_by_title("Run Segmentation", exact=True).click)

    def mask_pixels(self, patience: float = 60.0) -> dict[str, int]:
        """Coloured pixels in each view; waits at most ``patience`` seconds for the first and until they stand still."""
        before: dict[str, int] = {}
        for _ in range(int(10 * patience)):
            now = self.page.evaluate(_COLOURED)
            if now == before and any(now.values()):
                break
            before = now
            self.page.wait_for_timeout(100)
        return before

    def mask_voxels(self) -> dict[str, int]:
        """Voxels of each label in the mask that the viewer holds."""
        voxels: dict[str, int] = self.page.evaluate(_VOXELS)
        return voxels

    def set_window(self, width: int, level: int) -> None:
        """Drag over the first view until it shows about these grey values (four per pixel)."""
        view = self.page.locator("canvas.cornerstone-canvas").first
        overlay = self.page.locator("[data-cy=viewport-overlay-bottom-left]").first
        box = view.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        shown_width, shown_level = (int(number) for number in re.findall(r"-?\d+", overlay.inner_text()))
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + (width - shown_width) / 4, y + (level - shown_level) / 4, steps=10)
        self.page.mouse.up()

    def screenshot(self, path: Path) -> None:
        """What the annotator sees, as PNG, without the messages that come and go."""
        self.page.screenshot(path=path, style="[data-sonner-toaster] { visibility: hidden }")

    def _wait_for_image(self) -> None:
        self.page.locator(".settingsTable").wait_for()
        self.page.wait_for_function(_LOADED)
        notice = self.page.get_by_role("button", name="Confirm and Hide")  # for investigational use only
        if notice.is_visible():
            notice.click()
            notice.wait_for(state="hidden")

    def _open_active_learning(self) -> None:
        if not self.page.get_by_label("Active Learning", exact=True).is_checked():
            self.page.get_by_text("Active Learning", exact=True).click()

    @property
    def _new_messages(self) -> Locator:
        """Messages about an outcome that were not there at the last ``_mark_messages``."""
        return self.page.locator("li[data-sonner-toast]:not([data-seen])").filter(has_text=_OUTCOME)

    def _mark_messages(self) -> None:
        self.page.locator("li[data-sonner-toast]").evaluate_all("all => all.forEach(one => one.dataset.seen = '')")

    def _message_after(self, act: Callable[[], None]) -> str:
        self._mark_messages()
        act()
        self._new_messages.first.wait_for()
        return self._new_messages.first.inner_text()

    def _note(self, response: Response) -> None:
        path = response.url.removeprefix(self.url)
        if path.startswith("/") and not path.startswith(("/ohif", "/proxy")):
            self.requests.append(f"{response.request.method} {path} {response.status}")
