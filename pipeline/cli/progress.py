"""Steps with their times: live lines on a terminal, plain lines in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.cli.terminal import in_markup
from pipeline.foreign import plain


class _Step:
    def __init__(self, title: str) -> None:
        self.title = title
        self.text = ""
        self.failed = False
        self.began = time.monotonic()
        self.spinner = Spinner("dots")

    def update(self, text: str) -> None:
        self.text = text

    def fail(self, text: str) -> None:
        self.text = text
        self.failed = True

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Steps:
    """A ``pipeline.progress.Progress`` that prints. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: list[_Step] = []
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._render, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[_Step]:
        """See ``pipeline.progress.Progress``."""
        step = _Step(title)
        with self._lock:
            self._running.append(step)
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            mark = "[red]✘[/]" if step.failed else "[green]✔[/]"
            with self._lock:
                self._running.remove(step)
            line = f"{mark} {in_markup(step.title):<20} [dim]{step.seconds:6.1f} s[/]  {in_markup(step.text)}"
            self._console.print(line, highlight=False)

    def _render(self) -> RenderableType:
        with self._lock:
            running = list(self._running)
        lines = []
        for step in running:
            line = Table.grid(padding=(0, 1))
            line.add_row(
                step.spinner, f"{step.title:<20}", Text(f"{step.seconds:6.1f} s", "dim"), Text(plain(step.text))
            )
            lines.append(line)
        return Group(*lines)
